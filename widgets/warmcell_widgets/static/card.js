// A deployment in the Deploy view: its state, its address, its keys, undeploy and rollback.

import { curlLine } from "./curl.js";
import { button, copyButton, duration, make, setText, statusNode } from "./dom.js";
import { Holdings } from "./drift.js";
import { Keys } from "./keys.js";
import { Release } from "./release.js";
import { Replicas } from "./replicas.js";
import { Source } from "./source.js";
import { Trust } from "./trust.js";
import { Versions } from "./versions.js";

const SLOW_LAG_S = 0.05;
const PAGES = [["Playground", ""], ["Docs", "docs"], ["Metrics", "metrics"]];

/** What one deployment of the pipeline is, and what can be done with it. */
export class Card {
  constructor(owner, name) {
    this.owner = owner;
    this.path = `api/v1/deployments/${encodeURIComponent(name)}`;
    this.status = make("span", "");
    this.serves = make("span", "wc-dim");
    this.calls = make("span", "wc-dim");
    this.versions = make("select", "wc-input wc-small");
    this.versions.setAttribute("aria-label", "Roll back to a snapshot");
    this.versions.addEventListener("change", () => this.rollback());
    this.remove = button("Undeploy", "wc-small", () => this.undeploy());
    this.open = make("span", "wc-detached", "open to anybody");
    this.links = make("span", "wc-links");
    this.reason = make("div", "wc-note");
    this.lag = make("div", "wc-note");
    this.problem = make("div", "wc-error");
    for (const node of [this.reason, this.lag, this.problem]) node.hidden = true;
    this.curl = make("pre", "wc-text");
    this.notes = make("div", "");
    this.held = make("details", "wc-held", make("summary", "wc-dim", ""), this.notes);
    const call = make("div", "wc-call", this.curl, copyButton(() => this.curl.textContent));
    this.keys = new Keys(this.path, () => owner.host, () => this.item);
    this.said = make("div", "wc-dim wc-said");
    this.snapshots = new Versions(() => owner.host, () => this.item, (number) => this.rollBackTo(number));
    this.release = new Release(
      (action, body) => owner.act(this, () => owner.host.request("POST", `${this.path}/${action}`, body)),
      () => owner.refresh());
    this.holdings = new Holdings(this.path, () => owner.host, () => this.item, () => owner.redeploy(name));
    this.source = new Source(() => owner.notebook, () => owner.isAlive, () => owner.serveHere(name));
    this.replicas = new Replicas();
    this.trust = new Trust(() => owner.host, () => this.trustSnapshot());
    this.node = make("div", "wc-part wc-deployment",
      make("div", "wc-line", this.status, make("span", "wc-name", name), this.serves, this.calls,
        this.open, this.links, make("span", "wc-push wc-tools", this.versions, this.remove)),
      this.said, this.reason, this.trust.node, this.source.node, this.replicas.node, this.replicas.why, this.lag, this.problem, this.release.node, call, this.keys.node, this.snapshots.node,
      this.holdings.node, this.held);
    this.node.dataset.deployment = name;
  }

  update(item) {
    this.item = item;
    this.status.replaceChildren(statusNode(item.state));
    setText(this.serves, `snapshot ${item.snapshot}`);
    const parts = [`${item.total_runs} ${item.total_runs === 1 ? "call" : "calls"}`];
    if (item.in_flight) parts.push(`${item.in_flight} running`);
    if (item.queued) parts.push(`${item.queued} queued`);
    setText(this.calls, parts.join(", "));
    this.open.hidden = item.settings?.auth !== "public";
    this.link(item);
    this.note(this.reason, this.trust.update(item) ? "" : item.reason);
    this.note(this.lag, item.starved || (item.lag > SLOW_LAG_S
      ? `What runs in this kernel delays calls by up to ${duration(item.lag)} (waiting for Python's interpreter lock).` : ""));
    this.note(this.said, item.note);
    this.source.update(item);
    this.replicas.update(item);
    this.release.update(item);
    this.keys.refresh();
    this.snapshots.refresh();
    this.holdings.update(item);
    setText(this.curl, curlLine(item));
    const warm = (item.warm ?? []).filter((number) => number !== item.snapshot).reverse();
    this.versions.hidden = !warm.length;
    const offered = warm.join();
    if (this.offered !== offered) {
      this.offered = offered;
      this.versions.replaceChildren(new Option("Roll back to…", ""),
        ...warm.map((number) => new Option(`snapshot ${number}`, String(number))));
    }
    const notes = item.notes ?? [];
    this.held.hidden = !notes.length;
    setText(this.held.firstChild, `${notes.length} ${notes.length === 1 ? "thing" : "things"} to know about this snapshot`);
    const text = notes.join("\n");
    if (this.noted !== text) {
      this.noted = text;
      this.notes.replaceChildren(...notes.map((note) => make("div", "wc-note", note)));
    }
  }

  /** Links to the deployment's pages: at this page's own address where that is the host's. */
  link(item) {
    const { isHttp } = this.owner.host;
    const base = isHttp ? `${this.owner.model.get("_base_path")}${item.name}/` : item.url;
    if (this.base === base) return;
    this.base = base;
    this.links.replaceChildren(...PAGES.map(([label, path]) => {
      const node = make("a", "", label);
      node.href = base + path;
      node.target = "_blank";
      node.rel = "noopener";
      return node;
    }));
  }

  note(node, text) {
    setText(node, text || "");
    node.hidden = !text;
  }

  say(text) {
    this.note(this.problem, text);
  }

  undeploy() {
    if (!this.armed) {
      this.armed = setTimeout(() => this.disarm(), 4000);
      this.remove.textContent = "Undeploy?";
      this.remove.classList.add("wc-armed");
      return;
    }
    this.disarm();
    this.owner.act(this, () => this.owner.host.request("DELETE", this.path));
  }

  disarm() {
    clearTimeout(this.armed);
    this.armed = null;
    this.remove.textContent = "Undeploy";
    this.remove.classList.remove("wc-armed");
  }

  trustSnapshot() {
    const { pipeline, snapshot } = this.item;
    const path = `api/v1/snapshots/${encodeURIComponent(pipeline)}/${snapshot}/trust`;
    this.owner.act(this, () => this.owner.host.request("POST", path, {}));
  }

  rollback() {
    const to = Number(this.versions.value);
    this.versions.value = "";
    if (to) this.rollBackTo(to);
  }

  rollBackTo(to) {
    this.owner.act(this, () => this.owner.host.request("POST", `${this.path}/rollback`, { to }));
  }
}
