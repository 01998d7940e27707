// The snapshots of a deployment's pipeline: who, when, why; what changed; back to one of them.

import { diffNode } from "./diff.js";
import { button, clock, make, setText } from "./dom.js";

const SHOWN = 20;

/** A disclosure of the snapshots behind `deployment()`, asked of the host once it is opened. */
export class Versions {
  constructor(host, deployment, rollback) {
    this.host = host;                // () => {request}
    this.deployment = deployment;
    this.rollback = rollback;        // (number) => …
    this.body = make("tbody", "");
    const titles = ["snapshot", "when", "by", "from", "note", ""];
    this.table = make("div", "wc-scroll", make("table", "wc-table wc-versions",
      make("thead", "", make("tr", "", ...titles.map((title) => make("th", "", title)))), this.body));
    this.changes = make("div", "wc-changes");
    this.changes.hidden = true;
    this.problem = make("div", "wc-error");
    this.problem.setAttribute("role", "alert");
    this.problem.hidden = true;
    this.node = make("details", "wc-held", make("summary", "wc-dim", "Snapshots"), this.table,
      this.problem, this.changes);
    this.node.addEventListener("toggle", () => this.refresh());
  }

  async refresh() {
    const item = this.deployment();
    if (!this.node.open || !item) return;
    const told = [item.snapshot, item.updated_at, ...(item.warm ?? [])].join();
    if (told === this.told) return;
    await this.attempt(async () => {
      const query = `pipeline=${encodeURIComponent(item.pipeline)}&brief=true`;
      const found = (await this.host().request("GET", `api/v1/snapshots?${query}`)).snapshots;
      this.told = told;
      this.body.replaceChildren(...found.slice(0, SHOWN).map((one) => this.row(one, item)));
    });
  }

  row(one, item) {
    const isServed = one.number === item.snapshot;
    const tools = make("span", "wc-tools");
    tools.append(button(isServed ? "Compare with notebook" : "Compare", "wc-small", () => this.compare(one.number)));
    if (!isServed && (item.warm ?? []).includes(one.number)) {
      tools.append(button("Roll back", "wc-small", () => this.rollback(one.number)));
    }
    const when = make("td", "wc-dim", clock(one.created_at));
    when.title = one.created_at ?? "";
    const number = make("td", isServed ? "wc-status wc-serving" : "", `${isServed ? "● " : ""}${one.number}`);
    const row = make("tr", "", number, when, make("td", "", one.user ?? ""),
      make("td", "wc-dim", (one.notebook ?? "").split("/").pop()), make("td", "wc-said", one.note ?? ""),
      make("td", "wc-num", tools));
    row.title = one.stored === "stored" ? "" : `Stored form: ${one.stored}`;
    if (one.trusted === false) row.title = "Somebody else signed it: it is not restored before it is trusted.";
    row.dataset.snapshot = one.number;
    return row;
  }

  /** Show what changed from a snapshot to the served one; from that to the notebook as it is. */
  async compare(number) {
    const item = this.deployment();
    const query = number === item.snapshot ? "" : `?before=${number}&after=${item.snapshot}`;
    await this.attempt(async () => {
      const path = `api/v1/deployments/${encodeURIComponent(item.name)}/diff${query}`;
      this.changes.replaceChildren(diffNode(await this.host().request("GET", path)));
      this.changes.hidden = false;
    });
  }

  async attempt(action) {
    try {
      await action();
      this.problem.hidden = true;
    } catch (error) {
      setText(this.problem, [error.message, error.hint].filter(Boolean).join(" "));
      this.problem.hidden = false;
    }
  }
}
