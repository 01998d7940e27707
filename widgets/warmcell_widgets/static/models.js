// Models: their versions and stages, who moved which when, promotion and the way back.

import { api, facts, grid, link, section, sureButton, tagEditor, tagNodes, userNode } from "./controls.js";
import { button, clock, copyButton, make, setText, shortId } from "./dom.js";
import { lineagePart } from "./lineage.js";
import { Listing } from "./listing.js";
import { valuesNode } from "./parts.js";

const MODEL_COLUMNS = [["model", ""], ["versions", "wc-num"], ["newest", ""], ["stages and aliases", ""],
  ["tags", ""], ["changed", "wc-dim"]];
const STAGE_NAMES = ["staging", "production", "archived", "none"];
const MOST_VERSIONS = 100;
const ABOUT = ["description", "license", "audience", "use_cases", "limitations", "trade_offs", "ethics"];

export class Models extends Listing {
  constructor(shell) {
    super(shell, { noun: "model", columns: MODEL_COLUMNS, older: "Load more",
      empty: "No models yet. @pipeline(model=Model(\"churn\")) makes a version in each run." });
    this.addSearch("filter by text", "Filter the shown models by text", () => this.sift());
  }

  async fetchPage() {
    const { models } = await this.shell.host.request("GET", "api/v1/models");
    return { items: models, next: null };
  }

  idOf(model) {
    return model.name;
  }

  fill(cells, model, node) {
    node.dataset.model = model.name;
    const [name, versions, newest, aliases, tags, changed] = cells;
    setText(name, model.name);
    setText(versions, String(model.versions));
    setText(newest, model.latest ?? "");
    aliases.replaceChildren(...Object.entries(model.aliases).map(([alias, version]) => aliasNode(alias, version)));
    tags.replaceChildren(...tagNodes(model.tags, this.shell.colors));
    setText(changed, clock(model.updated_at));
  }

  detail(model, changed) {
    return modelDetail(this.shell, model.name, changed);
  }
}

function aliasNode(alias, version) {
  const node = make("span", `wc-tag wc-stage ${alias === "production" ? "wc-serving" : ""}`, alias);
  if (version) node.append(make("span", "wc-dim", ` ${version}`));
  return node;
}

/** One model: its versions, what was moved, and by whom. */
export async function modelDetail(shell, name, changed) {
  const { host } = shell;
  const [model, { versions }, { moves }] = await Promise.all([
    host.request("GET", api("models", name)),
    host.request("GET", `${api("models", name, "versions")}?limit=${MOST_VERSIONS}`),
    host.request("GET", api("models", name, "moves")),
  ]);
  const body = make("div", "wc-run wc-model");
  body.dataset.title = `Model ${model.name}`;
  const said = ABOUT.filter((part) => model[part]).map((part) => [part.replaceAll("_", " "), model[part]]);
  if (said.length) body.append(section("about", facts(said)));
  body.append(section("versions", versionsNode(shell, model, versions)));
  body.append(section("tags", tagEditor(shell, { kind: "model", model: model.name }, model.tags, changed)));
  if (moves.length) body.append(section("who moved what when", movesNode(shell, model, moves, changed)));
  return body;
}

function versionsNode(shell, model, versions) {
  const picked = new Map();
  const compare = button("Compare", "wc-small", () => shell.compare("model_version", [...picked.values()]));
  compare.disabled = true;
  const rows = versions.map((version) => {
    const box = make("input", "");
    box.type = "checkbox";
    box.setAttribute("aria-label", `Pick version ${version.version} to compare`);
    box.addEventListener("change", () => {
      if (box.checked) picked.set(version.id, version);
      else picked.delete(version.id);
      compare.disabled = picked.size < 2 || picked.size > 8;
    });
    const opened = link(version.version, version.id, () => shell.open("model_version", version.id));
    const stages = make("span", "", ...version.aliases.map((alias) => aliasNode(alias)));
    if (version.stage === "archived") stages.append(aliasNode("archived"));
    const made = version.run_id ? link(shortId(version.run_id), version.run_id, () => shell.open("run", version.run_id)) : "";
    return [box, opened, stages, make("span", "", ...tagNodes(version.tags, shell.colors)), made,
      clock(version.created_at), userNode(version.user)];
  });
  if (!rows.length) return make("p", "wc-dim", "It has no version yet.");
  const node = make("div", "", grid(["", "version", "stages and aliases", "tags", "run", "made", "by"], rows));
  if (model.versions > versions.length) node.append(make("p", "wc-dim", `${model.versions - versions.length} older ones are not shown.`));
  if (versions.length > 1) node.append(make("div", "wc-line", compare));
  return node;
}

