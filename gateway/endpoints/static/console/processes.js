// Workers, the sources of answers and of changes, and the caches.
import { byId, setText } from "./dom.js";
import { DASH, ago, age, bytes, count, duration, plural, rate, share } from "./format.js";
import { ask, Refused } from "./gateway.js";
import { Table } from "./table.js";

const SOURCES = { database: "Database", users: "Users’ files", shared: "Published files" };
const CHANGE_SOURCES = {
  workers: "Other workers",
  this_worker: "This worker",
  sqlite: "SQLite file",
  postgres: "PostgreSQL",
  users_folder: "Users’ files",
  pinned_trees: "Pinned trees",
};

const MOST_VERSIONS = 12;
const LONG_S = 1;

let now = 0;

const workers = new Table(byId("workers"), [
  { label: "Process", text: ({ pid }) => String(pid), note: ({ answers }) => (answers ? "sends this page its numbers" : "") },
  { label: "State", text: ({ state }) => state, state: ({ state }) => state },
  { label: "Up for", kind: "number", text: ({ started_at: startedAt }) => (startedAt ? age(now - startedAt) : DASH) },
  { label: "Requests/s", kind: "number", text: (worker) => rate(worker.requests_per_s) },
  { label: "Connections", kind: "number", text: (worker) => count(worker.connections) },
  { label: "Memory", kind: "number", text: (worker) => bytes(worker.memory_bytes) },
  { label: "Cores", kind: "number", text: (worker) => rate(worker.cpu_cores) },
  { label: "Loop delay", kind: "number", text: (worker) => duration(worker.loop_delay_s) },
], { keyOf: ({ pid }) => pid, none: "No worker has reported yet." });

const sources = new Table(byId("sources"), [
  { label: "Source", text: ({ name }) => SOURCES[name] ?? name, note: whatHinders },
  { label: "State", text: ({ state }) => state, state: ({ state }) => state },
  { label: "Loads", kind: "number", text: (source) => count(source.loads) },
  { label: "Errors", kind: "number", text: (source) => count(source.errors) },
  { label: "p99", kind: "number", text: (source) => duration(source.p99_s) },
  { label: "Last success", kind: "number", text: (source) => ago(source.last_success_at, now) },
], { keyOf: ({ name }) => name, none: "No source has been asked yet." });

const changeSources = new Table(byId("change-sources"), [
  { label: "Source", text: ({ name }) => CHANGE_SOURCES[name] ?? name, note: lastError },
  {
    label: "Runs in",
    text: ({ running, workers: all }) => `${running} of ${plural(all, "worker")}`,
    state: ({ running, workers: all }) => (running < all ? "failing" : "good"),
  },
  { label: "Changes heard", kind: "number", text: ({ heard }) => count(heard) },
  { label: "Delay", kind: "number", text: (source) => duration(source.delay_s) },
], { keyOf: ({ name }) => name, none: "Nothing tells of changes: answers are asked for again when their TTL ends." });

const caches = new Table(byId("caches"), [
  { label: "Cache", text: ({ name }) => name },
  { label: "Entries", kind: "number", text: (cache) => count(cache.entries) },
  { label: "Hit ratio", kind: "number", text: (cache) => share(hitRatio(cache)) },
  { label: "Misses", kind: "number", text: (cache) => count(cache.misses) },
  { label: "Failed loads", kind: "number", text: (cache) => count(cache.load_errors) },
  { label: "Size", kind: "number", text: (cache) => bytes(cache.bytes) },
], { keyOf: ({ name }) => name, none: "No cache holds anything yet." });

const versions = new Table(byId("versions"), [
  { label: "Plugin", text: ({ slug }) => slug },
  { label: "Version", kind: "code", text: ({ version }) => version },
  { label: "Build", kind: "code", text: ({ build }) => build ?? DASH },
  { label: "Files", kind: "number", text: ({ files }) => count(files) },
  { label: "Size", kind: "number", text: (version) => bytes(version.bytes) },
  { label: "Uses", kind: "number", text: ({ uses }) => count(uses) },
], { keyOf: ({ slug, version }) => `${slug}/${version}`, none: "No version has been asked for yet." });

export function showProcesses(state) {
  now = state.time;
  workers.show(state.workers ?? []);
  sources.show(state.sources ?? []);
  changeSources.show(state.change_sources ?? []);
  caches.show(Object.entries(state.caches ?? {}).map(([name, cache]) => ({ name, ...cache })));
}

// Those that were asked for most. One worker is asked, now and then.
export async function showVersions() {
  const hint = byId("versions-hint");
  try {
    const cache = await ask("cache");
    const most = cache.versions.toSorted((a, b) => b.uses - a.uses).slice(0, MOST_VERSIONS);
    versions.show(most);
    const others = cache.versions.length - most.length;
    setText(hint, `As process ${cache.worker} sees it${others ? `; ${count(others)} more are used less` : ""}.`);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    setText(hint, error.message);
  }
}

function whatHinders(source) {
  const { pending_s: pending } = source;
  const isLong = pending !== null && pending !== undefined && pending >= LONG_S;
  return [isLong && `a load has been waiting for ${age(pending)}`, lastError(source)].filter(Boolean).join("; ");
}

function lastError({ last_error: sentence, last_error_at: moment }) {
  return sentence ? `${sentence}${moment ? `, ${ago(moment, now)}` : ""}` : "";
}

function hitRatio({ hits = 0, negative_hits: negative = 0, stale_hits: stale = 0, misses = 0 }) {
  const found = hits + negative + stale;
  return found + misses ? found / (found + misses) : null;
}
