// Artifact versions: find them, see what they are, where they came from, keep or delete them.

import { api, facts, grid, link, section, sureButton, tagEditor, tagNodes } from "./controls.js";
import { button, clock, copyButton, make, setText, shortId, size } from "./dom.js";
import { lineagePart } from "./lineage.js";
import { Listing } from "./listing.js";
import { valuesNode } from "./parts.js";
import { previewNode } from "./preview.js";

const KEEP_TAG = "keep";
const VERSION_COLUMNS = [["artifact", ""], ["version", ""], ["type", ""], ["what", "wc-clip wc-dim"],
  ["size", "wc-num"], ["made", "wc-dim"], ["status", ""]];
const MARK_OF = { stored: "succeeded", pending: "running", lost: "lost" };

export class Artifacts extends Listing {
  constructor(shell) {
    super(shell, { noun: "version", columns: VERSION_COLUMNS, older: "Load older versions",
      compare: "artifact_version",
      empty: "No artifacts here. Batch runs keep what their steps give; save_artifact() keeps a value." });
    this.latest = make("input", "");
    this.latest.type = "checkbox";
    this.latest.addEventListener("change", () => this.reload());
    this.tools.append(make("label", "wc-check", this.latest, "newest of each only"));
    this.addSelect("kind", []);
    this.addWanted("tag", "tag");
    this.addWanted("text", "name, type, value …");
  }

  chosen() {
    return { ...super.chosen(), ...(this.latest.checked ? { latest: "true" } : {}) };
  }

  async fetchPage(limit, before) {
    const query = new URLSearchParams({ ...this.shell.fixed, ...this.chosen(), limit });
    if (before) query.set("before", before);
    const { versions, next } = await this.shell.host.request("GET", `api/v1/artifact-versions?${query}`);
    return { items: versions, next };
  }

  idOf(version) {
    return version.id;
  }

  arrange() {
    this.offer("kind", (version) => version.kind);
    super.arrange();
  }

  fill(cells, version, node) {
    node.dataset.version = version.id;
    const [name, label, type, what, bytes, made, status] = cells;
    setText(name, version.artifact);
    label.replaceChildren(version.version, " ", ...tagNodes(version.tags, this.shell.colors));
    setText(type, bareType(version.type));
    type.title = version.type;
    setText(what, outline(version));
    setText(bytes, version.size === null ? "" : size(version.size));
    setText(made, clock(version.created_at));
    made.title = version.created_at;
    status.className = `wc-status wc-${MARK_OF[version.status] ?? "failed"}`;
    setText(status, version.status);
  }

  detail(version, changed) {
    return versionDetail(this.shell, version.id, changed);
  }
}

/** A class without the module that needs no saying. */
export function bareType(type) {
  return String(type ?? "").split(".").at(-1);
}

/** What a version is, in a few words: shape, columns, or the value itself. */
export function outline({ value, facts: said, files }) {
  if (value !== null && value !== undefined) return JSON.stringify(value).slice(0, 160);
  if (said?.schema) return `${said.rows} × ${said.columns}: ${Object.keys(said.schema).slice(0, 8).join(", ")}`;
  const words = Object.entries(said ?? {}).filter(([, one]) => typeof one !== "object" || Array.isArray(one));
  if (words.length) return words.map(([name, one]) => `${name} ${Array.isArray(one) ? one.join(" × ") : one}`).join(", ");
  return files?.length === 1 ? files[0].name : files?.length ? `${files.length} files` : "";
}

/** How to have a version in a notebook. */
function loadLine(version) {
  return `Client().get_artifact_version(${JSON.stringify(version.artifact)}, ${JSON.stringify(version.version)}).load()`;
}

