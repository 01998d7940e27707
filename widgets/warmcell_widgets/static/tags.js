// Tags: which there are, on how much, and what has one.

import { api, facts, grid, link, section, sureButton, tagNode, userNode } from "./controls.js";
import { clock, make, setText, shortId } from "./dom.js";
import { Listing } from "./listing.js";

const TAG_COLUMNS = [["tag", ""], ["on", ""], ["kind of tag", "wc-dim"], ["since", "wc-dim"], ["by", ""]];
const OPENED = new Set(["run", "artifact_version", "model", "model_version"]);
const MOST_TAGGED = 200;

export class Tags extends Listing {
  constructor(shell) {
    super(shell, { noun: "tag", columns: TAG_COLUMNS, older: "Load more",
      empty: "No tags yet. A run, an artifact or a model gets one in its own view, or by add_tags()." });
    this.addSearch("filter by text", "Filter the shown tags by text", () => this.sift());
  }

  async fetchPage() {
    return { items: await this.shell.paint(), next: null };
  }

  idOf(tag) {
    return tag.name;
  }

  fill(cells, tag, node) {
    node.dataset.tag = tag.name;
    const [name, uses, kind, since, by] = cells;
    name.replaceChildren(tagNode(tag.name, tag.color));
    setText(uses, usesWords(tag.uses));
    setText(kind, [tag.exclusive && "exclusive", tag.cascade && "cascades"].filter(Boolean).join(", "));
    setText(since, clock(tag.created_at));
    by.replaceChildren(userNode(tag.user));
  }

  detail(tag, changed) {
    return taggedDetail(this.shell, tag.name, changed);
  }
}

function usesWords(uses) {
  const words = Object.entries(uses).map(([kind, count]) => `${count} ${kind.replace("_", " ")}${count === 1 ? "" : "s"}`);
  return words.join(", ") || "nothing";
}

/** What has the tag `name`. */
export async function taggedDetail(shell, name, changed) {
  const query = new URLSearchParams({ tag: name, limit: MOST_TAGGED });
  const { tagged } = await shell.host.request("GET", `api/v1/tagged?${query}`);
  const rows = tagged.map(({ kind, subject, scope, created_at: time }) => {
    const words = kind === "run" || kind.endsWith("version") ? shortId(subject) : subject;
    return [kind.replace("_", " "), OPENED.has(kind) ? link(words, subject, () => shell.open(kind, subject)) : subject,
      scope, clock(time)];
  });
  const problem = make("span", "wc-stderr");
  const gone = sureButton("Delete the tag", `Off ${tagged.length}, for good?`, async () => {
    try {
      await shell.host.request("DELETE", api("tags", name));
      await changed();
    } catch (error) {
      setText(problem, [error.message, error.hint].filter(Boolean).join(" "));
    }
  });
  const body = make("div", "wc-run");
  body.dataset.title = `Tag ${name}`;
  body.append(rows.length ? section("has it", grid(["kind", "which", "of", "since"], rows))
    : section("has it", facts([["", "Nothing has it now."]])));
  if (rows.length === MOST_TAGGED) body.append(make("div", "wc-part wc-dim", `The newest ${MOST_TAGGED} are shown.`));
  body.append(make("div", "wc-part wc-foot", gone, problem));
  return body;
}
