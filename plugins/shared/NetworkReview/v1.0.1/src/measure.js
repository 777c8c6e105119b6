// What the browser's Resource Timing knows about the files of this page.

// Requests that scripts make are data, not files of the page, and are counted apart.
const MADE_BY_SCRIPTS = new Set(["fetch", "xmlhttprequest", "beacon"]);

// transferSize is 0 for an answer from the cache, exactly 300 for a validated one (304), else 300 + the body.
const VALIDATED = 300;

export function readReview() {
  const entries = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
  const files = entries.filter((entry) => !MADE_BY_SCRIPTS.has(entry.initiatorType)).map(describe);
  return {
    files,
    dataRequests: entries.length - files.length,
    bytes: files.reduce((sum, file) => sum + file.wire, 0),
    cached: files.filter((file) => file.source === "cache").length,
    finished: Math.max(0, ...files.map((file) => file.end)),
  };
}

function describe(entry) {
  return {
    key: `${entry.name} ${entry.startTime}`,
    url: entry.name,
    name: shortName(entry),
    start: entry.startTime,
    firstByte: entry.responseStart || entry.responseEnd, // 0 where the browser does not tell
    end: entry.responseEnd,
    took: entry.responseEnd - entry.startTime,
    wire: entry.transferSize,
    size: entry.decodedBodySize,
    source: sourceOf(entry),
  };
}

function shortName(entry) {
  if (entry.entryType === "navigation") return "the page itself";
  return new URL(entry.name).pathname.split("/").pop() || entry.name;
}

function sourceOf({ transferSize, decodedBodySize, responseStatus }) {
  if (responseStatus >= 400) return "failed";
  if (transferSize === VALIDATED) return "validated";
  if (transferSize > 0) return "network";
  return decodedBodySize > 0 ? "cache" : "unknown"; // other origins tell nothing
}
