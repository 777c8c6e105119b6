// The plots, and the samples that they show: those of ten minutes, never more.
import { byId } from "./dom.js";
import { duration, rate, share } from "./format.js";
import { Plot } from "./plot.js";
import { SPAN_S } from "./scale.js";

const SOURCES = { database: "database", users: "users’ files", shared: "published files" };
// Those that a user’s own requests ask; the others stand behind them.
const CACHES = { installations: "users’ files", versions: "rows", manifest: "manifests", assets: "files" };

const series = (name, value) => ({ name, value });
const ofSources = (value) => Object.entries(SOURCES).map(([key, name]) => series(name, (sample) => sample.sources?.[key]?.[value]));

const PLOTS = [
  {
    title: "Requests per second",
    format: rate,
    leastTop: 1,
    series: [
      series("all", (sample) => sample.requests_per_s),
      series("refused (4xx)", (sample) => sample.refusals_per_s),
      series("errors (5xx)", (sample) => sample.errors_per_s),
    ],
  },
  {
    title: "Latency",
    format: duration,
    leastTop: 1e-4,
    series: [series("half within (p50)", (sample) => sample.p50_s), series("99 % within (p99)", (sample) => sample.p99_s)],
  },
  {
    title: "Answered from memory",
    format: share,
    leastTop: 1,
    bottoms: [0.9, 0.5],
    series: [
      series("whole request", (sample) => sample.hot_share),
      ...Object.entries(CACHES).map(([key, name]) => series(name, (sample) => sample.hit_shares?.[key])),
    ],
  },
  { title: "Errors of sources per second", format: rate, leastTop: 1, series: ofSources("errors_per_s") },
  { title: "Waiting for sources (p99)", format: duration, leastTop: 1e-3, series: ofSources("p99_s") },
  {
    title: "Processor cores in use",
    format: rate,
    leastTop: 0.1,
    series: [series("all workers", (sample) => sample.cpu_cores)],
  },
];

export class Plots {
  #samples = [];
  #cursor = null;
  #isDue = false;
  #plots = PLOTS.map((plot) => new Plot(byId("plots"), plot, (time) => this.#point(time)));

  constructor() {
    document.addEventListener("visibilitychange", () => this.#drawSoon());
  }

  replace(samples) {
    this.#samples = [];
    samples.forEach((sample) => this.#keep(sample));
    this.#drawSoon();
  }

  append(sample) {
    this.#keep(sample);
    this.#drawSoon();
  }

  #keep(sample) {
    const last = this.#samples.at(-1);
    if (last && sample.time <= last.time) return;
    this.#samples.push(sample);
    while (this.#samples[0].time < sample.time - SPAN_S) this.#samples.shift();
  }

  #point(time) {
    if (time === this.#cursor) return;
    this.#cursor = time;
    this.#drawSoon();
  }

  // Once for each frame, and not at all for a page that nobody sees.
  #drawSoon() {
    if (this.#isDue || document.hidden) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      this.#plots.forEach((plot) => plot.show(this.#samples, this.#cursor));
    });
  }
}
