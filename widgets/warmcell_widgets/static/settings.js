// The settings of a deployment, in the Deploy form. What a field takes is said by the kernel.

import { make, setText } from "./dom.js";

const whole = (text) => (/^[+-]?\d+$/.test(text) ? Number(text) : text);
const decimal = (text) => (Number.isNaN(Number(text)) ? text : Number(text));
const RECORDS = [["all", "every run"], ["errors", "failed runs only"], ["none", "no run"],
  ["0.5", "failures and 50 % of the rest"], ["0.1", "failures and 10 %"], ["0.01", "failures and 1 %"]];
const KEPT = [["none", "none, described only"], ["all", "all"], ["errors", "those of failed runs"],
  ["0.5", "of every second run"], ["0.1", "of 10 % of the runs"], ["0.01", "of 1 % of the runs"]];
const truth = (text) => text === "true";
const SOURCES = [["false", "no, the notebook's kernel"], ["true", "yes, a kernel of its own"]];
const ACCESS = [["jupyter", "token, login or key"], ["public", "anybody (public)"]];

/** Rules by name or pattern as one text, `all` or `model=all *=0.1`, and back. */
function ruleWords(rules) {
  const all = Object.entries(rules ?? { "*": "none" });
  if (all.length === 1 && all[0][0] === "*") return String(all[0][1]);
  return all.map(([name, rule]) => `${name}=${rule}`).join(" ");
}

function rulesOf(text) {
  if (!text.includes("=")) return decimal(text);
  return Object.fromEntries(text.split(/\s+/).map((part) => {
    const cut = part.lastIndexOf("=");
    return [part.slice(0, cut), decimal(part.slice(cut + 1))];
  }));
}

/** Setting, label, and what its field is. `usual` is what the host does where nothing is set. */
export const FIELDS = [
  { heading: "how it introduces itself" },
  { name: "app_title", label: "title", usual: "the deployment's name" },
  { name: "app_version", label: "version", usual: "pipeline@snapshot" },
  { name: "app_description", label: "description", usual: "the pipeline's docstring", isWide: true },
  { heading: "how much at once, how long" },
  { name: "concurrency", label: "runs at once", usual: "32", read: whole },
  { name: "max_queue", label: "may wait in line", usual: "256", read: whole },
  { name: "timeout", label: "timeout, seconds", usual: "600", read: decimal },
  { name: "queue_timeout", label: "of it in line, seconds", usual: "no limit of its own", read: decimal },
  { name: "run_timeout", label: "of it running, seconds", usual: "no limit of its own", read: decimal },
  { name: "pool", label: "pool shared with others", usual: "none" },
  { name: "pool_size", label: "runs at once in the pool", usual: "1", read: whole, needs: "pool" },
  { name: "record", label: "recorded in the history", usual: "all", choices: RECORDS, read: decimal },
  { name: "artifacts", label: "outputs kept as artifacts", usual: "none", choices: KEPT, read: rulesOf, show: ruleWords },
  { name: "redact", label: "masked: names", usual: "none", isWide: true,
    help: "names or patterns such as *password*, with spaces between",
    show: (value) => (value ?? []).join(" "),
    read: (text) => text.split(/[\s,]+/).filter(Boolean) },
  { heading: "which kernel serves it" },
  { name: "isolated", label: "isolated", usual: "false", choices: SOURCES, read: truth,
    without: "replicas" },
  { name: "replicas", label: "replicas: kernels of its own", usual: "none", read: whole },
  { name: "standby", label: "standby: one more kept ready", usual: "false",
    choices: [["false", "no"], ["true", "yes"]], read: truth },
  { name: "idempotent", label: "idempotent: when its kernel dies", usual: "false",
    choices: [["false", "the run is lost"], ["true", "the run is sent once more"]], read: truth },
  { name: "keep_alive", label: "kept after the last call, seconds", usual: "as Jupyter's culling says",
    help: "seconds, or always",
    show: (value) => (value === true ? "always" : String(value || "")),
    read: (text) => (text === "always" ? true : decimal(text)) },
  { name: "follow", label: "follow a stage of the model", usual: "none, it serves what is deployed",
    help: "production, staging or an alias" },
  { heading: "who may call" },
  { name: "auth", label: "access", usual: "jupyter", choices: ACCESS },
  { name: "cors", label: "pages of other origins (CORS)", usual: "none", isWide: true,
    help: "scheme, host and port, with spaces between; or * for all",
    show: (value) => (value?.allow_origins ?? []).join(" "),
    read: (text) => text.split(/[\s,]+/).filter(Boolean) },
];

