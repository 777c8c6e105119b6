// Builds elements. Text is always set as text: nothing here parses HTML.

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

// A path or URL that may break after a slash and before a query.
export function breakable(path) {
  const parts = path.split(/(?<=\/)(?=.)|(?=\?)/);
  return parts.flatMap((part, index) => (index ? [document.createElement("wbr"), part] : [part]));
}

export const DASH = "–";

// A number and its unit stay on one line.
const quantity = (number, unit) => `${number}\u00a0${unit}`;

export function formatBytes(count) {
  if (count < 1000) return quantity(count, "B");
  if (count < 1e6) return quantity((count / 1000).toFixed(1), "kB");
  return quantity((count / 1e6).toFixed(1), "MB");
}

export function formatDuration(ms) {
  return quantity(ms < 100 ? ms.toFixed(1) : Math.round(ms), "ms");
}
