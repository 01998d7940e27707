// Elements and JSON. What users wrote only ever becomes text nodes and values of fields.

/** Make `<tag class="…">` with children: nodes, texts, or null for nothing. */
export function make(tag, classes, ...children) {
  const node = document.createElement(tag);
  if (classes) node.className = classes;
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** A button that submits nothing. */
export function button(label, classes, onClick) {
  const node = make("button", classes, label);
  node.type = "button";
  node.addEventListener("click", onClick);
  return node;
}

/** A select of `[value, label]` pairs. */
export function select(pairs, label) {
  const node = make("select");
  if (label) node.ariaLabel = label;
  for (const [value, text] of pairs) {
    const option = make("option", "", text);
    option.value = value;
    node.append(option);
  }
  return node;
}

/** JSON of `value`; a BigInt, which `parse` makes of a large integer, keeps its digits. */
export function stringify(value, indent = "", level = "") {
  if (typeof value === "bigint") return String(value);
  if (value === null || typeof value !== "object") return JSON.stringify(value) ?? "null";
  const isList = Array.isArray(value);
  const inner = level + indent;
  const parts = isList
    ? value.map((part) => stringify(part, indent, inner))
    : Object.entries(value)
      .filter(([, part]) => part !== undefined)
      .map(([key, part]) => `${JSON.stringify(key)}:${indent ? " " : ""}${stringify(part, indent, inner)}`);
  const [open, close] = isList ? "[]" : "{}";
  if (!parts.length) return open + close;
  if (!indent) return open + parts.join(",") + close;
  return `${open}\n${parts.map((part) => inner + part).join(",\n")}\n${level}${close}`;
}

/** The value of a JSON text; integers that a double cannot hold are BigInts where the browser
    tells their digits. Throws a SyntaxError. */
export function parse(text) {
  return JSON.parse(text, (key, value, context) => {
    const digits = context?.source;
    if (typeof value !== "number" || !/^-?\d+$/.test(digits ?? "")) return value;
    return Number.isSafeInteger(value) ? value : BigInt(digits);
  });
}

/** A time in milliseconds, with a unit. */
export function milliseconds(value) {
  if (value >= 10_000) return `${(value / 1000).toFixed(1)} s`;
  return value >= 100 ? `${value.toFixed(0)} ms` : `${Number(value.toPrecision(3))} ms`;
}

/** A button that copies what `text()` returns and says so. */
export function copyButton(text) {
  const node = button("Copy", "small", async () => {
    node.textContent = (await copied(text())) ? "Copied" : "Press Ctrl+C";
    setTimeout(() => { node.textContent = "Copy"; }, 1500);
  });
  return node;
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // No clipboard for pages without TLS, as on many hubs: the old way.
    const area = make("textarea", "offscreen", text);
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
