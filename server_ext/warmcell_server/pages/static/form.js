// A form made from a JSON Schema. A field has `node`, `read(wrong)` and `write(value)`, and
// `mark(path, message)` shows an error at the place that a JSON Pointer names. `read` adds to
// `wrong` what the field knows it cannot send; what fits is otherwise the server's to say.

import { button, make, parse, select, stringify } from "./dom.js";

const DEEPEST = 30;
let count = 0;

/** The field for `schema`, whose references point into `root.$defs`. */
export function field(schema, root, depth = 0) {
  const found = resolved(schema, root);
  if (depth > DEEPEST) return jsonField(found);
  if ("const" in found) return constField(found);
  if (Array.isArray(found.enum)) return enumField(found);
  const choices = found.anyOf ?? found.oneOf;
  if (choices) return choiceField(found, choices, root, depth);
  if (Array.isArray(found.allOf) && found.allOf.length === 1) {
    return field({ ...resolved(found.allOf[0], root), ...rest(found, "allOf") }, root, depth);
  }
  if (Array.isArray(found.type)) {
    const kinds = found.type.map((type) => ({ ...found, type }));
    return choiceField(rest(found, "type"), kinds, root, depth);
  }
  if (found.type === "boolean") return booleanField(found);
  if (found.type === "integer" || found.type === "number") return numberField(found);
  if (found.type === "string") return textField(found);
  if (found.type === "null") return constField({ const: null });
  if (found.type === "array" && found.items && !found.prefixItems) return listField(found, root, depth);
  if (found.properties) return objectField(found, root, depth);
  return jsonField(found);
}

/** The schema that a reference stands for, with what stands beside the reference. */
export function resolved(schema, root) {
  let found = schema && typeof schema === "object" ? schema : {};
  for (let step = 0; found.$ref && step < DEEPEST; step += 1) {
    const target = root.$defs?.[found.$ref.replace("#/$defs/", "")] ?? {};
    found = { ...target, ...rest(found, "$ref") };
  }
  return found;
}

function rest(schema, name) {
  const { [name]: _left, ...others } = schema;
  return others;
}

// -- leaves ----------------------------------------------------------------------------------

function leaf(input, schema, { read, write }) {
  const message = make("div", "wrong");
  const hint = make("div", "hint", hintOf(schema));
  input.id ||= `field-${count += 1}`;
  const node = make("div", "leaf", input, hint.textContent ? hint : null, message);
  return {
    node,
    input,
    read: (wrong) => {
      message.textContent = "";
      try {
        return read();
      } catch (error) {
        message.textContent = error.message;
        wrong.push(error.message);
        return undefined;
      }
    },
    write,
    mark: (path, text) => { message.textContent = text; },
    clear: () => { message.textContent = ""; },
  };
}

function hintOf(schema) {
  const words = [
    ["minimum", "≥ "], ["exclusiveMinimum", "> "], ["maximum", "≤ "], ["exclusiveMaximum", "< "],
    ["multipleOf", "a multiple of "], ["minLength", "length ≥ "], ["maxLength", "length ≤ "],
    ["pattern", "matches "],
  ];
  const found = words.filter(([key]) => key in schema).map(([key, word]) => word + schema[key]);
  if (schema.format && schema.type === "string") found.unshift(schema.format);
  return [schema.description, found.join(", ")].filter(Boolean).join(" · ");
}

function constField(schema) {
  const node = make("code", "", stringify(schema.const));
  return { node, read: () => schema.const, write: () => {}, mark: () => {}, clear: () => {} };
}

function enumField(schema) {
  const input = select(schema.enum.map((value, index) => [index, typeof value === "string" ? value : stringify(value)]));
  return leaf(input, schema, {
    read: () => schema.enum[input.value],
    write: (value) => {
      const index = schema.enum.findIndex((one) => stringify(one) === stringify(value));
      if (index >= 0) input.value = index;
    },
  });
}

function booleanField(schema) {
  const input = select([["true", "true"], ["false", "false"]]);
  return leaf(input, schema, {
    read: () => input.value === "true",
    write: (value) => { input.value = String(value === true); },
  });
}

function numberField(schema) {
  const input = make("input");
  input.inputMode = "decimal";
  input.autocomplete = "off";
  const pattern = schema.type === "integer" ? /^-?\d+$/ : /^-?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
  return leaf(input, schema, {
    read: () => {
      const text = input.value.trim();
      if (!pattern.test(text)) {
        throw new Error(schema.type === "integer" ? "This takes a whole number." : "This takes a number.");
      }
      const value = Number(text);
      return schema.type === "integer" && !Number.isSafeInteger(value) ? BigInt(text) : value;
    },
    write: (value) => { input.value = String(value ?? ""); },
  });
}

