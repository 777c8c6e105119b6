// The page's colours where it offers them, with values of our own to fall back on.
export const css = `
.ne {
  --ne-ink: var(--ink, #17202a); --ne-muted: var(--muted, #56626d); --ne-line: var(--line, #d8dddc);
  --ne-band: #175e57; --ne-draw: #17756b; --ne-bad: #b3261e;
  color: var(--ne-ink); background: var(--surface, #fff); border: 1px solid var(--ne-line);
  border-radius: 8px; overflow: hidden; font: 14px/1.45 system-ui, sans-serif; font-variant-numeric: tabular-nums;
}
@media (prefers-color-scheme: dark) {
  .ne { --ne-ink: var(--ink, #e6eaed); --ne-muted: var(--muted, #9ba8b3); --ne-line: var(--line, #2d3740);
    --ne-draw: #66c9ba; --ne-bad: #f2968b; background: var(--surface, #171e24); }
}
.ne-head { display: flex; align-items: center; gap: 10px; padding: 12px 16px; color: #fff; background: var(--ne-band); }
.ne-head h3 { margin: 0; flex: 1; font-size: 15px; font-weight: 600; }
.ne-head strong { font-size: 30px; line-height: 1; font-weight: 650; letter-spacing: -.02em; }
.ne-numbers { display: grid; grid-template-columns: repeat(3, 1fr); gap: 16px; margin: 16px; }
.ne-numbers dt { color: var(--ne-muted); font-size: 12.5px; }
.ne-numbers dd { margin: 0; font-size: 20px; white-space: nowrap; font-weight: 600; letter-spacing: -.01em; }
.ne-dashed::after { content: ""; display: inline-block; width: 18px; margin-left: 6px; vertical-align: middle;
  border-top: 1px dashed var(--ne-muted); }
.ne-chart { height: 120px; margin: 20px 16px 12px; }
.ne-figure { display: flex; gap: 10px; height: 100%; margin: 0; }
.ne-figure svg { flex: 1; width: 0; height: 100%; overflow: visible; }
.ne-figure path { fill: none; vector-effect: non-scaling-stroke; }
.ne-grid { stroke: var(--ne-line); }
.ne-p95 { stroke: var(--ne-muted); stroke-dasharray: 4 4; }
.ne-line { stroke: var(--ne-draw); stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.ne-failed { stroke: var(--ne-bad); stroke-width: 2; }
.ne-figure figcaption { display: flex; flex-direction: column; justify-content: space-between; width: 52px;
  margin: -8px 0; color: var(--ne-muted); font-size: 12px; line-height: 16px; }
.ne-foot { display: flex; align-items: center; justify-content: space-between; gap: 12px; margin: 0 16px 16px;
  color: var(--ne-muted); font-size: 12.5px; }
.ne-foot code { font: 12px ui-monospace, monospace; color: var(--ne-ink); }
.ne-foot button { padding: 4px 12px; border: 1px solid var(--ne-line); border-radius: 6px; color: var(--ne-ink);
  background: transparent; font: inherit; cursor: pointer; }
.ne-foot button:focus-visible { outline: 2px solid var(--accent, currentColor); outline-offset: 2px; }
.ne-trouble { margin: 0 16px 16px; color: var(--ne-bad); }
.ne-trouble:empty { display: none; }
`;
