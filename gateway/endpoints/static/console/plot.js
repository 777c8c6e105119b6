// One plot of some series over ten minutes: axes with units, a legend with values, and a cursor that all plots share.
import { h, KeyedChildren, setAttributes, setText, svg } from "./dom.js";
import { DASH, minuteOfDay, timeOfDay } from "./format.js";
import { HEIGHT, Scale } from "./scale.js";

const LONGEST_GAP_S = 10; // samples come every 2 s
const STEPS_OF_KEYS = { ArrowLeft: -1, ArrowRight: 1, PageDown: -15, PageUp: 15, Home: -Infinity, End: Infinity };

export class Plot {
  #plan;
  #samples = [];
  #cursor = null;
  #width = 320;
  #scale = null;
  #moment = h("span", { class: "moment" });
  #canvas = svg("svg", { height: HEIGHT, "aria-hidden": "true", focusable: "false" });
  #grid = svg("g", { class: "grid" });
  #lines = svg("g", { class: "lines" });
  #rule = svg("line", { class: "rule" });
  #dots = svg("g", { class: "dots" });
  #legend;
  #slider;

  // `plan`: `title`; `series`, names and functions of a sample; `format`, a value as text with its unit; and what Scale needs.
  // `onCursor(time)`: called with the moment that is pointed at; null for none.
  constructor(parent, plan, onCursor) {
    this.#plan = plan;
    this.#canvas.append(this.#grid, this.#rule, this.#lines, this.#dots);
    this.#slider = h("div", { class: "canvas", role: "slider", tabindex: 0, "aria-label": `${plan.title}, by time`, "aria-valuemin": 0 }, this.#canvas);
    const legend = h("ul", { class: "legend" });
    this.#legend = new KeyedChildren(legend, { keyOf: ({ name }) => name, make: makeEntry, update: (entry, { text }) => setText(entry.querySelector("b"), text) });
    parent.append(h("figure", { class: "plot" }, h("figcaption", {}, h("h3", {}, plan.title), this.#moment), legend, this.#slider));
    this.#listen(onCursor);
    new ResizeObserver(([{ contentRect }]) => {
      this.#width = Math.max(160, contentRect.width);
      this.#draw();
    }).observe(this.#slider);
  }

  show(samples, cursor) {
    this.#samples = samples;
    this.#cursor = cursor;
    this.#draw();
  }

  #listen(onCursor) {
    const slider = this.#slider;
    const leave = () => onCursor(null);
    const point = (event) => this.#scale && onCursor(this.#scale.timeAt(event.clientX - slider.getBoundingClientRect().left));
    slider.addEventListener("pointermove", point);
    slider.addEventListener("pointerdown", point);
    slider.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && leave());
    slider.addEventListener("blur", leave);
    slider.addEventListener("keydown", (event) => {
      if (event.key === "Escape") leave();
      const step = STEPS_OF_KEYS[event.key];
      if (step === undefined || this.#samples.length === 0) return;
      event.preventDefault();
      const place = Math.min(this.#samples.length - 1, Math.max(0, this.#place() + step));
      onCursor(this.#samples[place].time);
    });
  }

  // The place of the sample that is read: at the cursor, or the last one.
  #place() {
    if (this.#cursor === null) return this.#samples.length - 1;
    const distance = (place) => Math.abs(this.#samples[place].time - this.#cursor);
    return this.#samples.reduce((best, _, place) => (distance(place) < distance(best) ? place : best), 0);
  }

  #draw() {
    if (this.#samples.length === 0) return;
    const { series } = this.#plan;
    const values = this.#samples.flatMap((sample) => series.map(({ value }) => value(sample))).filter(isKnown);
    this.#scale = new Scale(this.#width, this.#samples.at(-1).time, values, this.#plan);
    setAttributes(this.#canvas, { width: this.#width, viewBox: `0 0 ${this.#width} ${HEIGHT}` });
    this.#drawGrid();
    this.#lines.replaceChildren(...series.map(({ value }, index) => svg("path", { d: this.#pathOf(value), "data-series": index })));
    this.#drawCursor();
  }

  #drawGrid() {
    const { left, right, base } = this.#scale;
    const levels = this.#scale.levels().map((level) => [this.#scale.y(level), withoutZeros(this.#plan.format(level))]);
    const moments = this.#scale.moments().map((time) => [this.#scale.x(time), minuteOfDay(time)]);
    this.#grid.replaceChildren(
      ...levels.flatMap(([y, text]) => [svg("line", { x1: left, x2: right, y1: y, y2: y }), svg("text", { x: left - 6, y: y + 4, "text-anchor": "end" }, text)]),
      ...moments.flatMap(([x, text]) => [svg("line", { x1: x, x2: x, y1: base, y2: base + 4 }), svg("text", { x, y: HEIGHT - 4, "text-anchor": "middle" }, text)]),
    );
  }

  // A line ends where a value is not known: there were no requests, or no samples for a while.
  #pathOf(value) {
    let path = "";
    let before = -Infinity;
    for (const sample of this.#samples.filter((candidate) => isKnown(value(candidate)))) {
      const point = `${this.#scale.x(sample.time).toFixed(1)} ${this.#scale.y(value(sample)).toFixed(1)}`;
      path += sample.time - before < LONGEST_GAP_S ? `L${point}` : `M${point}h0.01`; // a lone point is a dot
      before = sample.time;
    }
    return path;
  }

  // Shows the values at the cursor, or the last ones.
  #drawCursor() {
    const place = this.#place();
    const sample = this.#samples[place];
    const isPointedAt = this.#cursor !== null;
    const entries = this.#plan.series.map(({ name, value }, index) => ({ name, index, value: value(sample), text: this.#textOf(value(sample)) }));
    const moment = isPointedAt ? `at ${timeOfDay(sample.time)}` : "now";
    const x = this.#scale.x(sample.time);
    setText(this.#moment, moment);
    this.#legend.show(entries);
    setAttributes(this.#rule, { x1: x, x2: x, y1: this.#scale.top, y2: this.#scale.base, visibility: isPointedAt ? "visible" : "hidden" });
    const marked = isPointedAt ? entries.filter((entry) => isKnown(entry.value)) : [];
    this.#dots.replaceChildren(...marked.map(({ value, index }) => svg("circle", { cx: x, cy: this.#scale.y(value), r: 3, "data-series": index })));
    setAttributes(this.#slider, {
      "aria-valuemax": this.#samples.length - 1,
      "aria-valuenow": place,
      "aria-valuetext": `${moment}: ${entries.map(({ name, text }) => `${name} ${text}`).join(", ")}`,
    });
  }

  #textOf(value) {
    return isKnown(value) ? this.#plan.format(value) : DASH;
  }
}

function makeEntry({ name, index }) {
  const sample = svg("svg", { width: 22, height: 8, "aria-hidden": "true" }, svg("path", { d: "M1 4h20", "data-series": index }));
  return h("li", {}, sample, h("span", {}, name), h("b"));
}

function isKnown(value) {
  return value !== null && value !== undefined;
}

function withoutZeros(text) {
  return text.replace(/(\.\d*?)0+(?!\d)/, "$1").replace(/\.(?!\d)/, "");
}
