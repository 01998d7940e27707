// Talking to the host: HTTP where the page comes from the host's Jupyter server, else messages
// through the kernel. Comm messages wait until a running cell ends; HTTP does not.

const ANSWER_MS = 60_000;
const WAIT_S = 20;
const WATCHERS = Symbol.for("warmcell.watchers");

/** An error of the host, with its problem document. */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail || body?.title || `The host answered ${status}.`);
    this.status = status;
    this.hint = body?.hint ?? "";
  }
}

/**
 * Find out how to reach the host of `model` and return `{request, bytes, watch, isHttp, base}`.
 *
 * `request(method, path, body)` resolves to the decoded JSON of the answer or throws a Problem;
 * `bytes(path)` to a Blob of a file, over HTTP only.
 * `watch(callback)` calls back after changes of the store until `signal` aborts.
 */
export async function connect(model, signal) {
  const base = model.get("_base_path");
  const isHttp = await answersHttp(base, model.get("_host_id"), signal);
  const request = isHttp ? httpRequest(base) : commRequest(model, signal);
  const watch = (callback) => {
    const watcher = isHttp ? sharedWatcher(base, request) : new Watcher(request);
    watcher.add(callback);
    signal.addEventListener("abort", () => watcher.remove(callback), { once: true });
    if (signal.aborted) watcher.remove(callback);
  };
  const bytes = async (path) => {
    if (!isHttp) throw new Problem(0, { detail: "Files are shown where the page comes from the Jupyter server; load() has them here too." });
    const answer = await fetch(base + path, { credentials: "same-origin", signal });
    if (!answer.ok) throw new Problem(answer.status, await answer.json().catch(() => null));
    return answer.blob();
  };
  return { request, bytes, watch, isHttp, base };
}

async function answersHttp(base, hostId, signal) {
  if (!base || !globalThis.location?.protocol.startsWith("http")) return false;
  try {
    const answer = await fetch(`${base}api/v1/status`, { credentials: "same-origin", signal });
    return answer.ok && (await answer.json()).host_id === hostId;
  } catch {
    return false;
  }
}

function cookie(name) {
  const found = document.cookie.split("; ").find((part) => part.startsWith(`${name}=`));
  return found ? decodeURIComponent(found.slice(name.length + 1)) : "";
}

function httpRequest(base) {
  return async (method, path, body, { signal } = {}) => {
    const headers = { Accept: "application/json", "X-XSRFToken": cookie("_xsrf") };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const answer = await fetch(base + path, {
      method, headers, credentials: "same-origin", signal,
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await answer.text();
    let decoded = null;
    try {
      decoded = text ? JSON.parse(text) : null;
    } catch {
      if (answer.ok) throw new Problem(answer.status, { detail: "The answer is no JSON." });
    }
    if (!answer.ok) throw new Problem(answer.status, decoded);
    return decoded;
  };
}

function commRequest(model, signal) {
  const waiting = new Map();
  let count = 0;
  const prefix = crypto.getRandomValues(new Uint32Array(2)).join("-");
  const receive = (message) => {
    const resolve = message?.kind === "warmcell-reply" ? waiting.get(message.id) : undefined;
    resolve?.(message);
  };
  model.on("msg:custom", receive);
  signal.addEventListener("abort", () => model.off("msg:custom", receive), { once: true });
  return (method, path, body, { signal: stop } = {}) => new Promise((resolve, reject) => {
    const id = `${prefix}-${count += 1}`;
    const end = () => {
      clearTimeout(timer);
      waiting.delete(id);
    };
    const timer = setTimeout(() => {
      end();
      reject(new Problem(504, { detail: "The kernel does not answer: a cell is running, or it has ended." }));
    }, ANSWER_MS);
    stop?.addEventListener("abort", () => {
      end();
      reject(new DOMException("aborted", "AbortError"));
    }, { once: true });
    waiting.set(id, (message) => {
      end();
      if (message.status >= 400) reject(new Problem(message.status, message.body));
      else resolve(message.body);
    });
    model.send({ kind: "warmcell-request", id, method, path, body: body ?? null });
  });
}

/** The one watcher of a page per host: browsers allow six connections per origin in HTTP/1.1. */
function sharedWatcher(base, request) {
  const all = (globalThis[WATCHERS] ??= new Map());
  if (!all.has(base)) all.set(base, new Watcher(request));
  return all.get(base);
}

/** Long-polls for changes while anybody listens and the page is visible. */
class Watcher {
  constructor(request) {
    this.request = request;
    this.callbacks = new Set();
    this.loop = null;
    this.isConnected = false;
    this.visible = () => {
      if (document.hidden) this.loop?.abort();
      else if (this.callbacks.size) this.start();
    };
  }

  add(callback) {
    if (!this.callbacks.size) document.addEventListener("visibilitychange", this.visible);
    this.callbacks.add(callback);
    if (this.isConnected) callback({ connected: true });
    if (!this.loop && !document.hidden) this.start();
  }

  remove(callback) {
    this.callbacks.delete(callback);
    if (this.callbacks.size) return;
    document.removeEventListener("visibilitychange", this.visible);
    this.loop?.abort();
  }

  start() {
    this.loop?.abort();
    const loop = (this.loop = new AbortController());
    this.run(loop.signal).finally(() => {
      if (this.loop === loop) this.loop = null;
    });
  }

  async run(signal) {
    let version = null;
    let pause = 500;
    this.isConnected = false;
    while (!signal.aborted) {
      const query = version === null ? "since=-1&wait=0" : `since=${version}&wait=${WAIT_S}`;
      try {
        const found = (await this.request("GET", `api/v1/changes?${query}`, undefined, { signal })).version;
        this.isConnected = true;
        // The first answer also calls back: something may have changed while nobody listened.
        if (found !== version) this.tell({ connected: true });
        version = found;
        pause = 500;
      } catch (error) {
        if (signal.aborted) return;
        this.isConnected = false;
        version = null;             // another host may answer next, with a count of its own
        this.tell({ connected: false, error });
        await new Promise((resolve) => {
          const timer = setTimeout(resolve, pause);
          signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
        });
        pause = Math.min(pause * 2, 10_000);
      }
    }
  }

  tell(event) {
    for (const callback of [...this.callbacks]) callback(event);
  }
}
