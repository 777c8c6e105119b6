// The page's colours where it offers them, with values of our own to fall back on.
export const css = `
.nr {
  --nr-ink: var(--ink, #17202a); --nr-muted: var(--muted, #56626d); --nr-line: var(--line, #d8dddc);
  --nr-band: #1d4f7c;
  container-type: inline-size; color: var(--nr-ink); background: var(--surface, #fff); border: 1px solid var(--nr-line);
  border-radius: 8px; overflow: hidden; font: 14px/1.45 system-ui, sans-serif; font-variant-numeric: tabular-nums;
}
@media (prefers-color-scheme: dark) {
  .nr { --nr-ink: var(--ink, #e6eaed); --nr-muted: var(--muted, #9ba8b3); --nr-line: var(--line, #2d3740);
    background: var(--surface, #171e24); }
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
.nr-table thead th:not(:first-child) { width: 78px; }
.nr-note { margin: 12px 16px 16px; color: var(--nr-muted); font-size: 12.5px; }
`;
