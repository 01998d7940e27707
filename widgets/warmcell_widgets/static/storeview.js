// The store: how large it is, how it grows, and deleting what is old, after saying what that is.

import { counted, facts, section, sureButton } from "./controls.js";
import { button, clock, make, setText, size } from "./dom.js";

const MB = 1_000_000;

export class StoreView {
  constructor(shell) {
    this.shell = shell;
    this.figures = make("div", "wc-part wc-dim", "loading…");
    this.runs = new Pruning(shell, {
      what: "runs, with what only they need",
      path: "api/v1/store/prune",
      fields: [["max_age_days", "older than days"], ["max_runs", "beyond the newest"],
        ["max_bytes", "until they take at most, MB", MB], ["pipeline", "of the pipeline"]],
      words: ({ runs, versions, blobs, bytes }) => [counted(runs, "run"), counted(versions, "artifact version"),
        `${counted(blobs, "file")} (${size(bytes)})`].join(", "),
    });
    this.versions = new Pruning(shell, {
      what: "artifact versions that nothing uses or keeps",
      path: "api/v1/artifact-versions/prune",
      fields: [["days", "older than days"], ["keep", "beyond the newest, of each"],
        ["bytes", "until they take at most, MB", MB], ["artifact", "named, as model*"]],
      words: ({ versions, bytes, kept }) => `${counted(versions, "version")}, ${size(bytes)}`
        + (kept ? `; ${kept} more fit, but are kept` : ""),
    });
    this.node = make("div", "wc-view wc-run", this.figures, this.runs.node, this.versions.node);
  }

  async changed() {
    if (this.busy) return;
    this.busy = true;
    try {
      const found = await this.shell.host.request("GET", "api/v1/store");
      const body = figuresNode(found);
      this.figures.replaceWith(body);
      this.figures = body;
    } catch (error) {
      this.figures.textContent = error.message;
    }
    this.busy = false;
  }

  tick() {}
}

function figuresNode(found) {
  const { last_day: day, last_week: week, keep } = found;
  const kept = [keep.days && `${keep.days} days`, keep.runs && counted(keep.runs, "run"),
    keep.bytes && size(keep.bytes)].filter(Boolean).join(", ");
  const bar = make("div", "wc-shares");
  for (const part of ["database", "blobs", "spool"]) {
    const share = make("span", `wc-share wc-share-${part}`);
    share.style.flexGrow = found[part] / Math.max(found.total, 1);
    share.title = `${part}: ${size(found[part])}`;
    bar.append(share);
  }
  return make("div", "", section("size", facts([
    ["in all", size(found.total)],
    ["database", `${size(found.database)}, ${counted(found.runs, "run")}, ${counted(found.snapshots, "snapshot")}`],
    ["files", `${size(found.blobs)}; ${counted(found.artifacts, "artifact version")} of ${size(found.artifact_bytes)} share them`],
    ["not yet in the database", size(found.spool)],
    ["oldest run", clock(found.oldest)],
    ["where", found.home],
  ]), bar), section("growth", facts([
    ["in the last day", `${counted(day.runs, "run")}, ${size(day.bytes)}`],
    ["in the last week", `${counted(week.runs, "run")}, ${size(week.bytes)}`],
    ["kept at most", kept || "everything"],
  ])));
}

/** A form that says what would be deleted, and deletes just that on a second click. */
class Pruning {
  constructor(shell, { what, path, fields, words }) {
    this.shell = shell;
    this.path = path;
    this.words = words;
    this.fields = fields.map(([name, label, factor]) => {
      const field = make("input", "wc-input");
      field.name = name;
      field.setAttribute("aria-label", label);
      field.addEventListener("keydown", (event) => event.stopPropagation());
      field.addEventListener("input", () => { this.remove.hidden = true; });
      return { name, field, factor, node: make("label", "wc-field", make("span", "wc-dim wc-sub", label), field) };
    });
    this.said = make("span", "wc-said");
    this.said.setAttribute("role", "status");
    this.remove = sureButton("Delete them", "Delete for good?", () => this.prune(false));
    this.remove.hidden = true;
    const look = button("What would go?", "wc-small", () => this.prune(true));
    this.node = section(`delete ${what}`, make("div", "wc-fields", ...this.fields.map(({ node }) => node)),
      make("div", "wc-line", look, this.remove, this.said));
  }

  body() {
    const body = {};
    for (const { name, field, factor } of this.fields) {
      const text = field.value.trim();
      if (!text) continue;
      const isText = name === "pipeline" || name === "artifact";
      const number = Number(text);
      if (!isText && Number.isNaN(number)) throw new Error(`“${text}” is no number.`);
      body[name] = isText ? text : Math.round(number * (factor ?? 1) * 1e6) / 1e6;
    }
    return body;
  }

  async prune(isDry) {
    try {
      const body = this.body();
      if (!Object.keys(body).length) throw new Error("Say which: nothing was filled in.");
      const gone = await this.shell.host.request("POST", this.path, { ...body, dry_run: isDry });
      const some = gone.runs || gone.versions;
      this.said.className = "wc-said";
      setText(this.said, `${this.words(gone)} ${isDry ? "would go." : "went."}`);
      this.remove.hidden = !isDry || !some;
    } catch (error) {
      this.said.className = "wc-said wc-stderr";
      setText(this.said, [error.message, error.hint].filter(Boolean).join(" "));
      this.remove.hidden = true;
    }
  }
}
