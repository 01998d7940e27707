// Small controls that several views share: chips of tags, links to other things, a second click.

import { button, clip, make, setText } from "./dom.js";

const SURE_MS = 4000;
const COLORS = new Set(["grey", "purple", "red", "green", "yellow", "orange", "lime", "teal",
  "turquoise", "magenta", "blue"]);

/** The segments of a path below `api/v1`, encoded. */
export function api(...parts) {
  return ["api/v1", ...parts.map((part) => encodeURIComponent(part))].join("/");
}

/** `1 run`, `2 runs`. */
export function counted(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** A user; of those that a server made up the beginning is enough. */
export function userNode(user) {
  const node = make("span", "", clip(user ?? "", 16));
  node.title = user ?? "";
  return node;
}

/** A button that looks like a link and opens `title` in place. */
export function link(words, title, onClick) {
  const node = make("button", "wc-link", words);
  node.type = "button";
  node.title = title;
  node.addEventListener("click", (event) => {
    event.stopPropagation();
    onClick();
  });
  return node;
}

/** A button that does its work on the second click, after which it says so. */
export function sureButton(label, question, action) {
  let armed = null;
  const disarm = () => {
    clearTimeout(armed);
    armed = null;
    setText(node, label);
    node.classList.remove("wc-armed");
  };
  const node = button(label, "wc-small", async () => {
    if (armed === null) {
      armed = setTimeout(disarm, SURE_MS);
      setText(node, question);
      node.classList.add("wc-armed");
      return;
    }
    disarm();
    node.disabled = true;
    await action();
    node.disabled = false;
  });
  return node;
}

/** Tags as chips, in the colours that `colors` (a Map) has of them. */
export function tagNodes(tags, colors) {
  return (tags ?? []).map((name) => tagNode(name, colors?.get(name)));
}

export function tagNode(name, color) {
  const node = make("span", "wc-tag", name);
  if (COLORS.has(color)) node.dataset.color = color;
  return node;
}

/** The tags of something, to be added to and taken from: `on` names it for `api/v1/tagged`. */
export function tagEditor(shell, on, tags, changed) {
  const node = make("div", "wc-line wc-tags");
  const problem = make("span", "wc-stderr wc-sub");
  problem.setAttribute("role", "alert");
  const change = async (path, body) => {
    try {
      await shell.host.request("POST", path, { ...body, on });
      await changed();
    } catch (error) {
      setText(problem, [error.message, error.hint].filter(Boolean).join(" "));
    }
  };
  for (const name of tags ?? []) {
    const chip = tagNode(name, shell.colors.get(name));
    const gone = make("button", "wc-gone", "×");
    gone.type = "button";
    gone.title = `Take the tag ${name} away`;
    gone.setAttribute("aria-label", gone.title);
    gone.addEventListener("click", () => change("api/v1/tagged/remove", { tags: [name] }));
    chip.append(gone);
    node.append(chip);
  }
  const field = make("input", "wc-input");
  field.placeholder = "add a tag";
  field.setAttribute("aria-label", "Add a tag");
  field.addEventListener("keydown", (event) => {
    event.stopPropagation();         // keys typed here are no shortcuts of the notebook
    const name = field.value.trim();
    if (event.key !== "Enter" || !name) return;
    change("api/v1/tagged", { tags: [{ name }] });
  });
  node.append(field, problem);
  return node;
}

/** A label and what is below it, as a part of a detail. */
export function section(label, ...nodes) {
  return make("div", "wc-part", make("p", "wc-label", label), ...nodes);
}

/** A plain table: `rows` of cells that are nodes or texts; `numbers` are columns of figures. */
export function grid(titles, rows, numbers = []) {
  const right = (index) => (numbers.includes(index) ? "wc-num" : "");
  const head = make("tr", "", ...titles.map((title, index) => make("th", right(index), title)));
  const body = rows.map((row) => make("tr", "", ...row.map((cell, index) => make("td", right(index), cell ?? ""))));
  return make("div", "wc-scroll", make("table", "wc-table", make("thead", "", head), make("tbody", "", ...body)));
}

/** Names and values, of which a value may be a node. */
export function facts(pairs) {
  const list = make("dl", "wc-values");
  for (const [name, value] of pairs) {
    if (value === null || value === undefined || value === "") continue;
    list.append(make("dt", "", name), make("dd", "", value instanceof Node ? value : String(value)));
  }
  return list;
}
