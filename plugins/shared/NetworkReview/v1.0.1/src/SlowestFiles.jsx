import React from "react";
import { bytes, duration } from "./format.js";

export default function SlowestFiles({ files, rows }) {
  const slowest = [...files].sort((a, b) => b.took - a.took).slice(0, rows);
  return (
    <table className="nr-table">
      <caption>Slowest files</caption>
      <thead>
        <tr>
          <th scope="col">File</th>
          <th scope="col">From</th>
          <th scope="col">Size</th>
          <th scope="col">Time</th>
        </tr>
      </thead>
      <tbody>
        {slowest.map((file) => (
          <tr key={file.key}>
            <th scope="row" title={file.url}>{file.name}</th>
            <td>{file.source}</td>
            <td>{file.size ? bytes(file.size) : "–"}</td>
            <td>{duration(file.took)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
