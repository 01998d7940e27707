// The events of a run in flight, read as a stream: by fetch, which lets go of it with a signal.

const MOST_STREAMS = 3;  // per page: browsers allow six connections per origin in HTTP/1.1
const STREAM_TRIES = 4;
const STREAMS = Symbol.for("warmcell.streams");

/**
 * Call back with each event of run `id` (`{id, kind, data}`) until its last one, "done" or "error".
 * Resolves to whether that came; false where the run cannot be streamed here and now.
 */
export async function followRun(base, id, callback, signal) {
  const open = (globalThis[STREAMS] ??= { count: 0 });
  if (open.count >= MOST_STREAMS) return false;
  open.count += 1;
  try {
    return await readAll(`${base}api/v1/runs/${encodeURIComponent(id)}/events`, callback, signal);
  } finally {
    open.count -= 1;
  }
}

async function readAll(url, callback, signal) {
  let last = "";
  for (let failures = 0; failures < STREAM_TRIES && !signal.aborted; failures += 1) {
    const headers = { Accept: "text/event-stream" };
    if (last) headers["Last-Event-ID"] = last;
    try {
      const answer = await fetch(url, { headers, credentials: "same-origin", cache: "no-store", signal });
      if (answer.status === 204) return true;
      if (!answer.ok || !answer.body) return false;
      for await (const event of readEvents(answer.body)) {
        failures = 0;
        last = event.id || last;
        callback(event);
        if (event.kind === "done" || event.kind === "error") return true;
      }
    } catch {
      if (signal.aborted) return false;  // else the connection broke: go on after `last`
    }
    await new Promise((resolve) => setTimeout(resolve, 500 * 2 ** failures));
  }
  return false;
}

async function* readEvents(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    while (true) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (text + value).split("\n\n");
      text = blocks.pop();
      for (const block of blocks) {
        const fields = {};
        for (const line of block.split("\n")) {
          const at = line.indexOf(": ");
          if (at > 0) fields[line.slice(0, at)] = line.slice(at + 2);
        }
        if (fields.data) yield { id: fields.id, kind: fields.event, data: JSON.parse(fields.data) };
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
