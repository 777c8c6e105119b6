import React from "react";
import { KEPT } from "./useLatency.js";
import { milliseconds } from "./summary.js";

const WIDTH = 600;
const HEIGHT = 120;

// The newest sample is at the right edge; a failed one is a full-height mark and breaks the line.
export default function Sparkline({ samples, summary }) {
  const top = scaleTop(summary?.max ?? 0);
  const x = (index) => ((KEPT - samples.length + index) * WIDTH) / (KEPT - 1);
  const y = (ms) => HEIGHT - (ms / top) * HEIGHT;
  const label = summary
    ? `Round-trip times of ${summary.count} requests, up to ${milliseconds(summary.max)}`
    : "No answer yet";
  return (
    <figure className="ne-figure">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={label}>
        <path className="ne-grid" d={`M0 0H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 ${HEIGHT}H${WIDTH}`} />
        {summary && <path className="ne-p95" d={`M0 ${y(summary.p95)}H${WIDTH}`} />}
        <path className="ne-line" d={linePath(samples, x, y)} />
        {samples.map((sample, index) => sample.ms === null && (
          <path key={sample.start} className="ne-failed" d={`M${x(index)} 0V${HEIGHT}`} />
        ))}
      </svg>
      <figcaption>
        <span>{milliseconds(top)}</span>
        <span>{milliseconds(top / 2)}</span>
        <span>0</span>
      </figcaption>
    </figure>
  );
}

// The next of 1, 2, 5, 10, 20, 50, … above the maximum, so that the scale seldom jumps.
function scaleTop(max) {
  const power = 10 ** Math.floor(Math.log10(Math.max(max, 1)));
  return [1, 2, 5, 10].map((step) => step * power).find((candidate) => candidate > max);
}

// A lone sample still shows: a zero-length line with round caps is a dot.
function linePath(samples, x, y) {
  return samples
    .map(({ ms }, index) => {
      if (ms === null) return "";
      const joined = index > 0 && samples[index - 1].ms !== null;
      const point = `${x(index).toFixed(1)} ${y(ms).toFixed(1)}`;
      return joined ? `L${point}` : `M${point}L${point}`;
    })
    .join("");
}
