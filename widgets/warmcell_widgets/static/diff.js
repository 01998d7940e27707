// What differs between two snapshots, or a snapshot and the notebook as it is now.

import { make, short } from "./dom.js";

const CHANGES = { added: "+", removed: "−", changed: "~" };
const MAX_LINES = 400;

/** A difference as the host answers it: facts, then the cells with their lines. */
export function diffNode(found) {
  const node = make("div", "wc-diff", make("p", "wc-label", title(found)));
  if (found.same) {
    node.append(make("p", "wc-dim", "No difference."));
    return node;
  }
  const facts = factsOf(found);
  if (facts.length) node.append(make("ul", "", ...facts.map((fact) => make("li", "", fact))));
  for (const cell of found.cells) {
    const place = cell.cell ? ` (${cell.cell})` : "";
    const shown = make("details", `wc-${cell.change}`,
      make("summary", "", `${CHANGES[cell.change] ?? "·"} ${cell.kind} ${cell.name}${place}`), linesNode(cell.diff));
    shown.open = true;
    shown.dataset.cell = cell.name;
    node.append(shown);
  }
  return node;
}

function title({ before, after }) {
  const side = (head) => (head.number === null ? "the notebook now" : `snapshot ${head.number}`);
  return `${side(before)} → ${side(after)}`;
}

function linesNode(lines) {
  const block = make("pre", "wc-text");
  for (const line of lines.slice(0, MAX_LINES)) {
    const kind = { "+": "wc-plus", "-": "wc-minus", "@": "wc-dim" }[line[0]];
    block.append(kind ? make("span", kind, `${line}\n`) : `${line}\n`);
  }
  if (lines.length > MAX_LINES) block.append(make("span", "wc-dim", `… ${lines.length - MAX_LINES} more lines`));
  return block;
}

function factsOf(found) {
  const facts = found.names.filter((entry) => entry.kind !== "code")
    .map((entry) => `${entry.name} ${entry.change}`);
  for (const [what, entries] of [["parameter", found.parameters], ["setting", found.settings]]) {
    for (const entry of entries) facts.push(turned(`${what} ${entry.name}`, entry));
  }
  if (found.environment === null) return [...facts, "environment: not known of both yet"];
  for (const [name, entry] of Object.entries(found.environment)) {
    for (const one of name === "packages" ? entry : [{ name, ...entry }]) facts.push(turned(one.name, one));
  }
  return facts;
}

function turned(name, { before, after }) {
  const said = (value) => (value === null || value === undefined ? "–" : short(value, 60));
  return `${name}: ${said(before)} → ${said(after)}`;
}
