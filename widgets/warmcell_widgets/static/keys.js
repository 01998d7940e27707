// The API keys of a deployment: list, make, revoke.

import { curlLine } from "./curl.js";
import { button, clock, copyButton, make, setText } from "./dom.js";

const DAY = 86_400;
const LIFETIMES = [["", "until revoked"], [3600, "1 hour"], [DAY, "1 day"], [30 * DAY, "30 days"],
  [90 * DAY, "90 days"], [365 * DAY, "1 year"]];
const SCOPES = [["invoke", "call it"], ["read", "see all its runs"]];
const ARMED_MS = 4000;

/** A disclosure for the keys of `deployment()`, asked of the host once it is opened. */
export class Keys {
  constructor(path, host, deployment) {
    this.path = `${path}/keys`;
    this.host = host;                // () => {request}
    this.deployment = deployment;
    this.rows = new Map();           // key id -> Row
    this.count = make("span", "wc-dim");
    this.body = make("tbody", "");
    const titles = ["name", "scopes", "created", "expires", "last used", ""];
    this.table = make("div", "wc-scroll", make("table", "wc-table wc-keys",
      make("thead", "", make("tr", "", ...titles.map((title) => make("th", "", title)))), this.body));
    this.table.hidden = true;
    this.fresh = make("div", "wc-fresh");
    this.fresh.hidden = true;
    this.problem = make("div", "wc-error");
    this.problem.setAttribute("role", "alert");
    this.problem.hidden = true;
    this.node = make("details", "wc-held", make("summary", "wc-dim", "API keys ", this.count),
      this.table, this.fresh, this.problem, this.form());
    this.node.addEventListener("toggle", () => this.refresh());
  }

  form() {
    this.name = make("input", "wc-input");
    this.name.placeholder = "name, such as shop";
    this.name.spellcheck = false;
    this.name.autocomplete = "off";
    this.name.setAttribute("aria-label", "Name of the new key");
    this.name.addEventListener("input", () => this.check());
    this.name.addEventListener("keydown", (event) => {
      event.stopPropagation();       // keys typed here are no shortcuts of the notebook
      if (event.key === "Enter") this.create();
    });
    this.scopes = SCOPES.map(([scope, meaning]) => {
      const box = make("input", "");
      box.type = "checkbox";
      box.value = scope;
      box.checked = scope === "invoke";
      box.addEventListener("change", () => this.check());
      return [box, make("label", "wc-check", box, `${scope}: ${meaning}`)];
    });
    this.lifetime = make("select", "wc-input");
    this.lifetime.setAttribute("aria-label", "How long the new key is valid");
    this.lifetime.append(...LIFETIMES.map(([value, label]) => new Option(label, String(value))));
    this.make = button("Create key", "wc-small", () => this.create());
    this.make.disabled = true;
    return make("div", "wc-tools wc-new-key", this.name, ...this.scopes.map(([, label]) => label),
      this.lifetime, this.make);
  }

  check() {
    this.make.disabled = !this.name.value.trim() || !this.granted().length;
  }

  granted() {
    return this.scopes.filter(([box]) => box.checked).map(([box]) => box.value);
  }

  async refresh() {
    if (!this.node.open) return;
    try {
      this.show((await this.host().request("GET", this.path)).keys);
    } catch (error) {
      this.say(error);
    }
  }

  say(error) {
    setText(this.problem, error ? [error.message, error.hint].filter(Boolean).join(" ") : "");
    this.problem.hidden = !error;
  }

  show(keys) {
    setText(this.count, keys.length ? String(keys.length) : "none yet");
    this.table.hidden = !keys.length;
    const ids = new Set(keys.map((key) => key.id));
    for (const [id, row] of this.rows) {
      if (ids.has(id)) continue;
      row.node.remove();
      this.rows.delete(id);
    }
    for (const key of [...keys].reverse()) {         // newest first: each new one goes on top
      if (!this.rows.has(key.id)) {
        this.rows.set(key.id, new Row(key, () => this.revoke(key.name)));
        this.body.prepend(this.rows.get(key.id).node);
      }
      this.rows.get(key.id).update(key);
    }
  }

  async create() {
    this.check();
    if (this.make.disabled) return;
    this.make.disabled = true;
    const body = { name: this.name.value.trim(), scopes: this.granted() };
    if (this.lifetime.value) body.expires_in = Number(this.lifetime.value);
    await this.attempt(async () => {
      this.reveal(await this.host().request("POST", this.path, body));
      this.name.value = "";
    });
    this.check();
  }

  /** Show a new key: the only time that anybody can see it. */
  reveal({ name, scopes, key }) {
    const item = this.deployment();
    const line = scopes.includes("invoke") ? curlLine(item, key)
      : `curl '${item.url}runs' -H "Authorization: Bearer ${key}"`;
    const copied = (text, label, classes) => make("div", "wc-call",
      make("pre", `wc-text ${classes}`, text), copyButton(() => text, label));
    this.fresh.replaceChildren(
      make("div", "wc-line", make("b", "", `The key ${name}`),
        make("span", "", "Copy it now: it is kept nowhere and cannot be shown again."),
        make("span", "wc-push", button("Done", "wc-small", () => this.conceal()))),
      copied(key, "Copy key", "wc-key"), copied(line, "Copy", ""));
    this.fresh.dataset.key = name;
    this.fresh.hidden = false;
  }

  conceal() {
    this.fresh.replaceChildren();
    this.fresh.hidden = true;
  }

  async revoke(name) {
    await this.attempt(async () => {
      await this.host().request("DELETE", `${this.path}/${encodeURIComponent(name)}`);
      if (this.fresh.dataset.key === name) this.conceal();
    });
  }

  async attempt(action) {
    this.say(null);
    try {
      await action();
    } catch (error) {
      this.say(error);
    }
    this.refresh();
  }
}

class Row {
  constructor(key, revoke) {
    this.created = make("td", "wc-dim");
    this.expires = make("td", "wc-dim");
    this.used = make("td", "wc-dim");
    this.button = button("Revoke", "wc-small", () => {
      if (this.armed) {
        this.disarm();
        revoke();
        return;
      }
      this.armed = setTimeout(() => this.disarm(), ARMED_MS);
      this.button.classList.add("wc-armed");
      setText(this.button, "Revoke?");
    });
    this.button.title = "Requests with this key are refused from then on.";
    this.node = make("tr", "", make("td", "wc-mono", key.name), make("td", "", key.scopes.join(", ")),
      this.created, this.expires, this.used, make("td", "wc-num", this.button));
    if (key.created_by) this.node.title = `made by ${key.created_by}`;
    this.node.dataset.key = key.name;
  }

  update(key) {
    for (const [node, time, otherwise] of [[this.created, key.created_at, ""],
      [this.expires, key.expires_at, "never"], [this.used, key.last_used_at, "never"]]) {
      setText(node, clock(time) || otherwise);
      node.title = time ?? "";
    }
    this.expires.classList.toggle("wc-stderr", key.expired);
    if (key.expired) setText(this.expires, "expired");
  }

  disarm() {
    clearTimeout(this.armed);
    this.armed = null;
    this.button.classList.remove("wc-armed");
    setText(this.button, "Revoke");
  }
}
