// The Deploy button, and the deployments of one pipeline.

import { connect } from "./api.js";
import { Card } from "./card.js";
import { button, make, setText } from "./dom.js";
import { Settings } from "./settings.js";

const NAME = /^[a-z0-9][a-z0-9_-]{0,62}$/;
const RESERVED = new Set(["api", "static", "mcp", "docs", "metrics"]);
const WAITING_MS = 400;
const POLL_MS = 5000;
const ENDS = new Set(["restarting", "autorestarting", "terminating", "dead"]);

/** What is wrong with a deployment's name, or "". */
export function nameProblem(name) {
  if (!name) return "A deployment needs a name.";
  if (RESERVED.has(name)) return `“${name}” is a reserved name.`;
  if (name.length > 63) return "A name has at most 63 characters.";
  if (!/^[a-z0-9]/.test(name)) return "A name begins with a letter a–z or a digit.";
  if (!NAME.test(name)) return "A name has only a–z, 0–9, - and _.";
  return "";
}

class Deploy {
  constructor(model, el, signal) {
    this.model = model;
    this.signal = signal;
    this.pipeline = model.get("_pipeline");
    this.notebook = model.get("_notebook");
    this.cards = new Map();          // deployment name -> Card
    this.sent = null;                // id of the deploy under way
    this.count = 0;
    this.isAlive = true;             // the kernel that made this view
    this.build(el);
  }

