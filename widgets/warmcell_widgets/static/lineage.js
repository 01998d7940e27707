// Where something came from and what was made of it, drawn: from left to right, a click opens a node.

import { section } from "./controls.js";
import { clip, make, shortId } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const [BOX, ROW_GAP, COLUMN_GAP, MOST_LETTERS] = [36, 14, 44, 30];
const SWEEP_COUNT = 6;
const MOST_DRAWN_NODES = 300;
const WORDS = { artifact_version: "artifact", model_version: "model" };

/** The graph around `kind` `id` as a part of a detail, which it does not keep waiting: it appears
    once it is known, if there is anything around it. */
export function lineagePart(shell, kind, id) {
  const node = section("lineage");
  node.hidden = true;
  loaded(shell, kind, id, { depth: 6, limit: 80 }).then((graph) => {
    if (!graph) return;
    node.append(graph);
    node.hidden = false;
  }, (error) => {
    node.append(make("p", "wc-dim", error.message));
    node.hidden = false;
  });
  return node;
}

/** The graph as a node, or null where there is nothing around it. */
async function loaded(shell, kind, id, bounds) {
  const query = new URLSearchParams({ kind, ...bounds, ...(kind === "run" ? { run: id } : { id }) });
  const graph = await shell.host.request("GET", `api/v1/lineage?${query}`);
  if (graph.nodes.length < 2) return null;
  const node = make("div", "wc-graph wc-lineage", drawn(graph, shell.open));
  if (!graph.truncated) return node;
  return make("div", "", node, make("p", "wc-dim", "There is more of it: a click on a node shows what is around that."));
}

/** The page of one lineage; `name` is its kind, a slash and its id. */
export async function lineageDetail(shell, name) {
  const [kind, ...rest] = name.split("/");
  const graph = await loaded(shell, kind, rest.join("/"), { depth: 20, limit: MOST_DRAWN_NODES });
  const body = make("div", "wc-run", section("lineage", graph
    ?? make("p", "wc-dim", "Nothing is known before or after it: no step of it gave an artifact that was kept.")));
  body.dataset.title = `Lineage of ${kind.replace("_", " ")} ${shortId(rest.join("/"))}`;
  return body;
}

function drawn({ nodes, edges, roots }, open) {
  const boxes = place(nodes, edges);
  const all = [...boxes.values()];
  const width = Math.max(...all.map((box) => box.x + box.width)) + 4;
  const height = Math.max(...all.map((box) => box.y)) + BOX + 4;
  const svg = draw("svg", { width, height, viewBox: `-2 -2 ${width} ${height}`, role: "group",
    "aria-label": `Lineage: ${nodes.map((node) => node.label).join(", ")}` });
  for (const edge of edges) svg.append(...drawEdge(boxes.get(edge.source), boxes.get(edge.target), edge));
  for (const node of nodes) svg.append(drawNode(node, boxes.get(node.id), roots.includes(node.id), open));
  return svg;
}

