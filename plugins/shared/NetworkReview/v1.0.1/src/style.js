// The page's colours where it offers them, with values of our own to fall back on.
export const css = `
.nr {
  --nr-ink: var(--ink, #17202a); --nr-muted: var(--muted, #56626d); --nr-line: var(--line, #d8dddc);
  --nr-band: #98450f; --nr-wait: #dba47c; --nr-body: #b4561a;
  container-type: inline-size; color: var(--nr-ink); background: var(--surface, #fff); border: 1px solid var(--nr-line);
  border-radius: 8px; overflow: hidden; font: 14px/1.45 system-ui, sans-serif; font-variant-numeric: tabular-nums;
}
@media (prefers-color-scheme: dark) {
  .nr { --nr-ink: var(--ink, #e6eaed); --nr-muted: var(--muted, #9ba8b3); --nr-line: var(--line, #2d3740);
    --nr-wait: #8a5a38; --nr-body: #f0a36b; background: var(--surface, #171e24); }
}
.nr-head { display: flex; align-items: center; gap: 10px; padding: 12px 16px; color: #fff; background: var(--nr-band); }
.nr-head h3 { margin: 0; flex: 1; font-size: 15px; font-weight: 600; }
.nr-head strong { font-size: 30px; line-height: 1; font-weight: 650; letter-spacing: -.02em; }
.nr-totals { display: grid; grid-template-columns: repeat(2, 1fr); gap: 12px 16px; margin: 16px; }
@container (min-width: 520px) { .nr-totals { grid-template-columns: repeat(4, auto); } }
.nr-totals dt { color: var(--nr-muted); font-size: 12.5px; }
.nr-totals dd { margin: 0; font-size: 20px; font-weight: 600; letter-spacing: -.01em; }
.nr-table { width: calc(100% - 32px); margin: 0 16px; border-collapse: collapse; table-layout: fixed; }
.nr-table caption { text-align: left; font-weight: 600; padding-bottom: 4px; }
.nr-table th, .nr-table td { padding: 5px 0; border-top: 1px solid var(--nr-line); text-align: right; font-weight: 400; }
.nr-table th:first-child { text-align: left; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.nr-table thead th { color: var(--nr-muted); font-size: 12.5px; }
.nr-table thead th:not(:first-child) { width: 72px; }
@container (max-width: 400px) { .nr-table tr > :nth-child(2) { display: none; } }
.nr-timeline { margin: 0 16px 20px; }
.nr-timeline h4 { margin: 0 0 4px; font-size: inherit; font-weight: 600; }
.nr-timeline ol { margin: 0; padding: 0; list-style: none; }
.nr-timeline li { display: grid; grid-template-columns: minmax(0, 11em) 1fr; gap: 12px; align-items: center;
  border-top: 1px solid var(--nr-line); padding: 3px 0; }
.nr-timeline li span:first-child { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; font-size: 12.5px; }
.nr-lane { position: relative; height: 10px; }
.nr-lane i { position: absolute; top: 0; bottom: 0; min-width: 1px; }
.nr-wait { background: var(--nr-wait); }
.nr-body { background: var(--nr-body); }
.nr-key { display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 6px 0 0; color: var(--nr-muted); font-size: 12.5px; }
.nr-key span::before { content: ""; display: inline-block; width: 10px; height: 10px; margin-right: 6px;
  background: var(--nr-wait); }
.nr-key span:nth-child(2)::before { background: var(--nr-body); }
.nr-note { margin: 12px 16px 16px; color: var(--nr-muted); font-size: 12.5px; }
`;
