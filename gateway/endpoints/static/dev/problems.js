// What is wrong just now, each in a sentence.
import { fileOf, isOf } from "./files.js";

export function problemsOf({ plugin, build, refused, isLost, isOld, scripts, failures }) {
  const shown = build ? `build ${build.number}` : "what it has";
  const problems = [];
  if (isLost) problems.push("No connection to the gateway. The page is reloaded when it is back, if it missed a build.");
  if (refused) problems.push(`Build ${refused.number} was refused, so the page keeps ${shown}: ${refused.problem}`);
  if (isOld) problems.push(`The page asks for an older build than ${build.number} although it could have this one: its host may keep an old manifest.`);
  if (plugin && !(plugin.scope in window) && [...scripts].some((url) => isOf(plugin, fileOf(url)))) {
    problems.push(`The script ran and left no window.${plugin.scope}: the scope and the container's name must be the same.`);
  }
  return [...problems, ...[...failures].map(([url, sentence]) => `${nameOf(url)}: ${sentence}`)];
}

// From the version's folder on.
function nameOf(url) {
  return fileOf(url)?.path ?? new URL(url).pathname;
}
