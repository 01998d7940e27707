// The history: runs, artifacts, models, tags, logs and the store itself, each a tab; live.

import { connect } from "./api.js";
import { Artifacts, versionDetail } from "./artifacts.js";
import { compareNode } from "./compare.js";
import { button, make, setText, size } from "./dom.js";
import { lineageDetail } from "./lineage.js";
import { Logs } from "./logs.js";
import { Models, modelDetail, modelVersionDetail } from "./models.js";
import { Runs, runDetail } from "./runs.js";
import { StoreView } from "./storeview.js";
import { Tags, taggedDetail } from "./tags.js";

const VIEWS = { runs: Runs, artifacts: Artifacts, models: Models, tags: Tags, logs: Logs, store: StoreView };
// What is shown of one pipeline or deployment only is not all there is of the others.
const FITTING = { artifacts: ["pipeline"], logs: ["pipeline", "deployment"] };
const PAGES = { run: runDetail, artifact_version: versionDetail, model: modelDetail,
  model_version: modelVersionDetail, tag: taggedDetail, lineage: lineageDetail };

/** What the views share: the host, the fixed filters, and the way from one thing to another. */
class Shell {
  constructor(model, el, signal) {
    this.model = model;
    this.signal = signal;
    this.fixed = model.get("_filters") ?? {};
    this.page = model.get("_limit") ?? 50;
    this.views = new Map();          // name -> view, once it was shown
    this.colors = new Map();         // tag -> colour
    this.trail = [];                 // pages opened one from another
    this.open = (kind, id) => this.push(`${kind.replace("_", " ")} ${id}`, (changed) => PAGES[kind](this, id, changed));
    this.build(el);
  }

  build(el) {
    this.store = make("span", "wc-dim wc-store", "");
    this.state = make("span", "wc-status wc-idle", "");
    this.tabs = make("div", "wc-tabs");
    this.tabs.setAttribute("role", "tablist");
    this.tabs.addEventListener("keydown", (event) => this.step(event));
    const fixed = Object.values(this.fixed).map(String).join(", ");
    for (const name of this.names()) {
      const words = name[0].toUpperCase() + name.slice(1);
      const tab = make("button", "wc-tab", fixed && name === "runs" ? `Runs of ${fixed}` : words);
      tab.type = "button";
      tab.dataset.view = name;
      tab.setAttribute("role", "tab");
      tab.addEventListener("click", () => this.show(name));
      this.tabs.append(tab);
    }
    const strip = make("div", "wc-strip", this.tabs, make("span", "wc-push wc-line", this.store, this.state));
    this.panel = make("div", "wc-panel");
    this.panel.setAttribute("role", "tabpanel");
    el.append(make("div", "wc-card", strip, this.panel));
    const wanted = this.model.get("_view");
    this.show(this.names().includes(wanted) ? wanted : "runs");
  }

  names() {
    const set = Object.keys(this.fixed);
    if (!set.length) return Object.keys(VIEWS);
    const fits = (name) => set.every((filter) => FITTING[name]?.includes(filter));
    return Object.keys(VIEWS).filter((name) => name === "runs" || fits(name));
  }

  /** Left and right go from tab to tab. */
  step(event) {
    event.stopPropagation();
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!way) return;
    const all = [...this.tabs.children];
    const next = all[(all.indexOf(document.activeElement) + way + all.length) % all.length];
    next.focus();
    next.click();
  }

  async start() {
    this.host = await connect(this.model, this.signal);
    if (this.signal.aborted) return;
    this.host.watch((event) => this.changed(event));
    const timer = setInterval(() => this.views.get(this.current)?.tick(), 1000);
    this.signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  }

  show(name) {
    this.current = name;
    this.trail = [];
    if (!this.views.has(name)) this.views.set(name, new VIEWS[name](this));
    for (const tab of this.tabs.children) {
      const isCurrent = tab.dataset.view === name;
      tab.setAttribute("aria-selected", String(isCurrent));
      tab.tabIndex = isCurrent ? 0 : -1;
    }
    this.panel.replaceChildren(this.views.get(name).node);
    if (this.isConnected) this.views.get(name).changed();
  }

  changed({ connected, error }) {
    this.isConnected = connected;
    this.state.className = `wc-status ${connected ? "wc-succeeded" : "wc-lost"}`;
    this.state.title = connected ? "What is new appears by itself." : String(error?.message ?? "");
    setText(this.state, connected ? "● live" : "◌ reconnecting…");
    if (!connected) return;
    this.views.get(this.current).changed();
    if (!this.store.textContent) this.weigh();
  }

  /** Say how much the whole store takes and how it grows, and which colours tags have; once, since
      that is work to count. */
  async weigh() {
    try {
      const { total, runs, last_week: week } = await this.host.request("GET", "api/v1/store");
      setText(this.store, `store: ${size(total)}`);
      this.store.title = `${runs} runs; ${week.runs} of them, ${size(week.bytes)}, in the last week`;
      await this.paint();
      for (const view of this.views.values()) view.repaint?.();
    } catch {
      // The view itself says what is wrong.
    }
  }

  async paint() {
    const { tags } = await this.host.request("GET", "api/v1/tags");
    this.colors = new Map(tags.map((tag) => [tag.name, tag.color]));
    return tags;
  }

  compare(kind, items) {
    this.push(`${items.length} compared`, () => compareNode(this, kind, items));
  }

  /** Show a page over the view, with the way back. */
  push(title, load) {
    const page = { title, load, body: make("div", "wc-part wc-dim", "loading…") };
    this.trail.push(page);
    const back = button("‹ Back", "wc-small", () => this.pop());
    const name = make("span", "wc-name wc-said", title);
    const head = make("div", "wc-head", back, name);
    page.node = make("div", "wc-view wc-page", head, page.body);
    this.panel.replaceChildren(page.node);
    const fill = async () => {
      let body;
      try {
        body = await load(fill);
      } catch (error) {
        body = make("div", "wc-part wc-error", [error.message, error.hint].filter(Boolean).join(" "));
      }
      setText(name, body.dataset.title ?? title);
      page.body.replaceWith(body);
      page.body = body;
    };
    back.focus();
    return fill();
  }

  pop() {
    this.trail.pop();
    this.panel.replaceChildren(this.trail.at(-1)?.node ?? this.views.get(this.current).node);
    if (!this.trail.length) this.views.get(this.current).changed();
  }
}

export default {
  render({ model, el }) {
    const stop = new AbortController();
    el.classList.add("warmcell", "wc-live");
    el.dataset.lmSuppressShortcuts = "true";
    new Shell(model, el, stop.signal).start();
    return () => stop.abort();
  },
};
