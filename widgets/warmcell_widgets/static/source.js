// From where a deployment is served, and one click to serve it from this notebook.

import { button, make, setText } from "./dom.js";

/** A line about the kernel behind a deployment. `notebook()` is the one that this view is in, null
    where that is not known; `isAlive()` tells whether its kernel is the one that made this view. */
export class Source {
  constructor(notebook, isAlive, take) {
    this.notebook = notebook;
    this.isAlive = isAlive;
    this.text = make("span", "wc-dim");
    this.take = button("Serve from this notebook", "wc-small", () => take());
    this.take.title = "Calls switch to this notebook's kernel if its cells make the same snapshot; else nothing changes.";
    this.node = make("div", "wc-line wc-source", this.text, this.take);
  }

  update(item) {
    const isMine = item.notebook !== null && item.notebook === this.notebook();
    const isLost = isMine && item.served_by !== "notebook" && !ownKernels(item);
    setText(this.text, this.words(item, isMine, isLost));
    this.text.title = item.worker_pid ? `process ${item.worker_pid}` : "";
    this.take.hidden = !isLost || !this.isAlive();
    this.node.hidden = !this.text.textContent;
  }

  words(item, isMine, isLost) {
    if (item.served_by === "notebook") {
      return isMine ? "Served from this notebook’s kernel." : `Served from the kernel of ${item.notebook ?? "another notebook"}.`;
    }
    if (isLost && !this.isAlive()) {
      return item.served_by ? "Served from a dedicated kernel. To serve it from this notebook again, run its cells, this one too."
        : "To serve it from this notebook, run its cells, this one too.";
    }
    if (!item.served_by) return "";  // its reason says more
    if (ownKernels(item)) return "Served from kernels of its own, apart from the notebook.";
    return isLost ? "Served from a dedicated kernel, restored from the snapshot." : "Served from a dedicated kernel.";
  }
}

function ownKernels(item) {
  return Boolean(item.settings?.isolated || item.settings?.replicas);
}
