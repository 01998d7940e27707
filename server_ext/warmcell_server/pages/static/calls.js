// Calling the deployment: waiting, asking again and again, or reading its events.

import { parse } from "./dom.js";

/** An error that the server told: a problem document (RFC 9457). */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail || body?.title || `The server answered ${status}.`);
    this.status = status;
    this.body = body ?? {};
  }
}

/** Who calls: whoever is logged in, or the holder of `key`. */
export function caller(xsrf) {
  const token = new URLSearchParams(location.search).get("token");
  let key = "";
  return {
    use: (text) => { key = text.trim(); },
    options: (headers = {}) => {
      if (key) return { credentials: "omit", headers: { ...headers, Authorization: `Bearer ${key}` } };
      if (token) return { credentials: "same-origin", headers: { ...headers, Authorization: `token ${token}` } };
      return { credentials: "same-origin", headers: xsrf ? { ...headers, "X-XSRFToken": xsrf } : headers };
    },
  };
}

/** One exchange: `{status, body, headers, took}` with the decoded JSON and milliseconds, or a
    Problem, which has `headers` and `took` too. */
export async function exchange(who, path, { method = "GET", body, headers = {}, signal } = {}) {
  const sent = body === undefined ? headers : { "Content-Type": "application/json", ...headers };
  const start = performance.now();
  const answer = await fetch(path, { method, body, signal, ...who.options({ Accept: "application/json", ...sent }) });
  const text = await answer.text();
  const took = performance.now() - start;
  const decoded = decode(text);
  if (!answer.ok) throw Object.assign(new Problem(answer.status, decoded), { headers: answer.headers, took });
  return { status: answer.status, body: decoded, headers: answer.headers, took };
}

function decode(text) {
  try {
    return parse(text);
  } catch {
    return text ? { detail: text.slice(0, 2000) } : null;
  }
}

const ENDED = new Set(["succeeded", "failed", "cancelled", "timed_out", "lost"]);

/** Ask for a run until it has ended; `onState(run)` hears of each answer. */
export async function follow(who, runId, onState, signal) {
  for (let pause = 150; ; pause = Math.min(pause * 1.5, 2000)) {
    const { body } = await exchange(who, `runs/${encodeURIComponent(runId)}`, { signal });
    onState(body);
    if (ENDED.has(body.status)) return body;
    await new Promise((resolve, reject) => {
      const timer = setTimeout(resolve, pause);
      signal.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
    });
  }
}

/** Call and read the events: `onEvent({id, kind, data})` for each; ends with the connection. */
export async function stream(who, path, body, onEvent, signal) {
  const headers = { "Content-Type": "application/json", Accept: "text/event-stream" };
  const start = performance.now();
  const answer = await fetch(path, { method: "POST", body, signal, ...who.options(headers) });
  if (!answer.ok) {
    const problem = new Problem(answer.status, decode(await answer.text()));
    throw Object.assign(problem, { headers: answer.headers, took: performance.now() - start });
  }
  await readEvents(answer.body, onEvent);
  return { took: performance.now() - start };
}

/** Read Server-Sent Events (WHATWG) from a body. */
async function readEvents(body, onEvent) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let event = { id: "", kind: "message", lines: [] };
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    // A lone CR at the end may be half of a line end.
    const lines = text.split(/\r\n|\n|\r(?!$)/);
    text = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (event.lines.length) onEvent({ id: event.id, kind: event.kind, data: decode(event.lines.join("\n")) });
        event = { id: event.id, kind: "message", lines: [] };
        continue;
      }
      const [, name, content] = /^([^:]*):? ?(.*)$/s.exec(line);
      if (name === "data") event.lines.push(content);
      else if (name === "event") event.kind = content;
      else if (name === "id") event.id = content;
    }
  }
}
