// What runs wrote, searched: cells, calls and schedules alike.

import { link } from "./controls.js";
import { clip, clock, make, plain, shortId } from "./dom.js";
import { Listing } from "./listing.js";

const LOG_COLUMNS = [["when", "wc-dim"], ["from", ""], ["", "wc-dim"], ["text", "wc-clip wc-mono"]];
const STREAM_NAMES = ["stdout", "stderr", "log", "display"];
const LEVEL_NAMES = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"];

export class Logs extends Listing {
  constructor(shell) {
    super(shell, { noun: "line", columns: LOG_COLUMNS, older: "Load older lines",
      empty: "Nothing was written that fits." });
    this.addWanted("text", "text");
    this.regex = make("input", "");
    this.regex.type = "checkbox";
    this.regex.addEventListener("change", () => this.reload());
    this.tools.append(make("label", "wc-check", this.regex, "regular expression"));
    for (const name of ["pipeline", "deployment", "step"]) if (!(name in shell.fixed)) this.addWanted(name, name);
    this.addSelect("stream", STREAM_NAMES);
    this.addSelect("level", LEVEL_NAMES);
  }

  chosen() {
    return { ...super.chosen(), ...(this.regex.checked ? { regex: "true" } : {}) };
  }

  async fetchPage(limit, before) {
    const query = new URLSearchParams({ ...this.shell.fixed, ...this.chosen(), limit });
    if (before) query.set("before", before);
    const { logs, next } = await this.shell.host.request("GET", `api/v1/logs?${query}`);
    const seen = new Map();          // several pieces of one moment: each has a place among them
    const items = logs.map((line) => {
      const known = `${line.run_id}/${line.time}/${line.step}/${line.text.length}`;
      seen.set(known, (seen.get(known) ?? 0) + 1);
      return { ...line, id: `${known}/${seen.get(known)}` };
    });
    return { items, next };
  }

  idOf(line) {
    return line.id;
  }

  known() {
    return "";                       // what was written stays as it is
  }

  fill(cells, line, node) {
    node.dataset.log = line.run_id;
    const [when, from, how, text] = cells;
    when.textContent = clock(line.time);
    when.title = line.time;
    from.replaceChildren(link(shortId(line.run_id), line.run_id, () => this.shell.open("run", line.run_id)),
      ` ${[line.pipeline, line.step].filter(Boolean).join(" · ")}`);
    how.textContent = line.level ?? line.stream;
    text.textContent = clip(plain(line.text).trim(), 300);
    if (line.stream === "stderr" || line.level === "ERROR") text.classList.add("wc-stderr");
  }

  async detail(line) {
    return make("div", "wc-run", make("div", "wc-part", make("pre", "wc-text", clip(plain(line.text), 20_000))));
  }
}
