// Runs the doctor, and shows what it finds while it looks. At most 20 findings of a code are listed; all are counted.
import { byId, h, setAttributes, setText } from "./dom.js";
import { count, duration, plural } from "./format.js";
import { eventsOf, Refused } from "./gateway.js";

const MOST_SHOWN = 20;
const ORDER = ["error", "warning", "note"];
const PARTS = { "JSON files": "users’ files", rows: "rows", modules: "modules", versions: "published versions", staging: "leftovers" };

export class Findings {
  #button = byId("examine");
  #status = byId("findings-status");
  #progress = byId("findings-progress");
  #list = byId("findings-list");
  #groups = new Map();
  #run = null;

  constructor() {
    this.#button.addEventListener("click", () => (this.#run ? this.#stop() : this.#examine()));
  }

  async #examine() {
    this.#groups.clear();
    this.#list.replaceChildren();
    setText(this.#status, "Looking…");
    setText(this.#button, "Stop");
    setAttributes(this.#progress, { hidden: false, value: null });
    this.#run = new AbortController();
    const sentence = await this.#follow(this.#run.signal);
    this.#run = null;
    setText(this.#button, "Examine the site");
    setAttributes(this.#progress, { hidden: true });
    setText(this.#status, sentence);
  }

  #stop() {
    this.#run.abort();
  }

  // The sentence with which the examination ends.
  async #follow(signal) {
    try {
      for await (const [name, content] of eventsOf("findings", signal)) {
        if (name === "progress") this.#showProgress(content);
        if (name === "finding") this.#add(content);
        if (name === "summary") return this.#conclude(content);
        if (name === "failed") return content.detail;
        if (name === "end") break;
      }
      return "The examination was interrupted. What was found so far is below.";
    } catch (error) {
      if (signal.aborted) return "Stopped. What was found so far is below.";
      if (error instanceof Refused) return error.message;
      throw error;
    }
  }

  #conclude({ remaining, counts, users, versions, duration_s: took }) {
    for (const counted of counts) this.#groups.get(keyOf(counted))?.showCount(counted.count);
    const looked = `Looked at ${plural(users, "user")} and ${plural(versions, "version")} in ${duration(took)}`;
    return `${looked}: ${remaining ? plural(remaining, "problem") : "no problems"}.`;
  }

  #showProgress({ part, done, total }) {
    setAttributes(this.#progress, { max: total, value: total ? Math.min(done, total) : null });
    setText(this.#status, `Looking at ${PARTS[part] ?? part}: ${count(done)}${total ? ` of ${count(total)}` : ""}`);
  }

  #add(finding) {
    const key = keyOf(finding);
    if (!this.#groups.has(key)) {
      this.#groups.set(key, new Group(finding));
      const groups = [...this.#groups.values()].sort((a, b) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity));
      this.#list.replaceChildren(...groups.map((group) => group.element));
    }
    this.#groups.get(key).add(finding);
  }
}

// A code may have several severities: a row that is disabled harms nobody.
function keyOf({ severity, code }) {
  return `${severity} ${code}`;
}

// The findings of one code and severity.
class Group {
  #number = 0;
  #count = h("span", { class: "count" });
  #items = h("ul");
  #more = h("p", { class: "hint", hidden: true });

  constructor({ code, severity, hint }) {
    this.severity = severity;
    this.element = h(
      "section",
      { class: "finding", "data-state": severity },
      h("h3", {}, h("b", {}, severity), " ", h("code", {}, code), " ", this.#count),
      this.#items,
      this.#more,
      hint && h("p", { class: "hint" }, `${hint.charAt(0).toUpperCase()}${hint.slice(1)}.`),
    );
  }

  add({ text }) {
    if (this.#number < MOST_SHOWN) this.#items.append(h("li", {}, text));
    this.showCount(this.#number + 1);
  }

  showCount(number) {
    this.#number = number;
    setText(this.#count, `× ${count(number)}`);
    this.#more.hidden = number <= MOST_SHOWN;
    if (number > MOST_SHOWN) setText(this.#more, `… and ${count(number - MOST_SHOWN)} more: gateway doctor --json lists all.`);
  }
}