function textField(schema) {
  const isSecret = schema.writeOnly || schema.format === "password";
  const input = make(isSecret ? "input" : "textarea");
  if (isSecret) input.type = "password";
  else input.rows = 1;
  input.autocomplete = "off";
  input.spellcheck = false;
  return leaf(input, schema, {
    read: () => input.value,
    write: (value) => { input.value = typeof value === "string" ? value : ""; },
  });
}

/** For what has no field of its own: the JSON text. */
function jsonField(schema) {
  const input = make("textarea", "json");
  input.rows = 3;
  input.spellcheck = false;
  input.placeholder = "JSON";
  return leaf(input, schema, {
    read: () => {
      try {
        return parse(input.value);
      } catch {
        throw new Error("This takes JSON: a text needs quotes.");
      }
    },
    write: (value) => { input.value = value === undefined ? "" : stringify(value, "  "); },
  });
}

// -- fields within fields --------------------------------------------------------------------

function objectField(schema, root, depth) {
  const required = new Set(schema.required ?? []);
  const parts = new Map();
  const node = make("div", depth ? "object nested" : "object");
  for (const [name, part] of Object.entries(schema.properties)) {
    const inner = property(name, part, root, depth, required.has(name));
    parts.set(name, inner);
    node.append(inner.node);
  }
  let extra = {};   // what the schema allows beyond its properties, from an example
  const message = make("div", "wrong");
  node.append(message);
  return {
    node,
    read: (wrong) => {
      const found = { ...extra };
      for (const [name, part] of parts) {
        const value = part.read(wrong);
        if (value !== undefined) found[name] = value;
      }
      return found;
    },
    write: (value) => {
      const given = value && typeof value === "object" ? value : {};
      extra = Object.fromEntries(Object.entries(given).filter(([name]) => !parts.has(name)));
      for (const [name, part] of parts) part.write(given[name]);
    },
    mark: ([name, ...path], text) => {
      if (parts.has(name)) parts.get(name).mark(path, text);
      else message.textContent = text;
    },
    clear: () => {
      message.textContent = "";
      for (const part of parts.values()) part.clear();
    },
  };
}

/** One property: a label, a box to leave it out where it is optional, and its field, which is
    made once it is needed: a schema may contain itself. */
function property(name, schema, root, depth, isRequired) {
  const shape = resolved(schema, root);
  const label = make("label", "name", make("code", "", name));
  const holder = make("div", "holder");
  const head = make("div", "caption", label);
  const node = make("div", "property", head, holder);
  let inner = null;
  const open = () => {
    if (inner) return;
    inner = field(schema, root, depth + 1);
    inner.write("default" in shape ? shape.default : starting(schema, root, 0));
    if (inner.input) label.htmlFor = inner.input.id;
    holder.append(inner.node);
  };
  let box = null;
  if (isRequired) {
    open();
  } else {
    box = make("input");
    box.type = "checkbox";
    box.title = "Send it";
    box.ariaLabel = `Send ${name}`;
    head.prepend(box);
    head.append(make("span", "default", "default" in shape ? `default ${stringify(shape.default)}` : "optional"));
    box.addEventListener("input", () => show(box.checked));
  }
  const show = (isSent) => {
    if (isSent) open();
    if (box) box.checked = isSent;
    holder.hidden = !isSent;
  };
  show(isRequired);
  return {
    node,
    read: (wrong) => (inner && !holder.hidden ? inner.read(wrong) : undefined),
    write: (value) => {
      show(isRequired || value !== undefined);
      if (value !== undefined) inner.write(value);
    },
    mark: (path, text) => {
      show(true);
      inner.mark(path, text);
    },
    clear: () => inner?.clear(),
  };
}

function listField(schema, root, depth) {
  const rows = [];
  const holder = make("div", "rows");
  const message = make("div", "wrong");
  const add = (value) => {
    const inner = field(schema.items, root, depth + 1);
    inner.write(value);
    const row = { inner, node: make("div", "row", inner.node) };
    row.node.append(button("×", "small remove", () => {
      rows.splice(rows.indexOf(row), 1);
      row.node.remove();
    }));
    row.node.lastChild.ariaLabel = "Remove";
    rows.push(row);
    holder.append(row.node);
  };
  const plus = button("+ Add", "small", () => add(starting(schema.items, root, 0)));
  const node = make("div", "list", holder, plus, message);
  return {
    node,
    read: (wrong) => rows.map((row) => row.inner.read(wrong)),
    write: (value) => {
      rows.length = 0;
      holder.replaceChildren();
      for (const part of Array.isArray(value) ? value : []) add(part);
    },
    mark: ([index, ...path], text) => {
      const row = rows[Number(index)];
      if (row && index !== undefined) row.inner.mark(path, text);
      else message.textContent = text;
    },
    clear: () => {
      message.textContent = "";
      for (const row of rows) row.inner.clear();
    },
  };
}

