// The call as code, to be copied.

import { stringify } from "./dom.js";

const HEADERS = {
  wait: {},
  async: { Prefer: "respond-async" },
  stream: { Accept: "text/event-stream" },
};

/** The code of a call: `language` is "curl", "Python" or "JavaScript"; `mode` is "wait", "async"
    or "stream"; `isOpen` needs no key. */
export function snippet(language, { url, body, mode, isOpen }) {
  return { curl, Python: python, JavaScript: javascript }[language](url, body, mode, isOpen);
}

function curl(url, body, mode, isOpen) {
  const headers = ["Content-Type: application/json", ...Object.entries(HEADERS[mode]).map((pair) => pair.join(": "))];
  return [
    `curl${mode === "stream" ? " -N" : ""} -X POST ${quoted(url)}`,
    ...(isOpen ? [] : ['-H "Authorization: Bearer $WARMCELL_KEY"']),
    ...headers.map((header) => `-H ${quoted(header)}`),
    `-d ${quoted(stringify(body))}`,
  ].join(" \\\n  ");
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function python(url, body, mode, isOpen) {
  const headers = Object.entries(HEADERS[mode]).map(([name, value]) => `"${name}": "${value}"`);
  if (!isOpen) headers.unshift('"Authorization": f"Bearer {os.environ[\'WARMCELL_KEY\']}"');
  const lines = [
    ...(isOpen ? [] : ["import os", ""]),
    "import requests",
    "",
    "answer = requests.post(",
    `    ${JSON.stringify(url)},`,
    ...(headers.length ? [`    headers={${headers.join(", ")}},`] : []),
    `    json=${literal(body, "    ")},`,
    ...(mode === "stream" ? ["    stream=True,"] : []),
    ")",
    "answer.raise_for_status()",
  ];
  if (mode === "wait") lines.push('print(answer.json()["outputs"])');
  if (mode === "async") lines.push('print(answer.json()["url"])  # ask there until its "status" is an end');
  if (mode === "stream") lines.push("for line in answer.iter_lines(decode_unicode=True):", "    print(line)");
  return lines.join("\n");
}

/** A JSON value as Python writes it. */
function literal(value, level) {
  if (value === null || value === undefined) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value !== "object") return stringify(value);
  const inner = `${level}    `;
  const parts = Array.isArray(value)
    ? value.map((part) => literal(part, inner))
    : Object.entries(value).map(([key, part]) => `${JSON.stringify(key)}: ${literal(part, inner)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  const flat = open + parts.join(", ") + close;
  if (flat.length < 76 && !flat.includes("\n")) return flat;
  return `${open}\n${parts.map((part) => `${inner}${part},`).join("\n")}\n${level}${close}`;
}

function javascript(url, body, mode, isOpen) {
  const headers = { "Content-Type": "application/json", ...HEADERS[mode] };
  const lines = Object.entries(headers).map(([name, value]) => `    "${name}": "${value}",`);
  if (!isOpen) lines.unshift("    Authorization: `Bearer ${key}`,  // made by deployment.create_key(name)");
  const code = [
    `const answer = await fetch(${JSON.stringify(url)}, {`,
    '  method: "POST",',
    "  headers: {",
    ...lines,
    "  },",
    `  body: JSON.stringify(${stringify(body, "  ", "  ")}),`,
    "});",
    "if (!answer.ok) throw new Error((await answer.json()).detail);",
  ];
  if (mode === "wait") code.push("console.log((await answer.json()).outputs);");
  if (mode === "async") code.push('console.log((await answer.json()).url);  // ask there until its "status" is an end');
  if (mode === "stream") {
    code.push("for await (const text of answer.body.pipeThrough(new TextDecoderStream())) console.log(text);");
  }
  return code.join("\n");
}
