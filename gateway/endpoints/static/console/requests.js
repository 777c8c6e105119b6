// The requests that are refused most, and the slowest ones. A path leads to its explanation.
import { byId } from "./dom.js";
import { ago, count, duration } from "./format.js";
import { Table } from "./table.js";

const MOST_SHOWN = 10;

export class Requests {
  #now = 0;
  #refused;
  #slowest;

  constructor(explainUrl) {
    // What is not a file, or is without its token, has no explanation.
    const explanationOf = ({ path: url }) => (url.includes("/plugins/") && !url.includes("…") ? () => explainUrl(url) : null);
    const path = { label: "Path", kind: "code", text: (request) => request.path, act: explanationOf };
    this.#refused = new Table(byId("refused"), [
      path,
      { label: "Refused as", kind: "code", text: ({ code }) => code },
      { label: "Times", kind: "number", text: (request) => count(request.count) },
      { label: "Last", kind: "number", text: (request) => ago(request.last_at, this.#now) },
    ], { keyOf: ({ code, path: refused }) => `${code} ${refused}`, none: "Nothing has been refused lately." });
    this.#slowest = new Table(byId("slowest"), [
      path,
      { label: "Status", kind: "number", text: ({ status }) => String(status) },
      { label: "Took", kind: "number", text: (request) => duration(request.duration_s) },
      { label: "When", kind: "number", text: (request) => ago(request.at, this.#now) },
    ], { keyOf: ({ path: slow, at }) => `${at} ${slow}`, none: "No request has been slow lately." });
  }

  show({ time, refused, slowest }) {
    this.#now = time;
    this.#refused.show((refused ?? []).slice(0, MOST_SHOWN));
    this.#slowest.show((slowest ?? []).slice(0, MOST_SHOWN));
  }
}
