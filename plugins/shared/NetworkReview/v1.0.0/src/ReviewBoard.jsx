import React, { lazy, Suspense } from "react";
import icon from "../assets/icon.svg";
import { version } from "./version.js";
import { bytes, duration } from "./format.js";
import { css } from "./style.js";
import { useReview } from "./useReview.js";

const SlowestFiles = lazy(() => import(/* webpackChunkName: "SlowestFiles" */ "./SlowestFiles.jsx"));

export default function ReviewBoard({ rows = 6 }) {
  const review = useReview();
  return (
    <section className="nr" data-plugin-version={version} aria-label={`Network Review ${version}`}>
      <style>{css}</style>
      <header className="nr-head">
        <img src={icon} alt="" width="24" height="24" />
        <h3>Network Review</h3>
        <strong>{version}</strong>
      </header>
      <Totals review={review} />
      <Suspense fallback={<p className="nr-note">Loading the table…</p>}>
        <SlowestFiles files={review.files} rows={rows} />
      </Suspense>
      <p className="nr-note">
        From the browser’s Resource Timing. Not counted: {review.dataRequests} requests that scripts made for data.
      </p>
    </section>
  );
}

function Totals({ review }) {
  return (
    <dl className="nr-totals">
      <Total name="Files" value={review.files.length} />
      <Total name="Over the network" value={bytes(review.bytes)} />
      <Total name="From the cache" value={`${review.cached} of ${review.files.length}`} />
      <Total name="Last file after" value={duration(review.finished)} />
    </dl>
  );
}

function Total({ name, value }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}
