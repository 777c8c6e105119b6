import React, { lazy, Suspense, useState } from "react";
import icon from "../assets/icon.svg";
import { css } from "./style.js";
import { milliseconds, summarise } from "./summary.js";
import { useLatency } from "./useLatency.js";
import { version } from "./version.js";

const Sparkline = lazy(() => import(/* webpackChunkName: "Sparkline" */ "./Sparkline.jsx"));

export default function LatencyWatch({ endpoint = "/-/live", interval_ms: intervalMs = 1000 }) {
  const [paused, setPaused] = useState(false);
  const samples = useLatency(endpoint, intervalMs, paused);
  const summary = summarise(samples);
  return (
    <section className="ne" data-plugin-version={version} aria-label={`Network Eyes ${version}`}>
      <style>{css}</style>
      <header className="ne-head">
        <img src={icon} alt="" width="24" height="24" />
        <h3>Network Eyes</h3>
        <strong>{version}</strong>
      </header>
      <Numbers samples={samples} summary={summary} />
      <div className="ne-chart">
        <Suspense fallback={null}>
          <Sparkline samples={samples} summary={summary} />
        </Suspense>
      </div>
      <footer className="ne-foot">
        <span>
          <code>{endpoint}</code>, last {samples.length} {samples.length === 1 ? "request" : "requests"}
        </span>
        <button type="button" onClick={() => setPaused(!paused)}>{paused ? "Resume" : "Pause"}</button>
      </footer>
      <Trouble samples={samples} />
    </section>
  );
}

function Numbers({ samples, summary }) {
  const latest = samples.at(-1)?.ms ?? null;
  return (
    <dl className="ne-numbers">
      <Number name="Now" ms={latest} />
      <Number name="Median (p50)" ms={summary?.p50 ?? null} />
      <Number name="p95" ms={summary?.p95 ?? null} dashed />
    </dl>
  );
}

function Number({ name, ms, dashed }) {
  return (
    <div>
      <dt className={dashed ? "ne-dashed" : undefined}>{name}</dt>
      <dd>{ms === null ? "–" : milliseconds(ms)}</dd>
    </div>
  );
}

function Trouble({ samples }) {
  const failed = samples.filter(({ ms }) => ms === null);
  const last = failed.at(-1);
  return (
    <p className="ne-trouble" role="status">
      {last && `${failed.length} of the last ${samples.length} requests failed, most recently: ${last.failure}.`}
    </p>
  );
}
