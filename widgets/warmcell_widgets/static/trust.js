// The question whether code that somebody else signed may run here: asked of a person, answered once.

import { button, clock, make, setText } from "./dom.js";

const ANSWER_AGAIN_MS = 4000;

/** A note on a deployment whose snapshot is not trusted. `trust()` signs it and has it restored. */
export class Trust {
  constructor(host, trust) {
    this.host = host;                // () => {request}
    this.text = make("div", "");
    this.answer = button("", "wc-small", () => this.click());
    this.answer.title = "Signs the snapshot with your key, once every byte of it was checked, and restores it.";
    this.trust = trust;
    this.node = make("div", "wc-note wc-trust", this.text, make("div", "wc-tools", this.answer));
    this.node.hidden = true;
    this.disarm();
  }

  /** Whether there is something to ask. */
  update(item) {
    const isAsked = item.trusted === false && !item.ready && item.state !== "restoring";
    if (isAsked && this.node.hidden) this.describe(item);
    this.node.hidden = !isAsked;
    return isAsked;
  }

  async describe(item) {
    const what = `Snapshot ${item.snapshot} of ${item.pipeline}`;
    const rest = "was signed by somebody else, or changed since. It is not restored: that would run its code.";
    setText(this.text, `${what} ${rest}`);
    try {
      const query = `pipeline=${encodeURIComponent(item.pipeline)}&brief=true`;
      const { snapshots } = await this.host().request("GET", `api/v1/snapshots?${query}`);
      const one = snapshots.find((found) => found.number === item.snapshot);
      const from = [one?.user && `by ${one.user}`, one?.notebook && `from ${one.notebook.split("/").pop()}`,
        one?.created_at && `at ${clock(one.created_at)}`].filter(Boolean).join(" ");
      if (from) setText(this.text, `${what}, deployed ${from}, ${rest} %open ${item.pipeline}@${item.snapshot} shows it.`);
    } catch {
      // what matters is said already
    }
  }

  click() {
    if (!this.armed) {
      this.armed = setTimeout(() => this.disarm(), ANSWER_AGAIN_MS);
      setText(this.answer, "Run its code here?");
      this.answer.classList.add("wc-armed");
      return;
    }
    this.disarm();
    this.trust();
  }

  disarm() {
    clearTimeout(this.armed);
    this.armed = null;
    setText(this.answer, "Trust and restore");
    this.answer.classList.remove("wc-armed");
  }
}
