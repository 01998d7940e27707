// The run history: newest first, live, a click opens a run.

import { connect } from "./api.js";
import {
  button, clock, duration, elapsed, make, pairs, setText, shortId, size, statusNode, statusWords,
} from "./dom.js";
import { ENDED, errorLine, fingerprint, repeatable, runBody, served } from "./parts.js";

const STATUSES = ["queued", "running", "succeeded", "failed", "cancelled", "timed_out", "lost"];
const COLUMNS = ["status", "pipeline", "trigger", "started", "duration", "parameters", "run"];
const REFRESH_MS = 700;
const MOST = 1000;

class History {
  constructor(model, el, signal) {
    this.model = model;
    this.signal = signal;
    this.fixed = model.get("_filters") ?? {};
    this.page = model.get("_limit");
    this.rows = new Map();          // run id -> Row, in the order shown
    this.older = null;              // cursor of the next page
    this.busy = null;               // the refresh under way
    this.again = false;
    this.build(el);
  }

  build(el) {
    this.count = make("span", "wc-dim", "loading…");
    this.store = make("span", "wc-dim wc-store", "");
    this.state = make("span", "wc-status wc-idle", "");
    this.filters = {};
    const tools = make("span", "wc-push wc-tools");
    for (const [name, values] of [["status", STATUSES], ["pipeline", []], ["deployment", []]]) {
      if (name in this.fixed) continue;
      const select = make("select", "wc-input");
      select.setAttribute("aria-label", `Filter by ${name}`);
      select.append(new Option(`any ${name}`, ""), ...values.map((value) => new Option(statusWords(value), value)));
      select.addEventListener("change", () => this.reload());
      this.filters[name] = select;
      tools.append(select);
    }
    this.search = make("input", "wc-input");
    this.search.type = "search";
    this.search.placeholder = "filter by text";
    this.search.setAttribute("aria-label", "Filter the shown runs by text");
    this.search.addEventListener("input", () => this.sift());
    tools.append(this.search);
    const fixed = Object.values(this.fixed).map(String).join(", ");
    const title = make("span", "wc-name", fixed ? `Runs of ${fixed}` : "Runs");
    const head = make("div", "wc-head", title, this.count, this.store, this.state, tools);
    const titles = make("tr", "");
    for (const name of COLUMNS) titles.append(make("th", name === "duration" ? "wc-num" : "", name));
    this.body = make("tbody", "");
    this.empty = make("div", "wc-part wc-dim", "No runs yet. Call a pipeline, or a deployment's URL.");
    this.empty.hidden = true;
    this.more = button("Load older runs", "wc-small", () => this.loadOlder());
    this.foot = make("div", "wc-part", this.more);
    this.foot.hidden = true;
    this.problem = make("div", "wc-part wc-error");
    this.problem.hidden = true;
    const table = make("table", "wc-table wc-history", make("thead", "", titles), this.body);
    this.top = make("div", "wc-scroll wc-top", table);
    this.top.hidden = true;
    el.append(make("div", "wc-card", head, this.top, this.empty,
      this.problem, this.foot));
  }

  async start() {
    this.host = await connect(this.model, this.signal);
    if (this.signal.aborted) return;
    this.host.watch((event) => this.changed(event));
    const timer = setInterval(() => this.tick(), 1000);
    this.signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  }

  changed({ connected, error }) {
    this.state.className = `wc-status ${connected ? "wc-succeeded" : "wc-lost"}`;
    this.state.title = connected ? "New runs appear by themselves." : String(error?.message ?? "");
    setText(this.state, connected ? "● live" : "◌ reconnecting…");
    if (!connected) return;
    this.refresh();
    if (!this.store.textContent) this.weigh();
  }

  /** Say how much the whole store takes, and how it grows; once, since that is work to count. */
  async weigh() {
    try {
      const { total, runs, last_week: week } = await this.host.request("GET", "api/v1/store");
      setText(this.store, `store: ${size(total)}`);
      this.store.title = `${runs} runs; ${week.runs} of them, ${size(week.bytes)}, in the last week`;
    } catch {
      // The runs themselves say what is wrong.
    }
  }

