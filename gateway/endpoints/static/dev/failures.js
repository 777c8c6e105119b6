// Why files of the plugin failed, in the gateway's words: a browser says only that they did.
import { fileOf } from "./files.js";

// Keeps `state.failures`, sentences by URL, and calls `changed`. Returns a function that is told of a failed URL.
export function watchFailures(base, state, changed) {
  const asked = new Set();

  async function failed(url) {
    if (asked.has(url) || !fileOf(url)) return;
    asked.add(url);
    say(url, await explanation(base, url));
  }

  function say(url, sentence) {
    state.failures.set(url, sentence);
    changed();
  }

  // Events of elements do not bubble, but they can be captured.
  document.addEventListener("error", ({ target }) => failed(target.src ?? target.href), true);
  document.addEventListener("load", ({ target: { localName, type, src } }) => {
    if (localName === "script" && type !== "module" && fileOf(src)) changed(state.scripts.add(src));
  }, true);
  addEventListener("unhandledrejection", ({ reason }) => failed(urlIn(reason)));
  addEventListener("securitypolicyviolation", ({ blockedURI: url, effectiveDirective: directive }) => {
    if (!fileOf(url) && !url.startsWith(base)) return;
    asked.add(url);
    say(url, `This page's own Content-Security-Policy forbids it: ${directive}.`);
  });
  return failed;
}

// Of webpack's ChunkLoadError, or of what browsers say of an import().
function urlIn(reason) {
  if (reason?.name === "ChunkLoadError") return reason.request;
  return /dynamically imported module: (\S+)/.exec(reason?.message)?.[1];
}

async function explanation(base, url) {
  const question = new URL("explain", base);
  question.searchParams.set("url", url);
  try {
    const { sentence, detail } = await (await fetch(question)).json();
    return sentence ?? detail;
  } catch {
    return "The gateway does not answer.";
  }
}
