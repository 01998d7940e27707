// The inside of a run: error, outputs, step bars, inputs, artifacts, logs. The twin of runs.py.

import { link } from "./controls.js";
import { clip, duration, elapsed, long, make, pairs, plain, seconds, short, shortId, size, statusMark } from "./dom.js";

const MAX_LOG_LINES = 400;

/** Everything that is known of a run, as returned by `api/v1/runs/{id}`. With `open(kind, id)` what
    it names can be gone to. */
export function runBody(run, open = null) {
  const body = make("div", "wc-run");
  if (run.error) body.append(make("div", "wc-part", errorNode(run.error)));
  if (run.outputs && Object.keys(run.outputs).length) body.append(part("outputs", valuesNode(run.outputs)));
  if (run.steps?.length) body.append(part("steps", stepsNode(run, open)));
  if (run.parameters && Object.keys(run.parameters).length) body.append(part("inputs", valuesNode(run.parameters)));
  if (run.metadata?.length) body.append(part("metadata", valuesNode(loggedOf(run.metadata))));
  const kept = (run.artifacts ?? []).filter((item) => item.version_id);
  if (kept.length) body.append(part("artifacts", keptNode(kept, open)));
  if (run.logs?.length) body.append(part("log", logsNode(run.logs)));
  const again = replayNode(run);
  if (again) body.append(again);
  if (!body.childNodes.length) body.append(make("div", "wc-part wc-dim", "Nothing recorded yet."));
  return body;
}

/** The statuses of a run that goes on no more. */
export const ENDED = new Set(["succeeded", "failed", "cancelled", "timed_out", "lost"]);

/** Whether a run is a call that can be repeated: it has ended, and a snapshot has its code. */
export function repeatable(run) {
  return ENDED.has(run.status) && run.snapshot !== null && run.snapshot !== undefined;
}

/** How to have a run in a notebook, and which run it repeats. */
function replayNode(run) {
  if (!repeatable(run)) return null;
  const line = make("div", "wc-part wc-dim", "Replay it in a notebook: ",
    make("code", "wc-mono", `%replay ${run.run_id}`));
  if (run.origin) line.append(`; it repeats run ${run.origin}`);
  return line;
}

function part(label, node) {
  return make("div", "wc-part", make("p", "wc-label", label), node);
}

/** What was logged about a run and its steps, by `key` and `step.key`. */
export function loggedOf(metadata) {
  return Object.fromEntries(metadata.map(({ step, key, value }) => [step ? `${step}.${key}` : key, value]));
}

/** The outputs that were kept as artifact versions. */
function keptNode(items, open) {
  const rows = items.map((item) => {
    const words = `${item.artifact}, version ${item.version}`;
    const name = open ? link(words, item.version_id, () => open("artifact_version", item.version_id)) : words;
    const status = make("td", item.status === "stored" ? "wc-dim" : "wc-status wc-lost", item.status === "stored" ? "" : item.status);
    return make("tr", "", make("td", "", name), make("td", "wc-dim", `${item.step}.${item.name}`),
      make("td", "wc-dim", String(item.type ?? "").split(".").at(-1)),
      make("td", "wc-num", typeof item.size === "number" ? size(item.size) : ""), status);
  });
  return make("div", "wc-scroll", make("table", "wc-table wc-kept", make("tbody", "", ...rows)));
}

/** That the results of a step were taken again, and from which run. */
function reuseNode(step, open) {
  const mark = make("span", "wc-badge", "reused");
  mark.title = `The results of run ${step.cached}`;
  const from = open ? link(shortId(step.cached), step.cached, () => open("run", step.cached)) : shortId(step.cached);
  return make("span", "", mark, make("span", "wc-dim", " from ", from));
}

/** Why the results of steps were not taken again: one line for each reason. */
function freshNode(steps) {
  const reasons = new Map();
  for (const { step, uncached } of steps) {
    if (uncached) reasons.set(uncached, [...(reasons.get(uncached) ?? []), step]);
  }
  if (!reasons.size) return null;
  const lines = [...reasons].map(([reason, names]) => make("div", "", `${names.join(", ")} not reused: ${reason}`));
  return make("div", "wc-sub wc-dim wc-fresh-steps", ...lines);
}

/** How a run came about, as `call of churn, snapshot 3`. */
export function served(run) {
  let words = String(run.trigger ?? "");
  if (run.deployment) words += words ? ` of ${run.deployment}` : run.deployment;
  if (run.snapshot !== null && run.snapshot !== undefined) words += `, snapshot ${run.snapshot}`;
  return words;
}

