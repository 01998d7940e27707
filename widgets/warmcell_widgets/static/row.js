// One row of a listing: a click opens what is behind it.

import { make } from "./dom.js";

export class Row {
  constructor(listing, item, isNew) {
    this.listing = listing;
    this.detailRow = null;
    this.known = null;
    this.isQuiet = false;           // while its detail is about to be loaded anyway
    this.id = listing.idOf(item);
    this.cells = listing.columns.map(([, classes]) => make("td", classes));
    this.node = make("tr", isNew ? "wc-row wc-new" : "wc-row", this.picker(), ...this.cells);
    this.node.tabIndex = 0;
    this.node.setAttribute("aria-expanded", "false");
    this.node.addEventListener("click", () => this.toggle());
    this.node.addEventListener("keydown", (event) => {
      if (event.target !== this.node || (event.key !== "Enter" && event.key !== " ")) return;
      event.preventDefault();
      event.stopPropagation();      // else the notebook would run the cell
      this.toggle();
    });
    this.update(item);
  }

  picker() {
    if (!this.listing.compared) return null;
    this.box = make("input", "");
    this.box.type = "checkbox";
    this.box.setAttribute("aria-label", `Pick ${this.listing.noun} ${this.id} to compare`);
    this.box.checked = this.listing.picked.has(this.id);
    this.box.addEventListener("change", () => this.listing.pick(this.id, this.box.checked ? this.item : null));
    const cell = make("td", "wc-pick", this.box);
    cell.addEventListener("click", (event) => event.stopPropagation());
    return cell;
  }

  unpick() {
    this.box.checked = false;
  }

  nodes() {
    return this.detailRow ? [this.node, this.detailRow] : [this.node];
  }

  update(item) {
    this.item = item;
    const known = this.listing.known(item);
    if (known === this.known) return;
    this.known = known;
    this.listing.fill(this.cells, item, this.node);
    if (this.detailRow && !this.isQuiet) this.load();
  }

  show(isShown) {
    for (const node of this.nodes()) node.hidden = !isShown;
  }

  remove() {
    for (const node of this.nodes()) node.remove();
  }

  toggle() {
    if (this.detailRow) {
      this.detailRow.remove();
      this.detailRow = null;
    } else {
      this.inside = make("div", "wc-run wc-dim", make("div", "wc-part", "loading…"));
      const cell = make("td", "wc-detail", this.inside);
      cell.colSpan = this.cells.length + (this.box ? 1 : 0);
      this.detailRow = make("tr", "wc-detail-row", cell);
      this.node.after(this.detailRow);
      this.load();
    }
    this.node.setAttribute("aria-expanded", String(Boolean(this.detailRow)));
    this.node.classList.remove("wc-new");
  }

  async load() {
    let body;
    try {
      body = await this.listing.detail(this.item, () => this.listing.acted(this));
    } catch (error) {
      body = make("div", "wc-part wc-error", [error.message, error.hint].filter(Boolean).join(" "));
    }
    if (!this.detailRow) return;
    this.inside.replaceWith(body);
    this.inside = body;
  }
}