function movesNode(shell, model, moves, changed) {
  const problem = make("p", "wc-stderr");
  problem.setAttribute("role", "alert");
  const newest = new Map();          // alias -> its last move
  for (const move of moves) if (!newest.has(move.alias)) newest.set(move.alias, move);
  const rows = moves.slice(0, 50).map((move) => {
    const canGoBack = newest.get(move.alias) === move && move.before;
    const back = canGoBack && sureButton("Back", `Back to ${move.before.version ?? "it"}?`, async () => {
      try {
        const path = api("models", model.name, "aliases", move.alias, "back");
        await shell.host.request("POST", path, { revision: move.revision, reason: "moved back in the history view" });
        await changed();
      } catch (error) {
        setText(problem, [error.message, error.hint].filter(Boolean).join(" "));
      }
    });
    const from = move.before ? move.before.version ?? "a deleted version" : "nowhere";
    const to = move.after ? move.after.version ?? "a deleted version" : "nowhere";
    return [move.alias, `${from} → ${to}`, userNode(move.user), clock(move.time), move.reason, back || ""];
  });
  return make("div", "", grid(["alias", "moved", "by", "when", "why", ""], rows), problem);
}

/** One version of a model: what belongs to it, and its way through the stages. */
export async function modelVersionDetail(shell, id, changed) {
  const { host } = shell;
  const version = await host.request("GET", api("model-versions", id));
  const [{ artifacts }, { links }] = await Promise.all([
    host.request("GET", api("model-versions", id, "artifacts")),
    host.request("GET", api("model-versions", id, "links")),
  ]);
  const body = make("div", "wc-run wc-model-version");
  body.dataset.title = `${version.model}, version ${version.version}`;
  const run = version.run_id && link(shortId(version.run_id), version.run_id, () => shell.open("run", version.run_id));
  const held = make("span", "", ...version.aliases.map((alias) => aliasNode(alias)));
  body.append(section("what it is", facts([
    ["model", link(version.model, version.model, () => shell.open("model", version.model))],
    ["version", `${version.version}${version.version === String(version.number) ? "" : `, number ${version.number}`}`],
    ["stages and aliases", version.aliases.length ? held : version.stage],
    ["made by run", run], ["made", clock(version.created_at)], ["user", version.user],
    ...ABOUT.map((part) => [part.replaceAll("_", " "), version[part]]),
  ])));
  body.append(section("stage", stageNode(shell, version, changed)));
  if (Object.keys(version.run_metadata ?? {}).length) body.append(section("metadata", valuesNode(version.run_metadata)));
  if (artifacts.length) {
    body.append(section("artifacts", grid(["artifact", "version", "role", "type", "made"], artifacts.map((one) => [
      link(one.artifact, one.id, () => shell.open("artifact_version", one.id)), one.version, one.role,
      String(one.type ?? "").split(".").at(-1), clock(one.created_at)]))));
  }
  const served = links.filter((one) => one.kind === "deployment");
  if (served.length) body.append(section("served by", served.map((one) => one.subject).join(", ")));
  body.append(section("tags", tagEditor(shell, { kind: "model_version", id: version.id }, version.tags, changed)));
  body.append(lineagePart(shell, "model_version", version.id));
  const line = `Client().get_model_version(${JSON.stringify(version.model)}, ${JSON.stringify(version.version)})`;
  body.append(section("have it", make("div", "wc-call", make("pre", "wc-text", line), copyButton(() => line))));
  return body;
}

/** Bring a version to a stage; one that another version holds only when that is said aloud. */
function stageNode(shell, version, changed) {
  const select = make("select", "wc-input");
  select.setAttribute("aria-label", "Stage");
  select.append(...STAGE_NAMES.map((name) => new Option(name, name)));
  select.value = version.stage ?? "none";
  const reason = make("input", "wc-input");
  reason.placeholder = "why (kept in its history)";
  reason.setAttribute("aria-label", "Why");
  reason.addEventListener("keydown", (event) => event.stopPropagation());
  const problem = make("span", "wc-stderr wc-said");
  problem.setAttribute("role", "alert");
  const forced = make("input", "");
  forced.type = "checkbox";
  const force = make("label", "wc-check", forced, "archive the one that is there");
  force.hidden = true;
  const set = button("Set", "wc-small", async () => {
    set.disabled = true;
    try {
      await shell.host.request("POST", api("model-versions", version.id, "stage"),
        { stage: select.value, force: forced.checked, reason: reason.value.trim() || null });
      await changed();
    } catch (error) {
      setText(problem, error.message);
      force.hidden = error.status !== 409;
    }
    set.disabled = false;
  });
  return make("div", "wc-line", select, reason, set, force, problem);
}
