// What came back: status, times, outputs, or the problem.

import { make, milliseconds, stringify } from "./dom.js";

const OUTPUT = /^runs\/[\w-]+\/outputs\/[^/?#]+$/;

/** The head of an answer: how it went, and how long it took here and there. */
export function headNode({ status, took, headers, body }) {
  const isGood = status < 400;
  const node = make("p", "head", make("strong", isGood ? "good" : "bad", `${status}`));
  if (took !== undefined) node.append(make("span", "", `${milliseconds(took)} here`));
  if (typeof body?.execution_time === "number") {
    node.append(make("span", "", `${milliseconds(body.execution_time * 1000)} in the pipeline`));
  }
  const runId = body?.metadata?.run_id ?? body?.run_id;
  if (runId) {
    const link = make("a", "", `run ${runId.slice(-8)}`);
    link.href = `runs/${encodeURIComponent(runId)}`;
    node.append(link);
  }
  const times = timings(headers?.get("Server-Timing"));
  return times.length ? make("div", "", node, timesNode(times)) : node;
}

/** `[name, milliseconds]` of a Server-Timing header. */
export function timings(header) {
  return (header ?? "").split(",").flatMap((part) => {
    const [name, ...fields] = part.trim().split(";");
    const field = (key) => fields.map((text) => text.trim()).find((text) => text.startsWith(`${key}=`))?.slice(key.length + 1);
    const text = field("desc")?.replace(/^"(.*)"$/, "$1");
    const time = Number(field("dur"));
    return name && Number.isFinite(time) ? [[text || name, time]] : [];
  });
}

/** `[name, milliseconds]` of the steps of a run. */
export function stepTimes(run) {
  return (run.steps ?? []).filter((step) => typeof step.duration === "number")
    .map((step) => [step.step, step.duration * 1000]);
}

/** Times as bars. */
export function timesNode(times) {
  const longest = Math.max(...times.map(([, time]) => time), 1e-6);
  const rows = times.map(([name, time]) => {
    const bar = make("div", "bar");
    bar.style.width = `${(100 * time) / longest}%`;
    return make("tr", "", make("th", "", name), make("td", "time", milliseconds(time)), make("td", "bars", bar));
  });
  return make("table", "times", ...rows);
}

/** The outputs, each under its name; figures are shown. */
export function outputsNode(outputs) {
  if (outputs === null || typeof outputs !== "object" || Array.isArray(outputs)) {
    return make("pre", "", stringify(outputs, "  "));
  }
  const parts = Object.entries(outputs).flatMap(([name, value]) => [
    make("h4", "", make("code", "", name)), outputNode(name, value),
  ]);
  return make("div", "outputs", ...parts);
}

function outputNode(name, value) {
  const href = value?.href;
  if (typeof href !== "string" || !OUTPUT.test(href)) return make("pre", "", stringify(value, "  "));
  const kind = String(value.content_type ?? "");
  if (kind.startsWith("image/")) {
    const image = make("img");
    image.src = href;
    image.alt = name;
    return image;
  }
  const link = make("a", "", `${kind || "file"}, ${value.size ?? "?"} bytes`);
  link.href = href;
  link.download = "";
  return link;
}

/** A problem document: what was wrong, where, and the way out. */
export function problemNode(body) {
  const node = make("div", "problem", make("p", "", body.detail || body.title || "It failed."));
  if (body.hint) node.append(make("p", "hint", body.hint));
  if (Array.isArray(body.errors) && body.errors.length) {
    node.append(make("ul", "", ...body.errors.map((error) => make("li", "",
      make("code", "", String(error.pointer ?? "")), ` ${error.message ?? ""}`))));
  }
  return node;
}

/** The JSON itself, for those who want to see it. */
export function rawNode(body) {
  return make("details", "", make("summary", "", "The whole answer"), make("pre", "", stringify(body, "  ")));
}
