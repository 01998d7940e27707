// One run, followed until it ends.

import { connect } from "./api.js";
import { clip, clock, duration, elapsed, long, make, plain, setText, shortId, statusNode } from "./dom.js";
import { followRun } from "./events.js";
import { ENDED, fingerprint, runBody, served } from "./parts.js";

const FRAME_MS = 200;
const MOST_YIELDED = 4000;
const MOST_LOGS = 500;

/** Take an event of a run into its record, and into `live`, what no record has. */
function take(run, live, { kind, data }) {
  if (kind === "run") {
    run.status = data.status;
  } else if (kind === "step") {
    const known = run.steps.find((step) => step.index === data.index);
    if (known) Object.assign(known, data);
    else run.steps.push({ attempts: 1, ...data });
    run.steps.sort((one, other) => one.index - other.index);
    if (data.status !== "running") live.progress.delete(data.step);
  } else if (kind === "log") {
    run.logs.push(data);
    if (run.logs.length > MOST_LOGS) run.logs.shift();
  } else if (kind === "progress") {
    live.progress.set(data.step, data);
  } else if (kind === "output") {
    const before = data.index ? live.yielded.get(data.step) ?? "" : "";
    const flows = typeof data.value === "string";
    const text = before + (before && !flows ? "\n" : "") + long(data.value);
    live.yielded.set(data.step, text.slice(-MOST_YIELDED));
  }
}

function liveNode(live) {
  const node = make("div", "");
  for (const [step, { done, total, message }] of live.progress) {
    const words = [total ? `${done} of ${total}` : done, message].filter((part) => part !== null && part !== "");
    const part = make("div", "wc-part", make("p", "wc-label", step), clip(plain(words.join(" ")), 300));
    if (total > 0) {
      const bar = make("div", "wc-bar wc-running");
      bar.style.width = `${Math.min(100, Math.max(0, 100 * done / total))}%`;
      part.append(make("div", "wc-track", bar));
    }
    node.append(part);
  }
  for (const [step, text] of live.yielded) {
    node.append(make("div", "wc-part", make("p", "wc-label", `${step} yields`), make("pre", "wc-text", plain(text))));
  }
  return node;
}

async function follow(model, el, stop) {
  const id = model.get("_run_id");
  const status = make("span", "");
  const name = make("span", "wc-name");
  const took = make("span", "");
  const how = make("span", "wc-dim");
  const when = make("span", "wc-dim wc-push");
  when.title = id;
  let body = make("div", "wc-part wc-dim", "loading…");
  el.append(make("div", "wc-card", make("div", "wc-head", status, name, took, how, when), body));
  let run = null;
  let known = "";

  const show = (next) => {
    body.replaceWith(next);
    body = next;
  };
  const head = () => {
    status.replaceChildren(statusNode(run.status));
    setText(name, run.pipeline);
    setText(how, served(run));
    setText(took, duration(elapsed(run)));
    setText(when, `${clock(run.created_at)} · run ${shortId(run.run_id)}`);
  };
  const host = await connect(model, stop.signal);
  const load = async () => {
    try {
      run = await host.request("GET", `api/v1/runs/${encodeURIComponent(id)}`);
    } catch (error) {
      if (!stop.signal.aborted && run === null) show(make("div", "wc-part wc-error", error.message));
      return;
    }
    if (fingerprint(run) === known) return;
    known = fingerprint(run);
    head();
    show(runBody(run));
  };
  await load();
  if (run !== null && ENDED.has(run.status)) return;
  const following = new AbortController();
  stop.signal.addEventListener("abort", () => following.abort(), { once: true });
  const timer = setInterval(() => { if (run) setText(took, duration(elapsed(run))); }, 500);
  following.signal.addEventListener("abort", () => clearInterval(timer), { once: true });

  if (host.isHttp && run !== null) {
    const told = { ...run, steps: [], logs: [] };  // the events tell it from its beginning on
    const live = { progress: new Map(), yielded: new Map() };
    let frame = null;
    const draw = () => {
      frame = null;
      if (following.signal.aborted) return;
      run = told;
      head();
      show(make("div", "", liveNode(live), runBody(told)));
    };
    const ended = await followRun(host.base, id, (event) => {
      take(told, live, event);
      frame ??= setTimeout(draw, FRAME_MS);
    }, following.signal);
    clearTimeout(frame);
    known = "";
    await load();
    if (ended || stop.signal.aborted || ENDED.has(run.status)) {
      following.abort();
      return;
    }
  }
  const watching = await connect(model, following.signal);
  watching.watch(async ({ connected }) => {
    if (!connected) return;
    await load();
    if (run !== null && ENDED.has(run.status)) following.abort();
  });
}

export default {
  render({ model, el }) {
    const stop = new AbortController();
    el.classList.add("warmcell", "wc-live");
    follow(model, el, stop);
    return () => stop.abort();
  },
};
