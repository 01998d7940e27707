// A table of things, newest first and live: paged, a click opens one, some are picked to compare.

import { button, make, setText } from "./dom.js";
import { Row } from "./row.js";

const REFRESH_MS = 700;
const MOST_ROWS = 1000;
const MOST_PICKED = 8;

/**
 * What all tables of the history have in common. A subclass says what it lists: `fetchPage`,
 * `idOf`, `fill` and `detail`, and what tells two states of an item apart, `known`.
 */
export class Listing {
  /** `noun` is what one is called; `columns` are `[title, classes]`; `compare` names what the
      picked ones are compared by, or is null. */
  constructor(shell, { noun, columns, empty, older, compare = null }) {
    this.shell = shell;
    this.noun = noun;
    this.columns = columns;
    this.compared = compare;
    this.rows = new Map();          // id -> Row, in the order shown
    this.next = null;               // cursor of the next page
    this.busy = null;               // the refresh under way
    this.again = false;
    this.picked = new Map();        // id -> item
    this.filters = {};
    this.build(empty, older);
  }

  build(empty, older) {
    this.count = make("span", "wc-dim", "loading…");
    this.tools = make("span", "wc-push wc-tools");
    this.head = make("div", "wc-head", this.count, this.tools);
    const titles = make("tr", "");
    if (this.compared) titles.append(make("th", "wc-pick", ""));
    for (const [title, classes] of this.columns) {
      titles.append(make("th", classes.includes("wc-num") ? "wc-num" : "", title));
    }
    this.body = make("tbody", "");
    this.top = make("div", "wc-scroll wc-top",
      make("table", "wc-table wc-history", make("thead", "", titles), this.body));
    this.top.hidden = true;
    this.nothing = make("div", "wc-part wc-dim", empty);
    this.nothing.hidden = true;
    this.problem = make("div", "wc-part wc-error");
    this.problem.hidden = true;
    this.more = button(older, "wc-small", () => this.loadOlder());
    this.foot = make("div", "wc-part", this.more);
    this.foot.hidden = true;
    this.choice = make("div", "wc-part wc-line wc-choice");
    this.choice.hidden = true;
    this.node = make("div", "wc-view", this.head, this.choice, this.top, this.nothing,
      this.problem, this.foot);
  }

  /** A choice among values that filters at the host. */
  addSelect(name, values, words = (value) => value) {
    const select = make("select", "wc-input");
    select.setAttribute("aria-label", `Filter by ${name}`);
    select.append(new Option(`any ${name}`, ""), ...values.map((value) => new Option(words(value), value)));
    select.addEventListener("change", () => this.reload());
    this.filters[name] = select;
    this.tools.append(select);
    return select;
  }

  /** A text field: `onInput` is called as it is typed in. */
  addSearch(placeholder, label, onInput) {
    this.search = make("input", "wc-input");
    this.search.type = "search";
    this.search.placeholder = placeholder;
    this.search.setAttribute("aria-label", label);
    this.search.addEventListener("input", onInput);
    this.tools.append(this.search);
  }

  /** A text field that filters at the host, once the typing pauses. */
  addWanted(name, placeholder) {
    const field = make("input", "wc-input");
    field.type = "search";
    field.placeholder = placeholder;
    field.setAttribute("aria-label", `Filter by ${name}`);
    let timer = null;
    field.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.reload(), 300);
    });
    this.filters[name] = field;
    this.tools.append(field);
  }

  /** The values of the filters that are set, by name. */
  chosen() {
    const set = Object.entries(this.filters).map(([name, node]) => [name, node.value.trim()]);
    return Object.fromEntries(set.filter(([, value]) => value));
  }

  changed() {
    return this.refresh();
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
    if (this.again && !this.shell.signal.aborted) {
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

  async fetchShown() {
    await this.attempt(async () => {
      const limit = Math.min(Math.max(this.shell.page, this.rows.size), MOST_ROWS);
      const asked = JSON.stringify(this.chosen());
      const { items, next } = await this.fetchPage(limit, null);
      if (asked !== JSON.stringify(this.chosen())) return;   // the filters changed meanwhile
      const first = this.rows.size === 0;
      const shown = new Map();
      for (const item of items) {
        const id = this.idOf(item);
        const row = this.rows.get(id) ?? new Row(this, item, !first);
        row.update(item);
        shown.set(id, row);
      }
      for (const [id, row] of this.rows) if (!shown.has(id)) row.remove();
      this.rows = shown;
      this.next = next;
      this.arrange();
    });
  }

  async loadOlder() {
    this.more.disabled = true;
    await this.attempt(async () => {
      const { items, next } = await this.fetchPage(this.shell.page, this.next);
      for (const item of items) {
        const id = this.idOf(item);
        if (!this.rows.has(id)) this.rows.set(id, new Row(this, item, false));
      }
      this.next = next;
      this.arrange();
    });
    this.more.disabled = false;
  }

  async attempt(action) {
    try {
      await action();
      this.problem.hidden = true;
    } catch (error) {
      if (this.shell.signal.aborted) return;
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
    this.foot.hidden = !this.next;
    this.sift();
  }

  /** Add names that were seen to a filter's choices. */
  offer(name, valueOf) {
    const select = this.filters[name];
    if (!select) return;
    const known = new Set([...select.options].map((option) => option.value));
    for (const row of this.rows.values()) {
      const value = valueOf(row.item);
      if (!value || known.has(value)) continue;
      known.add(value);
      select.append(new Option(value, value));
    }
  }

  /** Hide the rows without the text that is searched for, and count the others. */
  sift() {
    const words = this.search?.value.trim().toLowerCase() ?? "";
    let count = 0;
    for (const row of this.rows.values()) {
      const fits = !words || this.words(row.item).includes(words);
      row.show(fits);
      count += fits ? 1 : 0;
    }
    const total = this.rows.size;
    this.nothing.hidden = total > 0;
    this.top.hidden = total === 0;
    const more = this.next ? "+" : "";
    const noun = total === 1 ? this.noun : `${this.noun}s`;
    setText(this.count, words ? `${count} of ${total}${more}` : `${total}${more} ${noun}`);
  }

  /** Fill all rows anew: the colours of tags are known. */
  repaint() {
    for (const row of this.rows.values()) this.fill(row.cells, row.item, row.node);
  }

  /** What a detail calls once it changed its item: row and detail are brought up to date, once. */
  async acted(row) {
    row.isQuiet = true;
    await this.fetchShown();
    row.isQuiet = false;
    if (this.rows.get(row.id) === row) await row.load();
  }

  words(item) {
    return JSON.stringify(item).toLowerCase();
  }

  known(item) {
    return JSON.stringify(item);
  }

  tick() {}

  pick(id, item) {
    if (item) this.picked.set(id, item);
    else this.picked.delete(id);
    const count = this.picked.size;
    this.choice.hidden = count === 0;
    const compare = button("Compare", "wc-small", () => this.shell.compare(this.compared, [...this.picked.values()]));
    compare.disabled = count < 2 || count > MOST_PICKED;
    const words = count > MOST_PICKED ? `; ${MOST_PICKED} are the most` : count < 2 ? "; pick one more" : "";
    this.choice.replaceChildren(make("span", "", `${count} picked${words}`), compare,
      button("Clear", "wc-small", () => {
        for (const one of this.picked.keys()) this.rows.get(one)?.unpick();
        this.picked.clear();
        this.choice.hidden = true;
      }));
  }
}
