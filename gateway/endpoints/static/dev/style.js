export const STYLE = `
:host { all: initial; position: fixed; right: 12px; bottom: 12px; z-index: 2147483647; color-scheme: light dark; }
section {
  --ink: #17202a; --paper: #fff; --line: #c3cacd; --muted: #56626d; --bad: #b3261e;
  box-sizing: border-box; position: relative; max-width: min(30rem, calc(100vw - 24px)); max-height: 50vh; overflow: auto;
  padding: 8px 36px 8px 12px; border: 1px solid var(--line); border-radius: 8px;
  color: var(--ink); background: var(--paper); box-shadow: 0 2px 10px #0003;
  font: 13px/1.45 system-ui, sans-serif; overflow-wrap: anywhere;
}
@media (prefers-color-scheme: dark) {
  section { --ink: #e6eaed; --paper: #171e24; --line: #46525c; --muted: #9ba8b3; --bad: #f2968b; }
}
p, ul { margin: 0; padding: 0; list-style: none; }
p { color: var(--muted); font-size: 12px; }
li { margin: 2px 0; color: var(--bad); }
button {
  position: absolute; top: 4px; right: 4px; width: 28px; height: 28px; padding: 0; border: 0; border-radius: 6px;
  color: inherit; background: none; font: 18px/1 system-ui, sans-serif; cursor: pointer;
}
button:hover { background: #8883; }
:focus-visible { outline: 2px solid currentColor; outline-offset: -2px; }
@media print { :host { display: none; } }
`;