  /** Refetch what is shown; several calls during one refresh become one more refresh. */
  async refresh() {
    if (this.busy) {
      this.again = true;
      return this.busy;
    }
    this.busy = this.fetchShown();
    await this.busy;
    await new Promise((resolve) => { setTimeout(resolve, REFRESH_MS); });
    this.busy = null;
    if (this.again && !this.signal.aborted) {
      this.again = false;
      this.refresh();
    }
    return undefined;
  }

  async reload() {
    for (const row of this.rows.values()) row.remove();
    this.rows.clear();
    await this.busy;
    await this.fetchShown();
  }

  query(extra) {
    const query = new URLSearchParams(this.fixed);
    for (const [name, select] of Object.entries(this.filters)) if (select.value) query.set(name, select.value);
    for (const [name, value] of Object.entries(extra)) query.set(name, value);
    return `api/v1/runs?${query}`;
  }

  async fetchShown() {
    await this.attempt(async () => {
      const limit = Math.min(Math.max(this.page, this.rows.size), MOST);
      const asked = this.query({ limit });
      const { runs, next } = await this.host.request("GET", asked);
      if (asked !== this.query({ limit })) return;           // the filters changed meanwhile
      const first = this.rows.size === 0;
      const shown = new Map();
      for (const run of runs) {
        const row = this.rows.get(run.run_id) ?? new Row(this, run, !first);
        row.update(run);
        shown.set(run.run_id, row);
      }
      for (const [id, row] of this.rows) if (!shown.has(id)) row.remove();
      this.rows = shown;
      this.older = next;
      this.arrange();
    });
  }

  async loadOlder() {
    this.more.disabled = true;
    await this.attempt(async () => {
      const { runs, next } = await this.host.request(
        "GET", this.query({ limit: this.page, before: this.older }));
      for (const run of runs) {
        if (!this.rows.has(run.run_id)) this.rows.set(run.run_id, new Row(this, run, false));
      }
      this.older = next;
      this.arrange();
    });
    this.more.disabled = false;
  }

  async attempt(action) {
    try {
      await action();
      this.problem.hidden = true;
    } catch (error) {
      if (this.signal.aborted) return;
      this.problem.hidden = false;
      this.problem.textContent = [error.message, error.hint].filter(Boolean).join(" ");
    }
  }

  /** Put the rows in order without moving those that are in place: focus and scroll survive. */
  arrange() {
    let place = this.body.firstChild;
    for (const row of this.rows.values()) {
      for (const node of row.nodes()) {
        if (node === place) place = place.nextSibling;
        else this.body.insertBefore(node, place);
      }
    }
    this.offer("pipeline");
    this.offer("deployment");
    this.foot.hidden = !this.older;
    this.sift();
  }

  /** Add names that were seen to a filter's choices. */
  offer(name) {
    const select = this.filters[name];
    if (!select) return;
    const known = new Set([...select.options].map((option) => option.value));
    for (const row of this.rows.values()) {
      const value = row.run[name];
      if (value && !known.has(value)) {
        known.add(value);
        select.append(new Option(value, value));
      }
    }
  }

  sift() {
    const words = this.search.value.trim().toLowerCase();
    let count = 0;
    for (const row of this.rows.values()) {
      const fits = !words || row.text.includes(words);
      row.show(fits);
      count += fits ? 1 : 0;
    }
    const total = this.rows.size;
    this.empty.hidden = total > 0;
    this.top.hidden = total === 0;
    const more = this.older ? "+" : "";
    setText(this.count, words ? `${count} of ${total}${more}` : `${total}${more} ${total === 1 ? "run" : "runs"}`);
  }

  tick() {
    for (const row of this.rows.values()) row.tick();
  }
}

