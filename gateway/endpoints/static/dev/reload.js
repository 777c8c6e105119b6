// Reloads this page when a build of the developed plugin is finished, if the page shows the plugin. A corner of the
// page says what was built, and why a file failed. The gateway puts all modules into one script, with SERVED and STYLE.
import { watchFailures } from "./failures.js";
import { hasOther, shows, watchFiles } from "./files.js";
import { Overlay } from "./overlay.js";
import { keepScroll, restoreScroll } from "./scroll.js";
import { follow } from "./stream.js";

const QUIET_MS = 150; // quick builds, one after another, lead to one reload
const MARK = Symbol.for("gateway dev");

// `served`: the gateway's run and the number of the build that it had when it served this script.
function start({ src, dataset }, served) {
  const state = {
    served,
    user: dataset.user, // whose page it is, if it says so
    plugin: null, build: null, refused: null, // as the gateway tells
    isLost: false, isOld: false, scripts: new Set(), failures: new Map(), // as the page sees
  };
  const base = new URL(".", src);
  const overlay = new Overlay(state);
  let considered = null;
  let timer = 0;

  // Whatever happened, the question is the same: does the page show this build? So nothing that it missed matters.
  function consider() {
    const { plugin, build } = state;
    if (build && build !== considered && hasOther(state)) reloadFor(build);
    overlay.update(plugin ? shows(state) : state.isLost);
  }

  function reloadFor(build) {
    considered = build;
    // The gateway had this build already when the page began to load: another reload would bring no other.
    state.isOld = served.run === build.run && served.number >= build.number;
    clearTimeout(timer);
    if (state.isOld) return;
    timer = setTimeout(() => {
      keepScroll();
      location.reload();
    }, QUIET_MS);
  }

  restoreScroll();
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
  start(script, SERVED);
}
