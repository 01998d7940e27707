// One run, followed until it ends.

import { connect } from "./api.js";
import { clock, duration, elapsed, make, setText, shortId, statusNode } from "./dom.js";
import { fingerprint, runBody, served } from "./parts.js";

const ENDED = new Set(["succeeded", "failed", "cancelled", "timed_out", "lost"]);

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
    status.replaceChildren(statusNode(run.status));
    setText(name, run.pipeline);
    setText(how, served(run));
    setText(took, duration(elapsed(run)));
    setText(when, `${clock(run.created_at)} · run ${shortId(run.run_id)}`);
    show(runBody(run));
  };
  const following = new AbortController();
  stop.signal.addEventListener("abort", () => following.abort(), { once: true });
  await load();
  if (run !== null && ENDED.has(run.status)) return;
  const watching = await connect(model, following.signal);
  const timer = setInterval(() => { if (run) setText(took, duration(elapsed(run))); }, 500);
  following.signal.addEventListener("abort", () => clearInterval(timer), { once: true });
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