  build(el) {
    this.name = make("input", "wc-input wc-mono");
    this.name.value = this.model.get("_name");
    this.name.spellcheck = false;
    this.name.autocomplete = "off";
    this.name.setAttribute("aria-label", "Name of the deployment");
    this.name.addEventListener("input", () => this.check());
    this.name.addEventListener("change", () => this.askSettings());
    this.name.addEventListener("keydown", (event) => {
      event.stopPropagation();       // keys typed here are no shortcuts of the notebook
      if (event.key === "Enter") this.deploy();
    });
    this.note = make("input", "wc-input");
    this.note.placeholder = "note, such as why";
    this.note.autocomplete = "off";
    this.note.setAttribute("aria-label", "Note about the snapshot");
    this.note.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter") this.deploy();
    });
    this.button = button("Deploy", "wc-primary", () => this.deploy());
    this.hint = make("div", "wc-hint wc-dim");
    this.message = make("div", "wc-message");
    this.message.setAttribute("role", "status");
    this.message.hidden = true;
    const title = make("span", "", "Deploy ", make("b", "", this.pipeline), " as");
    this.settings = new Settings({ onOpen: () => this.askSettings(), onEnter: () => this.deploy() });
    this.settings.update(this.model.get("_settings") ?? {});
    this.list = make("div", "wc-list");
    el.append(make("div", "wc-card", make("div", "wc-head wc-form", title, this.name, this.note, this.button),
      this.hint, this.message, this.settings.node, this.list));
    this.check();
  }

  async start() {
    const receive = (message) => this.receive(message);
    this.model.on("msg:custom", receive);
    this.signal.addEventListener("abort", () => this.model.off("msg:custom", receive), { once: true });
    this.follow(this.model.widget_manager?.kernel?.statusChanged);
    this.host = await connect(this.model, this.signal);
    if (this.signal.aborted) return;
    this.host.watch(({ connected }) => { if (connected) this.refresh(); });
    if (!this.host.isHttp) return;
    const timer = setInterval(() => { if (this.cards.size && !document.hidden) this.refresh(); }, POLL_MS);
    this.signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  }

  check() {
    const problem = nameProblem(this.name.value);
    this.name.setAttribute("aria-invalid", String(Boolean(problem)));
    this.hint.classList.toggle("wc-stderr", Boolean(problem));
    const known = this.cards.get(this.name.value);
    setText(this.hint, problem || (known
      ? `Serves snapshot ${known.item.snapshot} now. Deploying again switches calls to what the cells say now; none is dropped.`
      : `Calls will go to POST ${this.model.get("_base_path")}${this.name.value}/invoke`));
    this.button.disabled = Boolean(problem) || this.sent !== null;
    setText(this.button, known ? "Deploy again" : "Deploy");
    return !problem;
  }

  /** Ask what a click would set. Until the kernel has time: what is deployed, or the pipeline's own. */
  askSettings() {
    if (nameProblem(this.name.value) || !this.settings.node.open) return;
    this.settings.update(this.cards.get(this.name.value)?.item.settings ?? this.model.get("_settings") ?? {});
    this.model.send({ kind: "warmcell-settings", name: this.name.value });
  }

  /** Freeze a deployment anew: deploy what the cells say now, with the settings that it has. */
  redeploy(name) {
    this.name.value = name;
    this.deploy({});
  }

  deploy(settings = this.settings.changed()) {
    if (this.sent !== null || !this.check()) return;
    this.ask({ kind: "warmcell-deploy", name: this.name.value, settings, note: this.note.value.trim() });
  }

  /** Have this notebook's kernel serve a deployment that was restored elsewhere, as it is. */
  serveHere(name) {
    if (this.sent === null) this.ask({ kind: "warmcell-serve", name });
  }

  ask(message) {
    this.sent = `${Date.now()}-${this.count += 1}`;
    this.asked = message.name;
    this.check();
    this.say("wc-dim", "Deploying…");
    this.waiting = setTimeout(() => this.say("wc-dim",
      "Waiting for the running cell: a new snapshot is taken between cells. What is deployed goes on serving. (If the kernel was restarted since, run this cell again.)"), WAITING_MS);
    this.model.send({ ...message, id: this.sent });
  }

  /** Notice the end of the kernel that made this view, where the front end tells of it: nothing
      that this view sends arrives any more. */
  follow(statuses) {
    const changed = (_, status) => {
      if (!ENDS.has(status) || !this.isAlive) return;
      this.isAlive = false;
      this.cards.forEach((card) => card.source.update(card.item));
    };
    statuses?.connect(changed);
    this.signal.addEventListener("abort", () => statuses?.disconnect(changed), { once: true });
  }

  receive(message) {
    if (message?.kind === "warmcell-settings" && message.name === this.name.value) {
      this.settings.update(message.settings);
    }
    if (!message || this.sent === null || message.id !== this.sent) return;
    clearTimeout(this.waiting);
    if (message.kind === "warmcell-deploying") {
      this.say("wc-dim", "Deploying…");
      return;
    }
    if (message.kind !== "warmcell-deployed") return;
    this.sent = null;
    if (message.problem) {
      const { title, detail, hint, fields } = message.problem;
      this.say("wc-error", [detail, hint].filter(Boolean).join(" "), fields ? "" : title);
      this.settings.refuse(fields ?? {});
      this.cards.get(this.asked)?.holdings.check();
    } else {
      const { name, snapshot } = message.deployment;
      this.say("wc-done", `${name} serves snapshot ${snapshot}.`);
      this.settings.saved(message.settings ?? {});
      this.note.value = "";
    }
    this.check();
    this.refresh();
  }

  say(kind, text, title = "") {
    this.message.className = `wc-message ${kind}`;
    this.message.replaceChildren(...(title ? [make("b", "", title), " "] : []), text);
    this.message.hidden = false;
  }

  async refresh() {
    if (!this.host) return;
    let found;
    try {
      found = (await this.host.request("GET", "api/v1/deployments")).deployments;
    } catch {
      return;                        // the watcher tells when the host is back
    }
    const mine = found.filter((item) => item.pipeline === this.pipeline);
    const names = new Set(mine.map((item) => item.name));
    for (const [name, card] of this.cards) {
      if (names.has(name)) continue;
      card.node.remove();
      this.cards.delete(name);
    }
    for (const item of mine) {
      let card = this.cards.get(item.name);
      if (!card) {
        card = new Card(this, item.name);
        this.cards.set(item.name, card);
        this.list.append(card.node);
      }
      card.update(item);
    }
    this.check();
  }

  async act(card, action) {
    try {
      await action();
      card.say("");
      this.model.send({ kind: "warmcell-changed" });      // for the saved notebook
    } catch (error) {
      card.say([error.message, error.hint].filter(Boolean).join(" "));
    }
    await this.refresh();
  }
}

export default {
  render({ model, el }) {
    const stop = new AbortController();
    el.classList.add("warmcell", "wc-live");
    el.dataset.lmSuppressShortcuts = "true";
    new Deploy(model, el, stop.signal).start();
    return () => stop.abort();
  },
};