/** Everything of one version; `changed` is called once it was changed, or is gone. */
export async function versionDetail(shell, id, changed) {
  const version = await shell.host.request("GET", api("artifact-versions", id));
  const body = make("div", "wc-run wc-version");
  body.dataset.title = `${version.artifact}, version ${version.version}`;
  const preview = await previewNode(shell.host, version);
  if (preview) body.append(section("preview", preview));
  body.append(section("what it is", facts([
    ["artifact", `${version.artifact}, version ${version.version}`],
    ["type", version.type],
    ["kind", version.role && version.role !== version.kind ? `${version.kind} (${version.role})` : version.kind],
    ["size", version.size === null ? null : size(version.size)],
    ["content hash", version.digest],
    ["status", version.status === "stored" ? null : version.status],
    ["made by", origin(shell, version)],
    ["user", version.user],
  ])));
  if (version.facts?.schema) {
    body.append(section("columns", grid(["column", "type"], Object.entries(version.facts.schema))));
  }
  const others = Object.entries(version.facts ?? {}).filter(([name]) => name !== "schema");
  if (others.length) body.append(section("facts", valuesNode(Object.fromEntries(others))));
  if (Object.keys(version.metadata ?? {}).length) body.append(section("metadata", valuesNode(version.metadata)));
  if (version.about?.libraries) body.append(section("libraries", valuesNode(version.about.libraries)));
  body.append(section("tags", tagEditor(shell, { kind: "artifact_version", id: version.id }, version.tags, changed)));
  if (version.kept_by?.length) body.append(section("used by", keepersNode(shell, version.kept_by)));
  if (version.run_id) body.append(makingNode(shell, version));
  body.append(lineagePart(shell, "artifact_version", version.id));
  const line = loadLine(version);
  const call = make("div", "wc-call", make("pre", "wc-text", line), copyButton(() => line));
  body.append(section("load it", call), versionFoot(shell, version, changed));
  return body;
}

function origin(shell, version) {
  if (!version.run_id) return null;
  const words = `${version.step ?? "run"} of ${version.pipeline ?? "a run"}, run ${shortId(version.run_id)}`;
  return link(words, version.run_id, () => shell.open("run", version.run_id));
}

/** How a version was made: parameters, inputs and code, asked for once it is opened. */
function makingNode(shell, version) {
  const node = make("details", "wc-part wc-making", make("summary", "", "how it was made"));
  node.addEventListener("toggle", async () => {
    if (!node.open || node.childNodes.length > 1) return;
    const body = make("div", "wc-dim", "loading…");
    node.append(body);
    try {
      const made = await shell.host.request("GET", api("artifact-versions", version.id, "origin"));
      body.replaceWith(...madeNodes(shell, made));
    } catch (error) {
      setText(body, error.message);
    }
  });
  return node;
}

function madeNodes(shell, { run, inputs, snapshot, code }) {
  const nodes = [];
  const named = (words) => make("p", "wc-label", words);
  if (run?.parameters && Object.keys(run.parameters).length) nodes.push(named("parameters"), valuesNode(run.parameters));
  if (inputs.length) {
    nodes.push(named("inputs"), facts(inputs.map((one) => [one.input, link(`${one.artifact}, version ${one.version}`,
      one.id, () => shell.open("artifact_version", one.id))])));
  }
  for (const part of code) nodes.push(named(`${part.kind ?? "code"} ${part.name ?? ""}`), make("pre", "wc-text", part.source));
  if (snapshot) nodes.push(make("p", "wc-dim", `Snapshot ${snapshot.number ?? snapshot} of ${run.pipeline}`));
  if (!nodes.length) nodes.push(make("p", "wc-dim", run ? "Its run says no more." : "Its run is not kept any more."));
  return nodes;
}

function keepersNode(shell, keepers) {
  const list = make("ul", "wc-list");
  for (const { kind, name, how } of keepers) {
    const item = make("li", "", `${kind} `);
    if (kind === "run") item.append(link(shortId(name), name, () => shell.open("run", name)), how ? ` (${how})` : "");
    else if (kind === "model") item.append(link(name, name, () => shell.open("model", name)), ` version ${how}`);
    else item.append(name, how ? ` (${how})` : "");
    list.append(item);
  }
  return list;
}

function versionFoot(shell, version, changed) {
  const problem = make("span", "wc-stderr wc-said");
  problem.setAttribute("role", "alert");
  const attempt = async (action) => {
    try {
      await action();
    } catch (error) {
      setText(problem, [error.message, error.hint].filter(Boolean).join(" "));
      return;
    }
    await changed();
  };
  const isKept = version.tags.includes(KEEP_TAG);
  const on = { kind: "artifact_version", id: version.id };
  const keep = button(isKept ? "Let go" : "Keep", "wc-small", () => attempt(() => (isKept
    ? shell.host.request("POST", "api/v1/tagged/remove", { tags: [KEEP_TAG], on })
    : shell.host.request("POST", "api/v1/tagged", { tags: [{ name: KEEP_TAG }], on }))));
  keep.title = isKept ? "It may be deleted and pruned again." : "It is never deleted or pruned, as long as it has the tag keep.";
  const gone = sureButton("Delete", "Delete for good?", () => attempt(
    () => shell.host.request("DELETE", api("artifact-versions", version.id))));
  return make("div", "wc-part wc-foot wc-dim", make("span", "wc-mono", version.id), keep, gone, problem);
}
