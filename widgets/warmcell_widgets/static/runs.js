// The runs of the history: newest first, live, a click opens one.

import { api, section, tagEditor, tagNodes } from "./controls.js";
import { button, clock, duration, elapsed, make, pairs, setText, shortId, statusNode, statusWords } from "./dom.js";
import { Listing } from "./listing.js";
import { ENDED, errorLine, fingerprint, repeatable, runBody, served } from "./parts.js";

const RUN_STATUSES = ["queued", "running", "succeeded", "failed", "cancelled", "timed_out", "lost"];
const RUN_COLUMNS = [["status", ""], ["pipeline", ""], ["trigger", "wc-dim"], ["started", "wc-dim"],
  ["duration", "wc-num"], ["parameters", "wc-clip"], ["run", "wc-mono wc-dim"]];
const TOOK = 4;

export class Runs extends Listing {
  constructor(shell) {
    super(shell, { noun: "run", columns: RUN_COLUMNS, older: "Load older runs", compare: "run",
      empty: "No runs yet. Call a pipeline, or a deployment's URL." });
    const known = { status: RUN_STATUSES, pipeline: [], deployment: [] };
    for (const [name, values] of Object.entries(known)) {
      if (!(name in shell.fixed)) this.addSelect(name, values, statusWords);
    }
    if (!("tag" in shell.fixed)) this.addWanted("tag", "tag");
    this.addSearch("filter by text", "Filter the shown runs by text", () => this.sift());
  }

  async fetchPage(limit, before) {
    const query = new URLSearchParams({ ...this.shell.fixed, ...this.chosen(), limit });
    if (before) query.set("before", before);
    const { runs, next } = await this.shell.host.request("GET", `api/v1/runs?${query}`);
    return { items: runs, next };
  }

  idOf(run) {
    return run.run_id;
  }

  known(run) {
    return `${fingerprint(run)}|${(run.tags ?? []).join()}`;
  }

  arrange() {
    this.offer("pipeline", (run) => run.pipeline);
    this.offer("deployment", (run) => run.deployment);
    super.arrange();
  }

  words(run) {
    return [run.run_id, run.run_name, run.pipeline, run.status, served(run), run.user, ...(run.tags ?? []),
      JSON.stringify(run.parameters), JSON.stringify(run.outputs), errorLine(run.error),
    ].join(" ").toLowerCase();
  }

  fill(cells, run, node) {
    node.dataset.run = run.run_id;
    const [status, pipeline, trigger, started, took, parameters, id] = cells;
    status.replaceChildren(statusNode(run.status));
    setText(pipeline, run.pipeline ?? "");
    setText(trigger, served(run));
    setText(started, clock(run.started_at ?? run.created_at));
    started.title = run.started_at ?? run.created_at ?? "";
    setText(took, duration(elapsed(run)));
    const given = pairs(run.parameters, 160);
    parameters.replaceChildren(...tagNodes(run.tags, this.shell.colors), given);
    parameters.title = pairs(run.parameters, 1000);
    if (run.error) parameters.append(make("span", "wc-stderr", `${given ? "  " : ""}${errorLine(run.error)}`));
    setText(id, shortId(run.run_id));
    id.title = run.run_id;
  }

  tick() {
    for (const { item, cells } of this.rows.values()) {
      if (!ENDED.has(item.status)) setText(cells[TOOK], duration(elapsed(item)));
    }
  }

  detail(run, changed) {
    return runDetail(this.shell, run.run_id, changed);
  }
}

/** Everything of a run, with what can be done with it; `changed` is called when its tags were. */
export async function runDetail(shell, id, changed) {
  const run = await shell.host.request("GET", api("runs", id));
  const body = runBody(run, shell.open);
  body.dataset.title = `Run ${shortId(run.run_id)} of ${run.pipeline}, ${clock(run.created_at)}`;
  body.append(section("tags", tagEditor(shell, { kind: "run", run: run.run_id }, run.tags, changed)));
  body.append(runFoot(shell, run, body));
  return body;
}

function runFoot(shell, run, body) {
  const foot = make("div", "wc-part wc-foot wc-dim", make("span", "wc-mono", run.run_id));
  for (const text of [run.user && `by ${run.user}`, run.notebook]) if (text) foot.append(make("span", "", text));
  const problem = make("div", "wc-part wc-error");
  problem.hidden = true;
  body.append(problem);
  const act = (label, title, method, ...request) => {
    const node = button(label, "wc-small", async () => {
      node.disabled = true;
      try {
        await shell.host.request(method, ...request);
        problem.hidden = true;
      } catch (error) {
        setText(problem, [error.message, error.hint].filter(Boolean).join(" "));
        problem.hidden = false;
      }
      node.disabled = false;
    });
    node.title = title;
    return node;
  };
  if (!ENDED.has(run.status)) foot.append(act("Cancel the run", "", "DELETE", api("runs", run.run_id)));
  if (run.deployment && repeatable(run)) {
    foot.append(act("Run again", "The same input on the same snapshot, as a new run",
      "POST", api("runs", run.run_id, "rerun"), { wait: false }));
  }
  foot.append(button("Lineage", "wc-small", () => shell.open("lineage", `run/${run.run_id}`)));
  return foot;
}
