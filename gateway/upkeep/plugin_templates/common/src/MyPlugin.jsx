import React, { lazy, Suspense, useState } from "react"; // the page's React: none is bundled
import logo from "./logo.svg";
import "./style.css";

const Details = lazy(() => import("./Details.jsx")); // a chunk of its own, loaded when it is shown

// The properties are the config_fields of this module in plugin.json.
export default function MyPlugin({ greeting }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <section className="MyPlugin">
      <img src={logo} alt="" width="48" height="48" />
      <p>{greeting} from MyPlugin</p>
      <button onClick={() => setOpen(!isOpen)}>{isOpen ? "Less" : "More"}</button>
      <Suspense fallback={<p>Loading …</p>}>{isOpen && <Details />}</Suspense>
    </section>
  );
}
