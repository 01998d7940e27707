// Runs, artifact versions or versions of a model side by side: what differs, and by how much.

import { api, link } from "./controls.js";
import { clock, duration, make, short, shortId, size } from "./dom.js";

const STEP_TIMES = "duration of steps";
const DURATIONS = new Set(["duration", STEP_TIMES]);

/** A table of what is known of `items`, one column each; the first one is what the others are
    compared with. `kind` is that of `api/v1/tagged`. */
export async function compareNode(shell, kind, items) {
  const sides = await Promise.all(items.map((item) => SIDES[kind](shell, item)));
  const keys = [...new Set(sides.flatMap((side) => [...side.values.keys()]))];
  const head = make("tr", "", make("th", "", ""), ...sides.map((side) => make("th", "", side.title)));
  const body = make("tbody", "");
  const groups = new Map();          // part -> [[key, values, whether they are the same]]
  for (const key of keys) {
    const [part, ...rest] = key.split("\u0000");
    const values = sides.map((side) => side.values.get(key));
    const isSame = values.every((value) => JSON.stringify(value) === JSON.stringify(values[0]));
    const group = rest.length ? part : "";
    if (!groups.has(group)) groups.set(group, []);
    groups.get(group).push({ name: rest.join(".") || part, part, values, isSame });
  }
  let differing = 0;
  for (const [group, rows] of groups) {
    if (group) {
      const cell = make("td", "wc-label", group);
      cell.colSpan = sides.length + 1;
      body.append(make("tr", rows.every(({ isSame }) => isSame) ? "wc-same" : "", cell));
    }
    for (const { name, part, values, isSame } of rows) {
      const row = make("tr", isSame ? "wc-same" : "", make("td", "wc-dim", name),
        ...values.map((value, index) => valueCell(part, value, index ? values[0] : undefined)));
      row.dataset.key = group ? `${group}.${name}` : name;
      differing += isSame ? 0 : 1;
      body.append(row);
    }
  }
  const table = make("table", "wc-table wc-compare", make("thead", "", head), body);
  const only = make("input", "");
  only.type = "checkbox";
  only.checked = differing > 0;
  const sift = () => table.classList.toggle("wc-only", only.checked);
  only.addEventListener("change", sift);
  sift();
  const words = `${differing} of ${keys.length} differ`;
  return make("div", "wc-run", make("div", "wc-part wc-line", make("label", "wc-check", only, "only what differs"),
    make("span", "wc-dim", words)), make("div", "wc-part", make("div", "wc-scroll", table)));
}

function valueCell(part, value, base) {
  if (value === undefined) return make("td", "wc-dim", "–");
  const isTime = DURATIONS.has(part) && typeof value === "number";
  const isSize = part === "size" && typeof value === "number";
  const cell = make("td", "wc-said", isTime ? duration(value) : isSize ? size(value) : short(value, 200));
  if (typeof value === "number" && typeof base === "number" && base !== 0 && value !== base) {
    const change = 100 * (value - base) / Math.abs(base);
    const figures = Math.abs(change) < 1000 ? Number(change.toPrecision(3)) : change.toFixed(0);
    cell.append(make("span", "wc-dim wc-change", ` ${change > 0 ? "+" : ""}${figures} %`));
  }
  return cell;
}

/** Leaves of nested values by their path. */
function spread(into, part, values, path = []) {
  for (const [name, value] of Object.entries(values ?? {})) {
    if (value !== null && typeof value === "object" && !Array.isArray(value) && Object.keys(value).length) {
      spread(into, part, value, [...path, name]);
    } else {
      into.set([part, ...path, name].join("\u0000"), value);
    }
  }
}

function put(into, pairs) {
  for (const [name, value] of Object.entries(pairs)) if (value !== null && value !== undefined && value !== "") into.set(name, value);
}

async function runSide(shell, { run_id: id }) {
  const run = await shell.host.request("GET", api("runs", id));
  const values = new Map();
  put(values, { status: run.status, duration: run.duration, deployment: run.deployment, snapshot: run.snapshot,
    tags: run.tags.join(", "), error: run.error && `${run.error.type}: ${run.error.message}` });
  spread(values, "parameters", run.parameters);
  const logged = {};
  for (const { step, key, value } of run.metadata) logged[step ? `${step}.${key}` : key] = value;
  spread(values, "metadata", logged);
  spread(values, "outputs", run.outputs);
  for (const step of run.steps) {
    values.set(`${STEP_TIMES}\u0000${step.step}`, step.duration);
    if (step.cached) values.set(`reused\u0000${step.step}`, true);
  }
  const title = make("span", "", link(shortId(id), id, () => shell.open("run", id)), make("span", "wc-dim", ` ${clock(run.created_at)}`));
  return { title, values };
}

async function versionSide(shell, { id }) {
  const version = await shell.host.request("GET", api("artifact-versions", id));
  const values = new Map();
  put(values, { artifact: version.artifact, type: version.type, kind: version.kind, size: version.size,
    "content hash": version.digest, status: version.status, run: version.run_id, step: version.step,
    tags: version.tags.join(", "), value: version.value });
  const { schema, ...rest } = version.facts ?? {};
  spread(values, "facts", rest);
  spread(values, "columns", schema);
  spread(values, "metadata", version.metadata);
  spread(values, "libraries", version.about?.libraries);
  const title = link(`${version.artifact} ${version.version}`, id, () => shell.open("artifact_version", id));
  return { title, values };
}

async function modelSide(shell, { id }) {
  const [version, { artifacts }] = await Promise.all([
    shell.host.request("GET", api("model-versions", id)),
    shell.host.request("GET", api("model-versions", id, "artifacts")),
  ]);
  const values = new Map();
  put(values, { stage: version.stage, aliases: version.aliases.join(", "), tags: version.tags.join(", "),
    run: version.run_id, user: version.user, description: version.description });
  spread(values, "metadata", version.run_metadata);
  for (const one of artifacts) values.set(`artifacts\u0000${one.artifact}`, one.version);
  const title = link(`${version.model} ${version.version}`, id, () => shell.open("model_version", id));
  return { title, values };
}

const SIDES = { run: runSide, artifact_version: versionSide, model_version: modelSide };
