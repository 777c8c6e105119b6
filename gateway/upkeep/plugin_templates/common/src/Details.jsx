import React from "react";

export default function Details() {
  return <p>This text came in a chunk of its own.</p>;
}
