import { useEffect, useState } from "react";

export const KEPT = 60;
const GIVE_UP_MS = 5000;

// The last answers of `endpoint`, oldest first. Asks nothing while `paused` or while the page is hidden, and first
// after one interval, so that the loading of the page is not measured.
export function useLatency(endpoint, intervalMs, paused) {
  const [samples, setSamples] = useState([]);
  useEffect(() => {
    if (paused) return undefined;
    const stop = new AbortController();
    const ask = async () => {
      if (document.hidden) return;
      const sample = await measure(endpoint);
      if (!stop.signal.aborted) setSamples((old) => [...old, sample].slice(-KEPT));
    };
    repeat(ask, intervalMs, stop.signal);
    return () => stop.abort();
  }, [endpoint, intervalMs, paused]);
  return samples;
}

// `ms` is null if no good answer came; `failure` then says why.
async function measure(endpoint) {
  const start = performance.now();
  try {
    const response = await fetch(endpoint, { cache: "no-store", signal: AbortSignal.timeout(GIVE_UP_MS) });
    await response.arrayBuffer();
    const ms = performance.now() - start;
    return response.ok ? { start, ms } : { start, ms: null, failure: `status ${response.status}` };
  } catch (error) {
    return { start, ms: null, failure: error.name === "TimeoutError" ? "no answer in 5 s" : "no connection" };
  }
}

// One question at a time: the next waits for the answer, so a slow server is not asked faster than it answers.
async function repeat(ask, intervalMs, signal) {
  let due = performance.now();
  while (!signal.aborted) {
    due = Math.max(due + intervalMs, performance.now());
    await new Promise((resolve) => setTimeout(resolve, due - performance.now()));
    if (!signal.aborted) await ask();
  }
}
