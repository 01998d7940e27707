// Elements and short texts. User data only ever becomes text nodes and attribute values.

const MARKS = {
  queued: "○", running: "◐", succeeded: "✓", failed: "✗", cancelled: "⊘", timed_out: "⏱",
  lost: "?", skipped: "·", serving: "●", restoring: "◐", resting: "○", detached: "◌",
};

/** Make `<tag class="…">` with children: nodes, texts, or null for nothing. */
export function make(tag, classes, ...children) {
  const node = document.createElement(tag);
  if (classes) node.className = classes;
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** A button that does not submit a form. */
export function button(label, classes, onClick) {
  const node = make("button", `wc-button ${classes}`.trim(), label);
  node.type = "button";
  node.addEventListener("click", onClick);
  return node;
}

/** Replace what `node` shows, only where it differs: the reader's selection survives. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function statusWords(status) {
  return String(status || "unknown").replaceAll("_", " ");
}

/** A status as a coloured word with its mark. */
export function statusNode(status) {
  return make("span", `wc-status wc-${status}`, `${MARKS[status] ?? "·"} ${statusWords(status)}`);
}

/** The mark of a status alone; the word is its tooltip. */
export function statusMark(status) {
  const node = make("span", `wc-status wc-${status}`, MARKS[status] ?? "·");
  node.title = statusWords(status);
  return node;
}

function figures(number) {
  return number >= 100 ? number.toFixed(0) : String(Number(number.toPrecision(3)));
}

/** A number of bytes with a unit. */
export function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  const power = bytes < 1000 ? 0 : Math.min(Math.floor(Math.log10(bytes) / 3), units.length - 1);
  return `${power ? figures(bytes / 1000 ** power) : bytes} ${units[power]}`;
}

/** Seconds as three significant figures with a unit. */
export function duration(seconds) {
  if (typeof seconds !== "number" || Number.isNaN(seconds)) return "";
  if (seconds < 0.001) return `${(Math.max(seconds, 0) * 1e6).toFixed(0)} µs`;
  if (seconds < 0.995) return `${figures(seconds * 1e3)} ms`;
  if (seconds < 60) return `${figures(seconds)} s`;
  const whole = Math.round(seconds);
  const [minutes, rest] = [Math.floor(whole / 60), whole % 60];
  if (minutes < 60) return `${minutes} min ${String(rest).padStart(2, "0")} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

/** A time as seconds since the epoch, with its microseconds; null where there is none. */
export function seconds(text) {
  const whole = Date.parse(text ?? "");
  if (Number.isNaN(whole)) return null;
  const fraction = /\.(\d+)/.exec(text);
  return Math.floor(whole / 1e3) + (fraction ? Number(`0.${fraction[1]}`) : 0);
}

/** How long a run or a step took or has been running, in seconds; null before it starts. */
export function elapsed(record) {
  if (typeof record.duration === "number") return record.duration;
  const [start, end] = [seconds(record.started_at), seconds(record.finished_at)];
  if (start === null) return null;
  if (end !== null) return end - start;
  return record.status === "running" ? Math.max(Date.now() / 1e3 - start, 0) : null;
}

/** A time of day, with the date where it is not today. */
export function clock(text) {
  const when = new Date(text);
  if (!text || Number.isNaN(when.getTime())) return "";
  const time = when.toLocaleTimeString();
  if (when.toDateString() === new Date().toDateString()) return time;
  return `${when.toLocaleDateString(undefined, { day: "numeric", month: "short" })}, ${time}`;
}

/** The end of an id: a UUIDv7 begins with the time, its end tells runs apart. */
export function shortId(text) {
  return String(text ?? "").slice(-8);
}

export function clip(text, limit) {
  return text.length <= limit ? text : `${text.slice(0, limit - 1)}…`;
}

/** Text without terminal colours. */
export function plain(text) {
  // eslint-disable-next-line no-control-regex
  return String(text ?? "").replace(/\x1b\[[0-9;?]*[ -/]*[@-~]/g, "");
}

/** A JSON value on one line. */
export function short(value, limit = 80) {
  const bare = typeof value === "string" && value && !value.includes("\n");
  return clip(bare ? value : spaced(value), limit);
}

/** A JSON value over several lines where one would be too long, a text as it is. Says when it
    leaves some out. */
export function long(value, limit = 4000) {
  let text = typeof value === "string" ? value : spaced(value);
  if (text.length > 72 && value !== null && typeof value === "object") {
    text = JSON.stringify(value, null, 2);
  }
  if (text.length <= limit) return text;
  return `${text.slice(0, limit)}…\n(cut here)`;
}

// JSON as Python writes it: a space after each comma and colon.
function spaced(value) {
  if (Array.isArray(value)) return `[${value.map(spaced).join(", ")}]`;
  if (value !== null && typeof value === "object") {
    const parts = Object.entries(value).map(([key, part]) => `${JSON.stringify(key)}: ${spaced(part)}`);
    return `{${parts.join(", ")}}`;
  }
  return JSON.stringify(value) ?? "null";
}

/** A JSON object as `name: value, name: value` on one line. */
export function pairs(values, limit = 80) {
  if (values === null || values === undefined) return "";
  if (typeof values !== "object" || Array.isArray(values)) return short(values, limit);
  const parts = Object.entries(values).map(([name, value]) => `${name}: ${short(value, limit)}`);
  return clip(parts.join(", "), limit);
}

/** A button that copies what `text()` returns and says so. */
export function copyButton(text, label = "Copy") {
  const node = button(label, "wc-small", async () => {
    const done = await copy(text());
    node.textContent = done ? "Copied" : "Press Ctrl+C";
    setTimeout(() => { node.textContent = label; }, 1500);
  });
  return node;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // No clipboard for pages without TLS, as on many hubs: the old way.
    const area = make("textarea", "", text);
    area.style.cssText = "position: fixed; opacity: 0";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