function draw(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function drawEdge(from, to, { relation, name }) {
  const [x, y, end, last] = [from.x + from.width, from.y + BOX / 2, to.x, to.y + BOX / 2];
  const middle = (x + end) / 2;
  const line = draw("path", { class: "wc-edge", d: `M${x} ${y}C${middle} ${y} ${middle} ${last} ${end - 5} ${last}` });
  const title = draw("title", {});
  title.textContent = [relation, name].filter(Boolean).join(" ");
  line.append(title);
  return [line, draw("path", { class: "wc-tip", d: `M${end} ${last}l-7 -3.5v7z` })];
}

function drawNode(node, box, isRoot, open) {
  const known = { run: ["run", node.key], step: ["run", node.run_id], artifact_version: ["artifact_version", node.key],
    model_version: ["model_version", node.key] }[node.kind];
  const words = [WORDS[node.kind] ?? node.kind, node.label, node.detail, node.status].filter(Boolean).join(" · ");
  const title = draw("title", {});
  title.textContent = words;
  const label = draw("text", { x: box.x + 24, y: box.y + BOX / 2 - 2 });
  label.textContent = clip(node.label, MOST_LETTERS);
  const below = draw("text", { class: "wc-sub", x: box.x + 24, y: box.y + BOX / 2 + 12 });
  below.textContent = lineBelow(node);
  const rounded = node.kind === "artifact_version" || node.kind === "model_version" ? 4 : BOX / 2;
  const group = draw("g", { class: `wc-node wc-of-${node.kind} ${isRoot ? "wc-root" : ""} ${node.gone ? "wc-skipped" : ""}` },
    title, draw("rect", { class: "wc-box", x: box.x, y: box.y, width: box.width, height: BOX, rx: rounded }),
    draw("circle", { class: "wc-mark", cx: box.x + 13, cy: box.y + BOX / 2, r: 4 }), label, below);
  group.dataset.node = node.id;
  if (!known?.[1] || node.gone || isRoot) return group;
  for (const [name, value] of Object.entries({ role: "button", tabindex: 0, "aria-label": words })) {
    group.setAttribute(name, value);
  }
  group.classList.add("wc-way");
  group.addEventListener("click", () => open(...known));
  group.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    event.stopPropagation();
    open(...known);
  });
  return group;
}

function lineBelow(node) {
  return clip(`${WORDS[node.kind] ?? node.kind}${node.detail ? ` · ${node.detail}` : ""}${node.more ? " …" : ""}`, 38);
}

/** Where the boxes go, by id: each right of all that it comes from, few crossings. */
function place(nodes, edges) {
  const before = new Map(nodes.map((node) => [node.id, []]));
  const after = new Map(nodes.map((node) => [node.id, []]));
  for (const { source, target } of edges) {
    before.get(target)?.push(source);
    after.get(source)?.push(target);
  }
  const columns = [];
  const depths = depthsOf(before);
  for (const node of nodes) (columns[depths.get(node.id)] ??= []).push(node.id);
  const rank = new Map();
  const settle = () => columns.forEach((column) => column.forEach((id, index) => rank.set(id, index - column.length / 2)));
  settle();
  for (let sweep = 0; sweep < SWEEP_COUNT; sweep += 1) {
    const around = sweep % 2 ? after : before;
    const wish = (id) => {
      const ranks = around.get(id).map((other) => rank.get(other));
      return ranks.length ? ranks.reduce((sum, one) => sum + one, 0) / ranks.length : rank.get(id);
    };
    for (const column of columns) {
      const wishes = new Map(column.map((id) => [id, wish(id)]));
      column.sort((one, other) => wishes.get(one) - wishes.get(other));
    }
    settle();
  }
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const tallest = Math.max(...columns.map((column) => column.length));
  const boxes = new Map();
  let x = 0;
  for (const column of columns) {
    const width = Math.max(...column.map((id) => widthOf(byId.get(id))));
    const top = (tallest - column.length) * (BOX + ROW_GAP) / 2;
    column.forEach((id, index) => boxes.set(id, { x, y: top + index * (BOX + ROW_GAP), width }));
    x += width + COLUMN_GAP;
  }
  return boxes;
}

function widthOf(node) {
  return Math.max(7 * Math.min(node.label.length, MOST_LETTERS), 6 * lineBelow(node).length) + 38;
}

/** The longest way to each id; an edge that would close a cycle does not count. */
function depthsOf(before) {
  const depths = new Map();
  const under = new Set();
  const depthOf = (id) => {
    if (depths.has(id)) return depths.get(id);
    if (under.has(id)) return -1;
    under.add(id);
    const depth = Math.max(-1, ...before.get(id).filter((other) => before.has(other)).map(depthOf)) + 1;
    under.delete(id);
    depths.set(id, depth);
    return depth;
  };
  for (const id of before.keys()) depthOf(id);
  return depths;
}
