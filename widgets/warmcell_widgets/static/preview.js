// What is in an artifact, as far as that is small and harmless: pictures, tables, texts, JSON.

import { grid } from "./controls.js";
import { clip, long, make, short, size } from "./dom.js";

const MOST_PICTURE = 8_000_000;
const MOST_SHOWN = 64_000;
const MOST_CHARACTERS = 4000;
const MOST_LINES = 8;
const MOST_TABLE_COLUMNS = 30;
const PICTURE = /\.(png|jpe?g|gif|webp)$/i;
const TEXTUAL = /\.(txt|json|csv|md|log|ya?ml|html?|svg|py|sql)$/i;
const PICTURE_TYPES = { png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg", gif: "image/gif", webp: "image/webp" };

/** A node for the content of a version, or null: pictures, texts, and HTML where nothing in it runs. */
export async function previewNode(host, version) {
  const isHtml = version.kind === "document" && version.about?.form?.as === "html";
  if (isHtml && typeof version.value === "string") return framed(version.value);
  if (version.value !== null && version.value !== undefined) return make("pre", "wc-text", long(version.value));
  if (version.status !== "stored" || !version.files?.length) return null;
  const chosen = Object.keys(version.about?.visualizations ?? {});  // how its class wants to be seen
  if (version.facts?.schema && !chosen.length) return tablePart(host, version);
  const files = chosen.length ? version.files.filter(({ name }) => chosen.includes(name)) : version.files;
  const pictures = files.filter(({ name, size: bytes }) => PICTURE.test(name) && bytes <= MOST_PICTURE);
  const texts = files.filter(({ name, size: bytes }) => TEXTUAL.test(name) && bytes <= MOST_SHOWN);
  const node = make("div", "");
  try {
    for (const file of pictures.slice(0, 4)) node.append(await picture(host, version, file));
    for (const file of texts.slice(0, chosen.length ? 4 : pictures.length ? 0 : 1)) {
      const text = await (await host.bytes(pathOf(version, file))).text();
      const isPage = /\.html?$/i.test(file.name) && (chosen.length || isHtml);
      node.append(isPage ? framed(text) : make("pre", "wc-text", clip(text, MOST_CHARACTERS)));
    }
  } catch (error) {
    node.append(make("p", "wc-dim", error.message));
  }
  if (version.files.length > 1) {
    const names = version.files.slice(0, 20).map(({ name, size: bytes }) => make("li", "", `${name}, ${size(bytes)}`));
    if (version.files.length > 20) names.push(make("li", "wc-dim", `and ${version.files.length - 20} more`));
    node.append(make("ul", "wc-list", ...names));
  }
  return node.childNodes.length ? node : null;
}

/** HTML of others: of no origin, without scripts, and it loads nothing. */
function framed(html) {
  const frame = make("iframe", "wc-framed");
  frame.setAttribute("sandbox", "");
  frame.title = "preview";
  const policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";
  frame.srcdoc = `<meta http-equiv="Content-Security-Policy" content="${policy}">${html}`;
  return frame;
}

/** The first lines of a frame, by way of the SQL that reads artifacts. */
async function tablePart(host, version) {
  const quoted = (text) => `'${String(text).replaceAll("'", "''")}'`;
  const query = `FROM artifact(${quoted(version.artifact)}, ${quoted(version.version)}) LIMIT ${MOST_LINES}`;
  try {
    const { columns, rows } = await host.request("POST", "api/v1/sql", { query, limit: MOST_LINES });
    const shown = columns.slice(0, MOST_TABLE_COLUMNS);
    const numbers = shown.map((_, index) => index).filter((index) => rows.every((row) => typeof row[index] === "number"));
    const table = make("div", "wc-frame-lines", grid(shown, rows.map((row) => shown.map((_, index) => short(row[index], 60))), numbers));
    if (rows.length < version.facts.rows || shown.length < columns.length) {
      table.append(make("p", "wc-dim wc-rest", `${rows.length} of ${version.facts.rows} lines, ${shown.length} of ${columns.length} columns`));
    }
    return table;
  } catch (error) {
    return make("p", "wc-dim", error.message);
  }
}

async function picture(host, version, file) {
  const suffix = PICTURE.exec(file.name)[1].toLowerCase();
  const blob = await host.bytes(pathOf(version, file));
  const image = make("img", "wc-picture");
  image.alt = `${version.artifact}, version ${version.version}`;
  // The type is ours: whatever the bytes are, a browser takes them for a picture or for nothing.
  const url = URL.createObjectURL(new Blob([blob], { type: PICTURE_TYPES[suffix] }));
  image.addEventListener("load", () => URL.revokeObjectURL(url), { once: true });
  image.src = url;
  return image;
}

function pathOf(version, file) {
  const name = file.name.split("/").map(encodeURIComponent).join("/");
  return `api/v1/artifact-versions/${encodeURIComponent(version.id)}/files/${name}`;
}