/** A disclosure with a field per setting; `changed` holds those that were edited. */
export class Settings {
  constructor({ onOpen, onEnter }) {
    this.fields = new Map();
    this.summary = make("span", "wc-dim");
    const grid = make("div", "wc-fields");
    for (const spec of FIELDS) {
      if (spec.heading) {
        grid.append(make("p", "wc-label wc-wide", spec.heading));
        continue;
      }
      const field = new Field(spec, () => this.check());
      field.input.addEventListener("keydown", (event) => {
        event.stopPropagation();     // keys typed here are no shortcuts of the notebook
        if (event.key === "Enter" && !spec.choices) onEnter();
      });
      this.fields.set(spec.name, field);
      grid.append(field.node);
    }
    this.warning = make("div", "wc-note wc-wide",
      "Anybody who reaches this server may call it and read its schema, without token or key.");
    this.fields.get("auth").node.after(this.warning);
    grid.append(make("p", "wc-dim wc-wide",
      "An empty field is what the pipeline says, or what the field shows in grey."));
    this.node = make("details", "wc-settings", make("summary", "", "Settings ", this.summary), grid);
    this.node.addEventListener("toggle", () => { if (this.node.open) onOpen(); });
    this.check();
  }

  /** Show what is set, but in fields that were edited. */
  update(values) {
    for (const [name, field] of this.fields) field.update(values[name]);
    this.check();
  }

  /** Show what is set in every field: what was edited is deployed. */
  saved(values) {
    for (const [name, field] of this.fields) {
      field.say("");
      field.update(values[name]);
      field.reset();
    }
    this.check();
  }

  /** The edited settings by name; null for one that was cleared. */
  changed() {
    const edited = [...this.fields].filter(([, field]) => field.isEdited());
    return Object.fromEntries(edited.map(([name, field]) => [name, field.value()]));
  }

  /** Show the kernel's sentences beside their fields. */
  refuse(problems) {
    for (const [name, text] of Object.entries(problems)) this.fields.get(name)?.say(text);
    const first = [...this.fields].find(([name]) => name in problems);
    if (!first) return;
    this.node.open = true;
    first[1].input.focus();
  }

  check() {
    for (const field of this.fields.values()) {
      if (field.spec.without) {      // what that says holds
        field.input.disabled = Boolean(this.fields.get(field.spec.without).text());
      }
      const needed = this.fields.get(field.spec.needs);
      if (!needed) continue;
      field.input.disabled = !needed.text();
      if (field.input.disabled) field.input.value = "";
    }
    this.warning.hidden = this.fields.get("auth").text() !== "public";
    const count = Object.keys(this.changed()).length;
    setText(this.summary, count ? `${count} changed, for the next deploy` : "");
  }
}

class Field {
  constructor(spec, onInput) {
    this.spec = spec;
    this.shown = this.raw(undefined);
    this.input = make(spec.choices ? "select" : "input", "wc-input");
    if (spec.choices) this.input.append(...spec.choices.map(([value, label]) => new Option(label, value)));
    else {
      this.input.placeholder = spec.help ?? spec.usual;
      this.input.spellcheck = false;
      this.input.autocomplete = "off";
      if (spec.read === whole || spec.read === decimal) this.input.inputMode = "decimal";
    }
    this.input.name = spec.name;
    this.input.setAttribute("aria-label", spec.label);
    this.reset();
    this.problem = make("span", "wc-stderr wc-sub");
    this.problem.setAttribute("role", "alert");
    this.input.addEventListener("input", () => {
      this.say("");
      onInput();
    });
    const label = make("span", "wc-dim wc-sub", spec.label);
    this.node = make("label", spec.isWide ? "wc-field wc-wide" : "wc-field", label, this.input, this.problem);
  }

  /** A value as the text of the field. */
  raw(value) {
    if (this.spec.show) return this.spec.show(value);
    return String(value ?? (this.spec.choices ? this.spec.usual : ""));
  }

  text() {
    return this.input.value.trim();
  }

  value() {
    const text = this.text();
    if (!text) return null;
    return this.spec.read ? this.spec.read(text) : text;
  }

  isEdited() {
    return this.text() !== this.shown;
  }

  update(value) {
    const isEdited = this.isEdited();
    this.shown = this.raw(value);
    if (!isEdited) this.reset();
  }

  reset() {
    if (this.spec.choices && ![...this.input.options].some((option) => option.value === this.shown)) {
      this.input.append(new Option(this.shown, this.shown));
    }
    if (this.input.value !== this.shown) this.input.value = this.shown;
  }

  say(text) {
    setText(this.problem, text);
    this.input.setAttribute("aria-invalid", String(Boolean(text)));
  }
}