export function errorNode(error) {
  if (typeof error !== "object") return make("div", "wc-error", plain(error));
  const node = make("div", "wc-error", make("b", "", error.type || "Error"));
  if (error.step) node.append(" in step ", make("b", "", error.step));
  if (error.message) node.append(make("pre", "wc-text", plain(error.message)));
  if (error.hint) node.append(make("p", "", error.hint));
  if (error.traceback) {
    node.append(make("details", "", make("summary", "", "traceback"),
      make("pre", "wc-text", plain(error.traceback))));
  }
  return node;
}

/** An error as one line. */
export function errorLine(error) {
  if (!error) return "";
  if (typeof error !== "object") return plain(error);
  return clip(plain(`${error.type || "Error"}: ${error.message || ""}`), 120);
}

export function valuesNode(values) {
  if (typeof values !== "object" || Array.isArray(values)) return make("pre", "wc-text", long(values));
  const list = make("dl", "wc-values");
  for (const [name, value] of Object.entries(values)) {
    list.append(make("dt", "", name), make("dd", "", make("pre", "", long(value))));
  }
  return list;
}

function stepsNode(run, open) {
  const artifacts = new Map();
  for (const item of run.artifacts ?? []) {
    if (!artifacts.has(item.step)) artifacts.set(item.step, []);
    artifacts.get(item.step).push(item);
  }
  const times = run.steps.map((step) => seconds(step.started_at));
  const first = Math.min(...times.filter((time) => time !== null));
  const last = Math.max(first, ...run.steps.map((step, index) => (times[index] ?? first) + (elapsed(step) ?? 0)));
  const span = last - first;
  const body = make("tbody", "");
  for (const [index, step] of run.steps.entries()) {
    const took = elapsed(step);
    const name = make("td", "", statusMark(step.status), ` ${step.step}`);
    if (step.attempts > 1) name.append(make("span", "wc-dim", ` ${step.attempts} attempts`));
    if (step.cached) name.append(" ", reuseNode(step, open));
    const track = make("div", "wc-track");
    if (times[index] !== null && span > 0) {
      const bar = make("div", `wc-bar wc-${step.status}`);
      const left = Math.min(100 * (times[index] - first) / span, 99);
      bar.style.marginLeft = `${left}%`;
      bar.style.width = `${Math.min(Math.max(100 * (took ?? 0) / span, 0.5), 100 - left)}%`;
      track.append(bar);
    }
    const made = (artifacts.get(step.step) ?? []).map((item) => {
      const value = item.preview || (item.value === null || item.value === undefined ? item.type : short(item.value, 60));
      return `${item.name}: ${value}`;
    }).join(", ");
    const output = make("td", "wc-clip wc-dim", clip(made, 160));
    output.title = clip(made, 600);
    body.append(make("tr", "", name, make("td", "wc-lane", track),
      make("td", "wc-num", duration(took)), output));
    if (step.error && step.status === "failed" && step.step !== run.error?.step) {
      const cell = make("td", "", errorNode(step.error));
      cell.colSpan = 4;
      body.append(make("tr", "", cell));
    }
  }
  const table = make("div", "wc-scroll", make("table", "wc-table wc-steps", body));
  return make("div", "", table, freshNode(run.steps));
}

function logsNode(logs) {
  const box = make("div", "");
  let block = null;
  let step = null;
  let lines = 0;
  for (const record of logs) {
    if (lines >= MAX_LOG_LINES) {
      box.append(make("p", "wc-dim", "The rest is in Client().get_run(id).logs."));
      break;
    }
    const text = clip(plain(record.text), 8000);
    lines += Math.max(text.split("\n").length - 1, 1);
    if (block === null || step !== (record.step ?? "")) {
      step = record.step ?? "";
      if (step) box.append(make("p", "wc-origin", step));
      block = make("pre", "wc-text");
      box.append(block);
    }
    block.append(record.stream === "stderr" ? make("span", "wc-stderr", text) : text);
  }
  return box;
}

/** What tells two states of a run apart at a glance; equal text means nothing to redraw. */
export function fingerprint(run) {
  return [run.status, run.duration, run.finished_at, run.steps?.length, run.logs?.length,
    run.steps?.map((step) => step.status).join(), errorLine(run.error), pairs(run.outputs, 200)].join("|");
}
