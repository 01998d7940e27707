// The playground: parameters on one side, what comes back on the other, the call as code below.

import { button, copyButton, make, parse, select, stringify } from "./dom.js";
import { field, masked } from "./form.js";
import { caller, exchange, follow, Problem, stream } from "./calls.js";
import { headNode, outputsNode, problemNode, rawNode, stepTimes, timesNode } from "./answer.js";
import { snippet } from "./snippets.js";

const data = parse(document.getElementById("data").textContent);
const schema = data.schema;
const who = caller(data.xsrf);
const url = new URL(data.invoke, new URL(".", location.href));

// -- the parameters --------------------------------------------------------------------------

const form = field({ type: "object", properties: {}, ...schema }, schema);
const json = make("textarea", "json");
json.rows = 14;
json.spellcheck = false;
json.ariaLabel = "Parameters as JSON";
const wrongJson = make("div", "wrong");
const views = { Form: form.node, JSON: make("div", "", json, wrongJson) };
let view = "Form";

/** The parameters, or undefined where something cannot be sent; its place says what. */
function read() {
  wrongJson.textContent = "";
  if (view === "Form") {
    const wrong = [];
    const value = form.read(wrong);
    return wrong.length ? undefined : value;
  }
  try {
    return parse(json.value);
  } catch (error) {
    wrongJson.textContent = `This is no JSON: ${error.message}`;
    return undefined;
  }
}

function write(value) {
  form.clear();
  form.write(value);
  json.value = stringify(value, "  ");
  showCode();
}

function showView(name) {
  if (name !== view) {
    const value = read();
    if (value === undefined && name === "Form") return;   // the error is shown
    if (value !== undefined) {
      view = name;
      write(value);
    }
  }
  view = name;
  for (const [one, node] of Object.entries(views)) node.hidden = one !== view;
  for (const tab of viewTabs.children) tab.ariaPressed = String(tab.textContent === view);
}

const viewTabs = tabs(Object.keys(views), showView);
const examples = select(data.examples.map(({ title }, index) => [index, title]), "Example");
examples.addEventListener("change", () => write(data.examples[examples.value].parameters));

// -- the call --------------------------------------------------------------------------------

const mode = select([["wait", "Wait for the answer"], ["async", "Do not wait: ask for the run"],
  ["stream", "Stream its events"]], "How to call");
mode.addEventListener("change", () => showCode());
const key = make("input");
key.type = "password";
key.autocomplete = "off";
key.placeholder = "your login";
key.ariaLabel = "Key";
key.addEventListener("input", () => who.use(key.value));
const run = button("Run", "primary", () => call());
const stop = button("Cancel the run", "", () => cancel());
stop.hidden = true;
const shown = make("div", "answer", make("p", "hint", "What comes back appears here."));
shown.ariaLive = "polite";
let current = null;   // {abort, runId} of the call that is under way

async function call() {
  const parameters = read();
  form.clear();
  if (parameters === undefined) return read();
  current?.abort.abort();
  const mine = (current = { abort: new AbortController(), runId: null });
  const body = stringify({ parameters });
  shown.replaceChildren(make("p", "hint", "Running …"));
  run.disabled = true;
  try {
    await { wait: waiting, async: asking, stream: streaming }[mode.value](body, mine);
  } catch (error) {
    if (mine === current) showError(error);
  } finally {
    if (mine === current) {
      run.disabled = false;
      stop.hidden = true;
    }
  }
}

async function waiting(body, { abort }) {
  const answer = await exchange(who, data.invoke, { method: "POST", body, signal: abort.signal });
  shown.replaceChildren(headNode(answer), outputsNode(answer.body.outputs), rawNode(answer.body));
}

async function asking(body, mine) {
  const signal = mine.abort.signal;
  const headers = { Prefer: "respond-async" };
  const answer = await exchange(who, data.invoke, { method: "POST", body, headers, signal });
  canCancel(mine, answer.body.run_id);
  const state = make("p", "state", answer.body.status ?? "");
  shown.replaceChildren(headNode(answer), state);
  const ended = await follow(who, mine.runId, (found) => {
    const ahead = found.queued_ahead === undefined ? "" : `, ${found.queued_ahead} ahead`;
    state.textContent = found.status + ahead;
  }, signal);
  shown.append(...endNodes(ended));
}

