// Reloads this page when a build of the developed plugin is finished, if the page shows the plugin. A corner of the
// page says what was built, and why a file failed.
import { watchFailures } from "./failures.js";
import { hasOlder, shows, watchFiles } from "./files.js";
import { recall, remember } from "./memory.js";
import { Overlay } from "./overlay.js";
import { follow, now } from "./stream.js";

const QUIET_MS = 150; // quick builds, one after another, lead to one reload
const MARK = Symbol.for("gateway dev");

function start({ src, dataset }) {
  const state = {
    user: dataset.user, // whose page it is, if it says so
    plugin: null, build: null, refused: null, // as the gateway tells
    isLost: false, isOld: false, scripts: new Set(), failures: new Map(), // as the page sees
  };
  const base = new URL(".", src);
  const overlay = new Overlay(state);
  let ordered = null;
  let timer = 0;

  // Whatever happened, the question is the same: does the page show this build? So nothing that it missed matters.
  function consider() {
    const { plugin, build } = state;
    if (build && build.id !== ordered && hasOlder(state)) order(build.id);
    overlay.update(plugin ? shows(state) : state.isLost);
  }

  function order(id) {
    ordered = id;
    const last = recall("reloaded");
    // A host that keeps an old manifest loads the old build again: that page must not be reloaded for ever.
    state.isOld = last?.for === id && last.at <= performance.timeOrigin;
    if (state.isOld) return;
    clearTimeout(timer);
    timer = setTimeout(() => {
      remember("reloaded", { for: id, at: Math.floor(now()) });
      location.reload();
    }, QUIET_MS);
  }

  const failed = watchFailures(base, state, consider);
  watchFiles((refused) => {
    if (refused) failed(refused);
    consider();
  });
  follow(base, state, consider);
}

const script = document.currentScript ?? document.querySelector('script[src*="/-/dev/reload.js"]');
if (script && !window[MARK]) {
  window[MARK] = true; // the page may have the script twice
  start(script);
}