/** One of several schemas: a select, and the field of the chosen one. */
function choiceField(schema, choices, root, depth) {
  const shapes = choices.map((choice) => resolved(choice, root));
  const chooser = select(shapes.map((shape, index) => [index, titleOf(shape, choices[index])]), "Kind");
  const holder = make("div", "choice");
  const node = make("div", "", chooser, holder);
  const description = schema.description ? make("div", "hint", schema.description) : null;
  if (description) node.append(description);
  let inner = null;
  const choose = (index, value) => {
    chooser.value = index;
    inner = field(choices[index], root, depth + 1);
    inner.write(value);
    holder.replaceChildren(inner.node);
  };
  chooser.addEventListener("input", () => {
    const index = Number(chooser.value);
    choose(index, starting(choices[index], root, 0));
  });
  choose(0, starting(choices[0], root, 0));
  return {
    node,
    read: (wrong) => inner.read(wrong),
    write: (value) => {
      const index = shapes.findIndex((shape) => matches(shape, value));
      choose(Math.max(index, 0), value);
    },
    mark: (path, text) => inner.mark(path, text),
    clear: () => inner.clear(),
  };
}

function titleOf(shape, choice) {
  if ("const" in shape) return stringify(shape.const);
  const name = choice.$ref?.replace("#/$defs/", "");
  if (shape.type === "array" && shape.items?.type) return `array of ${shape.items.type}`;
  return shape.title ?? name ?? shape.format ?? (Array.isArray(shape.enum) ? "one of" : shape.type ?? "JSON");
}

/** Whether `value` may be meant for `shape`: its type, and the constants that tell one from another. */
function matches(shape, value) {
  if ("const" in shape) return stringify(shape.const) === stringify(value);
  if (Array.isArray(shape.enum)) return shape.enum.some((one) => stringify(one) === stringify(value));
  const kinds = Array.isArray(shape.type) ? shape.type : [shape.type];
  const isWhole = typeof value === "bigint" || Number.isInteger(value);
  const kind = value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
  const fits = kinds.some((one) => one === undefined || one === kind
    || (one === "integer" && isWhole) || (one === "number" && (kind === "number" || isWhole)));
  if (!fits || kind !== "object" || !shape.properties) return fits;
  return Object.entries(shape.properties).every(([name, part]) => !("const" in part)
    || stringify(part.const) === stringify(value[name]))
    && (shape.required ?? []).every((name) => name in value);
}

/** A value to start from. */
function starting(schema, root, depth) {
  const shape = resolved(schema, root);
  if ("default" in shape) return shape.default;
  if ("const" in shape) return shape.const;
  if (shape.examples?.length) return shape.examples[0];
  if (Array.isArray(shape.enum)) return shape.enum[0];
  const choice = (shape.anyOf ?? shape.oneOf)?.[0];
  if (choice) return depth < DEEPEST ? starting(choice, root, depth + 1) : null;
  const kind = Array.isArray(shape.type) ? shape.type[0] : shape.type;
  if (kind === "boolean") return true;
  if (kind === "string") return "";
  if (kind === "array") return [];
  if (kind === "null") return null;
  if (kind === "object" && depth < DEEPEST) {
    const required = (shape.required ?? []).filter((name) => shape.properties?.[name]);
    return Object.fromEntries(required.map((name) => [name, starting(shape.properties[name], root, depth + 1)]));
  }
  return kind === "integer" || kind === "number" ? "" : undefined;
}

/** `value` with what `schema` marks as secret replaced by its name: to be shown. */
export function masked(value, schema, root, name = "secret", depth = 0) {
  const shape = resolved(schema, root);
  if (value === null || value === undefined || depth > DEEPEST) return value;
  if (shape.writeOnly || shape.format === "password") return `<${name}>`;
  const choices = shape.anyOf ?? shape.oneOf ?? shape.allOf ?? [];
  let found = value;
  for (const choice of choices) found = masked(found, choice, root, name, depth + 1);
  if (Array.isArray(found)) {
    return shape.items ? found.map((part) => masked(part, shape.items, root, name, depth + 1)) : found;
  }
  if (typeof found !== "object" || !shape.properties) return found;
  return Object.fromEntries(Object.entries(found).map(([key, part]) => [
    key, shape.properties[key] ? masked(part, shape.properties[key], root, key, depth + 1) : part,
  ]));
}
