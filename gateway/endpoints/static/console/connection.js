// Whether the numbers on the page are live, and since when they are not.
import { byId, setAttributes, setText } from "./dom.js";
import { timeOfDay } from "./format.js";
import { showNoNews } from "./state.js";

// A worker that is replaced takes its streams along. That is no reason to doubt what the page says.
const PATIENCE_MS = 4_000;

let lostAt = null;
let doubt = null;

export function showConnection(isLive) {
  if (isLive === (lostAt === null) && byId("stream").dataset.state !== "waiting") return;
  clearTimeout(doubt);
  lostAt = isLive ? null : Date.now() / 1000;
  if (!isLive) doubt = setTimeout(() => showNoNews(timeOfDay(lostAt)), PATIENCE_MS);
  const stream = byId("stream");
  setAttributes(stream, { "data-state": isLive ? "live" : "lost" });
  setText(stream, isLive ? "Live" : `No news since ${timeOfDay(lostAt)}; trying again`);
}
