// Where a moment and a value are on a plot, and which of them stand at its axes.

export const SPAN_S = 600;
export const HEIGHT = 132;

const MARGIN = { left: 52, right: 8, top: 8, bottom: 22 }; // room for the labels of both axes
const TICK_S = 120;
const HALF_A_LABEL = 16;

export class Scale {
  left = MARGIN.left;
  top = MARGIN.top;
  base = HEIGHT - MARGIN.bottom;

  #end;
  #lowest;
  #highest;

  // `end`: the last moment, in Unix seconds. `values`: all that are to be shown. `leastTop`: the least upper end of the vertical
  // axis. `bottoms`: where it may begin, instead of at 0, if no value is below.
  constructor(width, end, values, { leastTop, bottoms = [] }) {
    this.right = width - MARGIN.right;
    this.#end = end;
    this.#highest = roundTop(Math.max(leastTop, ...values));
    this.#lowest = values.length ? (bottoms.find((bottom) => Math.min(...values) >= bottom) ?? 0) : 0;
  }

  x(time) {
    return this.right - ((this.#end - time) / SPAN_S) * (this.right - this.left);
  }

  y(value) {
    return this.base - ((value - this.#lowest) / (this.#highest - this.#lowest)) * (this.base - this.top);
  }

  timeAt(x) {
    return this.#end - ((this.right - x) / (this.right - this.left)) * SPAN_S;
  }

  levels() {
    return [this.#lowest, (this.#lowest + this.#highest) / 2, this.#highest];
  }

  // Every two minutes, where there is room for the text.
  moments() {
    const first = Math.ceil((this.#end - SPAN_S) / TICK_S) * TICK_S;
    const moments = Array.from({ length: SPAN_S / TICK_S + 1 }, (_, place) => first + place * TICK_S);
    return moments.filter((time) => this.x(time) >= this.left + HALF_A_LABEL && this.x(time) <= this.right - HALF_A_LABEL);
  }
}

// The next of 1, 2, 4, 6 and 10 times a power of ten: its half is a round number too.
function roundTop(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 6, 10].find((step) => step * power >= value * 0.999) * power;
}
