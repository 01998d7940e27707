// The kernels of its own that a deployment is served from: memory, runs, start-up.

import { duration, make, setText, size } from "./dom.js";

/** A line that unfolds into one row per kernel; hidden where the notebook's kernel serves. */
export class Replicas {
  constructor() {
    this.summary = make("summary", "wc-dim", "");
    this.body = make("tbody", "");
    const titles = ["process", "memory", "runs", "running", "start-up", "age"];
    const head = titles.map((title, at) => make("th", at ? "wc-num" : "", title));
    const table = make("table", "wc-table", make("thead", "", make("tr", "", ...head)), this.body);
    this.why = make("div", "wc-note");
    this.node = make("details", "wc-replicas", this.summary, make("div", "wc-scroll", table));
    this.node.hidden = true;
  }

  update(item) {
    const own = (item.replicas ?? []).filter((one) => one.served_by === "dedicated");
    const wanted = item.replicas_wanted || 0;
    this.node.hidden = !own.length && !wanted;
    setText(this.why, item.replica_reason ?? "");
    this.why.hidden = !item.replica_reason;
    if (this.node.hidden) return;
    const memory = own.reduce((sum, one) => sum + (one.rss ?? 0), 0);
    const count = wanted > own.length ? `${own.length} of ${wanted} kernels` : `${own.length} ${own.length === 1 ? "kernel" : "kernels"}`;
    setText(this.summary, memory ? `${count}, ${size(memory)}` : count);
    this.body.replaceChildren(...own.map((one) => this.row(one)));
  }

  row(one) {
    const cells = [
      String(one.pid),
      one.rss ? size(one.rss) : "",
      String(one.runs),
      String(one.in_flight),
      one.start_seconds === null ? "" : duration(one.start_seconds),
      one.worn ? `${duration(one.age_seconds)}, is replaced` : duration(one.age_seconds),
    ];
    const row = make("tr", "", ...cells.map((text, at) => make("td", at ? "wc-num" : "", text)));
    row.title = one.worn ?? `kernel ${one.kernel_id}`;
    return row;
  }
}
