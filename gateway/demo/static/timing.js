// What the browser loaded, by its Resource Timing.

// Calls `onEntry` for every file below `address` that the page loaded or will load. Requests made by scripts
// are left out: this page sends them itself, to show the answers.
export function watchFiles(address, onEntry) {
  const seen = new Set();
  const observer = new PerformanceObserver((list) => list.getEntries().forEach(consider));
  observer.observe({ type: "resource", buffered: true });

  function consider(entry) {
    if (!isFile(entry, address) || seen.has(entry.name)) return;
    seen.add(entry.name);
    onEntry(entry);
  }
}

// The URLs of the files below `address` that the page has loaded so far.
export function loadedFiles(address) {
  const files = performance.getEntriesByType("resource").filter((entry) => isFile(entry, address));
  return [...new Set(files.map(({ name }) => name))];
}

function isFile({ name, initiatorType }, address) {
  return name.startsWith(address) && initiatorType !== "fetch";
}

// Where the bytes came from; null if the browser does not say. transferSize is 0 for an answer from the cache, exactly
// 300 for a validated one (304; Chromium then gives no size), and 300 + the body otherwise.
export function sourceOf({ transferSize, decodedBodySize, responseStatus }) {
  if (responseStatus >= 400) return "network";
  if (transferSize === 300) return "cache, after a 304";
  if (transferSize > 0) return "network";
  return decodedBodySize > 0 ? "cache" : null;
}