function endNodes(ended) {
  const nodes = [rawNode(ended)];
  const times = stepTimes(ended);
  if (times.length) nodes.unshift(timesNode(times));
  if (ended.status === "succeeded") nodes.unshift(outputsNode(ended.outputs));
  else nodes.unshift(problemNode({ detail: ended.error?.message ?? ended.status, hint: ended.error?.hint }));
  return nodes;
}

async function streaming(body, mine) {
  const list = make("ol", "events");
  const end = make("div");
  shown.replaceChildren(list, end);
  let last = null;
  const start = performance.now();
  await stream(who, data.invoke, body, ({ kind, data: found }) => {
    if (found?.run_id && !mine.runId) canCancel(mine, found.run_id);
    if (kind === "done" || kind === "error") last = { kind, found };
    else list.append(eventNode(kind, found, performance.now() - start));
  }, mine.abort.signal);
  const took = performance.now() - start;
  if (last?.kind === "done") {
    end.append(headNode({ status: 200, took, body: last.found }), outputsNode(last.found.outputs), rawNode(last.found));
  } else {
    showError(Object.assign(new Problem(last?.found.status ?? 502, last?.found ?? { detail: "The stream ended early." }), { took }), end);
  }
}

function eventNode(kind, found, after) {
  const texts = {
    run: () => found.status,
    step: () => `${found.step} ${found.status}`,
    progress: () => [found.step, found.message, `${found.done}/${found.total ?? "?"}`].filter(Boolean).join(" "),
    log: () => String(found.text ?? "").replace(/\n$/, ""),
    output: () => `${found.step}: ${stringify(found.value)}`,
  };
  const text = texts[kind]?.() ?? stringify(found);
  return make("li", kind, make("span", "time", `${(after / 1000).toFixed(2)} s`), make("span", "kind", kind), make("span", "text", text));
}

function canCancel(mine, runId) {
  mine.runId = runId;
  stop.hidden = false;
}

async function cancel() {
  if (!current?.runId) return;
  stop.hidden = true;
  try {
    await exchange(who, `runs/${encodeURIComponent(current.runId)}`, { method: "DELETE" });
  } catch (error) {
    shown.append(problemNode(error.body ?? { detail: error.message }));
  }
}

function showError(error, place = shown) {
  if (error.name === "AbortError") return;
  if (!(error instanceof Problem)) {
    place.replaceChildren(problemNode({ detail: `No answer: ${error.message}` }));
    return;
  }
  place.replaceChildren(headNode(error), problemNode(error.body), rawNode(error.body));
  for (const { pointer, message } of error.body.errors ?? []) {
    const path = String(pointer).split("/").slice(1).map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
    if (path[0] === "parameters") form.mark(path.slice(1), message);
  }
}

// -- as code ---------------------------------------------------------------------------------

const code = make("pre");
let language = "curl";

function showCode() {
  const parameters = view === "Form" ? form.read([]) : read();
  if (parameters === undefined) return;
  const body = { parameters: masked(parameters, schema, schema) };
  code.textContent = snippet(language, { url: url.href, body, mode: mode.value, isOpen: data.open });
}

const codeTabs = tabs(["curl", "Python", "JavaScript"], (name) => {
  language = name;
  for (const tab of codeTabs.children) tab.ariaPressed = String(tab.textContent === name);
  showCode();
});

function tabs(names, onClick) {
  return make("div", "tabs", ...names.map((name) => button(name, "small", () => onClick(name))));
}

// -- the page --------------------------------------------------------------------------------

const labelled = (text, node) => make("label", "option", `${text} `, node);
const asker = make("section", "panel",
  make("h2", "", "Parameters"),
  make("div", "bar-of-tools", viewTabs, labelled("Example", examples)),
  views.Form, views.JSON,
  make("div", "bar-of-tools", labelled("Call", mode), data.open ? null : labelled("Key", key)),
  make("div", "bar-of-tools", run, stop));
const answerer = make("section", "panel", make("h2", "", "Answer"), shown);
const coding = make("section", "panel wide", make("h2", "", "As code"),
  make("div", "bar-of-tools", codeTabs, copyButton(() => code.textContent)), code);
document.getElementById("playground").append(asker, answerer, coding);
asker.addEventListener("input", () => showCode());
asker.addEventListener("click", () => showCode());
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !run.disabled) call();
});
showView("Form");
write(data.examples[0].parameters);
codeTabs.children[0].click();
