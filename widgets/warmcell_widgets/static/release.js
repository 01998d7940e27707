// A newcomer beside the snapshot that is served: who gets how many calls and how they go, live,
// with promotion and abort in one click.

import { button, duration, make, setText } from "./dom.js";

const LIVE_MS = 2000;                // the figures of calls that are not recorded change unseen

/** How the calls of a deployment are shared; hidden while one snapshot answers everything. */
export class Release {
  constructor(act, refresh) {
    this.act = act;                  // (action, body) => …: a POST below the deployment
    this.refresh = refresh;
    this.says = make("div", "wc-dim");
    this.why = make("div", "wc-note");
    this.bar = make("div", "wc-shares");
    this.bar.setAttribute("role", "img");
    this.body = make("tbody", "");
    const titles = ["snapshot", "share", "calls", "errors", "p95", ""];
    this.table = make("div", "wc-scroll", make("table", "wc-table wc-traffic",
      make("thead", "", make("tr", "", ...titles.map((title) => make("th", title === "snapshot" ? "" : "wc-num", title)))),
      this.body));
    this.stop = button("Abort", "wc-small", () => this.act("abort", {}));
    this.node = make("div", "wc-release",
      make("div", "wc-line", this.says, make("span", "wc-push wc-tools", this.stop)),
      this.why, this.bar, this.table);
    this.node.hidden = true;
  }

  update(item) {
    const traffic = item.traffic;
    this.node.hidden = !traffic;
    clearTimeout(this.timer);
    if (!traffic) return;
    const shared = traffic.snapshots.some((one) => one.weight && one.snapshot !== item.snapshot);
    const active = shared || traffic.shadows.length > 0;
    this.stop.hidden = !active && traffic.snapshots.every((one) => one.snapshot === item.snapshot);
    this.why.hidden = !traffic.aborted;
    setText(this.why, traffic.aborted ? `Aborted: ${traffic.aborted.cause}` : "");
    setText(this.says, this.said(traffic, item.snapshot, shared));
    this.bar.hidden = !shared;
    this.draw(traffic.snapshots.filter((one) => one.weight));
    this.body.replaceChildren(
      ...traffic.snapshots.map((one) => this.row(one, item.snapshot, traffic)),
      ...traffic.shadows.map((one) => this.shadow(one)));
    if (active) this.timer = setTimeout(() => { if (this.node.isConnected) this.refresh(); }, LIVE_MS);
  }

  said(traffic, main, shared) {
    if (!shared) return `Snapshot ${main} answers every call.`;
    const bounds = traffic.abort_if;
    const limits = bounds ? [
      bounds.error_rate === null ? "" : `more than ${percent(bounds.error_rate)} errors`,
      bounds.p95 === null ? "" : `a p95 above ${duration(bounds.p95)}`,
    ].filter(Boolean).join(" or ") : "";
    return `Calls are shared ${traffic.by ? `by ${traffic.by}` : "one by one"}.`
      + (limits ? ` Aborts on ${limits}, after ${bounds.min_runs} calls.` : "");
  }

  draw(shares) {
    this.bar.setAttribute("aria-label",
      shares.map((one) => `snapshot ${one.snapshot}: ${percent(one.weight)}`).join(", "));
    this.bar.replaceChildren(...shares.map((one) => {
      const part = make("span", "wc-share", `${one.snapshot}`);
      part.style.flexGrow = one.weight;
      part.title = `snapshot ${one.snapshot}: ${percent(one.weight)}`;
      return part;
    }));
  }

  row(one, main, traffic) {
    const isMain = one.snapshot === main;
    const limit = traffic.abort_if;
    const tools = make("span", "wc-tools");
    if (!isMain && !traffic.aborted) tools.append(this.promotion(one.snapshot));
    const bad = (value, bound) => (!isMain && bound !== null && value > bound ? "wc-num wc-drifted" : "wc-num");
    const row = make("tr", "",
      make("td", "", `${isMain ? "● " : ""}${one.snapshot}`),
      make("td", "wc-num", percent(one.weight)),
      make("td", "wc-num", String(one.runs)),
      make("td", bad(one.error_rate, limit?.error_rate ?? null), one.error_rate === null ? "" : percent(one.error_rate)),
      make("td", bad(one.p95, limit?.p95 ?? null), one.p95 === null ? "" : duration(one.p95)),
      make("td", "wc-num", tools));
    row.dataset.share = one.snapshot;
    return row;
  }

  shadow(one) {
    const said = [`${one.different} of ${one.runs} different`];
    if (one.failed) said.push(`${one.failed} failed`);
    if (one.dropped) said.push(`${one.dropped} dropped`);
    const outcome = make("td", one.different || one.failed ? "wc-num wc-drifted" : "wc-num wc-dim", said.join(", "));
    outcome.colSpan = 2;
    const row = make("tr", "",
      make("td", "", `${one.snapshot}`),
      make("td", "wc-num wc-dim", `shadow of ${percent(one.fraction)}`),
      make("td", "wc-num", String(one.runs)), outcome,
      make("td", "wc-num", make("span", "wc-tools", this.promotion(one.snapshot))));
    row.dataset.shadow = one.snapshot;
    return row;
  }

  promotion(snapshot) {
    return button("Promote", "wc-small", () => this.act("promote", { snapshot }));
  }
}

function percent(share) {
  return `${Number((share * 100).toFixed(1))} %`;
}