class Row {
  constructor(history, run, isNew) {
    this.history = history;
    this.run = run;
    this.detail = null;
    this.known = "";
    this.cells = COLUMNS.map((name) => make("td", { duration: "wc-num", trigger: "wc-dim",
      started: "wc-dim", parameters: "wc-clip", run: "wc-mono wc-dim" }[name] ?? ""));
    this.node = make("tr", isNew ? "wc-row wc-new" : "wc-row", ...this.cells);
    this.node.tabIndex = 0;
    this.node.dataset.run = run.run_id;
    this.node.setAttribute("aria-expanded", "false");
    this.node.addEventListener("click", () => this.toggle());
    this.node.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      event.stopPropagation();      // else the notebook would run the cell
      this.toggle();
    });
    this.update(run);
  }

  nodes() {
    return this.detail ? [this.node, this.detail] : [this.node];
  }

  update(run) {
    this.run = run;
    const known = fingerprint(run);
    if (known === this.known) return;
    this.known = known;
    const [status, pipeline, trigger, started, took, parameters, id] = this.cells;
    status.replaceChildren(statusNode(run.status));
    setText(pipeline, run.pipeline ?? "");
    setText(trigger, served(run));
    setText(started, clock(run.started_at ?? run.created_at));
    started.title = run.started_at ?? run.created_at ?? "";
    setText(took, duration(elapsed(run)));
    const given = pairs(run.parameters, 160);
    parameters.replaceChildren(given);
    parameters.title = pairs(run.parameters, 1000);
    if (run.error) parameters.append(make("span", "wc-stderr", `${given ? "  " : ""}${errorLine(run.error)}`));
    setText(id, shortId(run.run_id));
    id.title = run.run_id;
    this.text = [run.run_id, run.run_name, run.pipeline, run.status, served(run), run.user,
      JSON.stringify(run.parameters), JSON.stringify(run.outputs), errorLine(run.error),
    ].join(" ").toLowerCase();
    if (this.detail) this.load();
  }

  tick() {
    if (ENDED.has(this.run.status)) return;
    setText(this.cells[4], duration(elapsed(this.run)));
  }

  show(isShown) {
    for (const node of this.nodes()) node.hidden = !isShown;
  }

  remove() {
    for (const node of this.nodes()) node.remove();
  }

  toggle() {
    if (this.detail) {
      this.detail.remove();
      this.detail = null;
    } else {
      this.box = make("div", "wc-run wc-dim", make("div", "wc-part", "loading…"));
      const cell = make("td", "wc-detail", this.box);
      cell.colSpan = COLUMNS.length;
      this.detail = make("tr", "wc-detail-row", cell);
      this.node.after(this.detail);
      this.load();
    }
    this.node.setAttribute("aria-expanded", String(Boolean(this.detail)));
    this.node.classList.remove("wc-new");
  }

  async load() {
    let body;
    try {
      const run = await this.history.host.request("GET", `api/v1/runs/${encodeURIComponent(this.run.run_id)}`);
      body = runBody(run);
      body.append(this.foot(run));
    } catch (error) {
      body = make("div", "wc-part wc-error", error.message);
    }
    if (!this.detail) return;
    this.box.replaceWith(body);
    this.box = body;
  }

  /** A button that runs it once more, with the same input on the same snapshot. */
  again(run) {
    const rerun = button("Run again", "wc-small", async () => {
      rerun.disabled = true;
      await this.history.attempt(() => this.history.host.request(
        "POST", `api/v1/runs/${encodeURIComponent(run.run_id)}/rerun`, { wait: false }));
      rerun.disabled = false;
    });
    rerun.title = "The same input on the same snapshot, as a new run";
    return rerun;
  }

  foot(run) {
    const foot = make("div", "wc-part wc-foot wc-dim", make("span", "wc-mono", run.run_id));
    for (const text of [run.user && `by ${run.user}`, run.notebook]) if (text) foot.append(make("span", "", text));
    if (!ENDED.has(run.status)) {
      const cancel = button("Cancel the run", "wc-small", async () => {
        cancel.disabled = true;
        await this.history.attempt(() => this.history.host.request("DELETE", `api/v1/runs/${encodeURIComponent(run.run_id)}`));
      });
      foot.append(cancel);
    }
    if (run.deployment && repeatable(run)) foot.append(this.again(run));
    return foot;
  }
}

export default {
  render({ model, el }) {
    const stop = new AbortController();
    el.classList.add("warmcell", "wc-live");
    el.dataset.lmSuppressShortcuts = "true";
    new History(model, el, stop.signal).start();
    return () => stop.abort();
  },
};
