// What a deployment holds, frozen or drifted: name by name, and whether the notebook's has changed.

import { button, make, setText, size } from "./dom.js";

const WORDS = {
  same: "frozen", changed: "drifted", "in place": "changed in place", unused: "no longer used",
  new: "not served yet", unknown: "not known",
};
const CALM = new Set(["same", "unknown"]);

/** A disclosure of the names that `deployment()` holds, with one click to freeze them anew. */
export class Holdings {
  constructor(path, host, deployment, refreeze) {
    this.path = `${path}/drift`;
    this.host = host;                // () => {request, isHttp}
    this.deployment = deployment;
    this.badge = make("span", "wc-badge");
    this.badge.hidden = true;
    this.body = make("tbody", "");
    const titles = ["name", "type", "held by", "size", "state", ""];
    this.table = make("div", "wc-scroll", make("table", "wc-table wc-names",
      make("thead", "", make("tr", "", ...titles.map((title) => make("th", "", title)))), this.body));
    this.table.hidden = true;
    this.problem = make("div", "wc-note");
    this.problem.hidden = true;
    this.refreeze = button("Refreeze", "wc-small", () => refreeze());
    this.refreeze.title = "Deploy again: calls switch to what the notebook says now.";
    this.refreeze.hidden = true;
    this.again = button("Check again", "wc-small", () => this.check());
    this.node = make("details", "wc-held",
      make("summary", "wc-dim", "What it holds ", this.badge), this.table, this.problem,
      make("div", "wc-tools", this.again, this.refreeze));
    this.node.addEventListener("toggle", () => { if (this.node.open) this.check(); });
  }

  /** The deployment was looked at: check when it is another one than that was checked. */
  update(item) {
    const told = [item.snapshot, item.updated_at, item.served_by].join();
    if (told === this.told || !(this.node.open || this.host()?.isHttp)) return;
    this.told = told;
    if (item.state === "serving") this.check();
    else this.badge.hidden = true;   // what was said of its notebook may not be true any more
  }

  async check() {
    this.again.disabled = true;
    try {
      this.show(await this.host().request("GET", this.path));
      this.problem.hidden = true;
    } catch (error) {
      this.badge.hidden = true;
      this.refreeze.hidden = true;
      setText(this.problem, [error.message, error.hint].filter(Boolean).join(" "));
      this.problem.hidden = false;
    }
    this.again.disabled = false;
  }

  show({ names, drifted }) {
    setText(this.badge, drifted.length ? `${drifted.length} drifted` : "frozen, as the notebook says");
    this.badge.classList.toggle("wc-drifted", drifted.length > 0);
    this.badge.hidden = false;
    this.refreeze.hidden = !drifted.length;
    this.table.hidden = !names.length;
    this.body.replaceChildren(...names.map((entry) => {
      const state = make("td", CALM.has(entry.state) ? "wc-dim" : "wc-drifted", WORDS[entry.state] ?? entry.state);
      const row = make("tr", "", make("td", "wc-mono", entry.name), make("td", "wc-dim", entry.type),
        make("td", "", entry.by), make("td", "wc-num", entry.size ? size(entry.size) : ""), state,
        make("td", "wc-said", entry.says));
      row.title = entry.path ?? "";
      row.dataset.name = entry.name;
      return row;
    }));
  }
}
