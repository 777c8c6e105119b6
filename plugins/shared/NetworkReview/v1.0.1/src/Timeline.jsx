import React from "react";
import { duration } from "./format.js";

// One lane per file, in the order of the requests: waiting for the first byte, then receiving the rest.
export default function Timeline({ files }) {
  const inOrder = [...files].sort((a, b) => a.start - b.start);
  const total = Math.max(...files.map((file) => file.end)) || 1;
  const place = (from, to) => ({ left: `${(100 * from) / total}%`, width: `${(100 * (to - from)) / total}%` });
  return (
    <div className="nr-timeline">
      <h4>Timeline</h4>
      <ol>
        {inOrder.map((file) => (
          <li key={file.key} title={file.url}>
            <span>{file.name}</span>
            <span className="nr-lane" role="img" aria-label={`from ${duration(file.start)} to ${duration(file.end)}`}>
              <i className="nr-wait" style={place(file.start, file.firstByte)} />
              <i className="nr-body" style={place(file.firstByte, file.end)} />
            </span>
          </li>
        ))}
      </ol>
      <p className="nr-key">
        <span>waiting</span>
        <span>receiving</span>
        <b>0 to {duration(total)}</b>
      </p>
    </div>
  );
}
