// "What happened underneath": five boxes that light up in the order in which the gateway decides, with its own values.
import { DASH, breakable, formatBytes, formatDuration, h } from "./dom.js";
import { readCacheStatus, readServerTiming } from "./cache_status.js";
import { term } from "./terms.js";

const IS_STILL = matchMedia("(prefers-reduced-motion: reduce)").matches;
const STEP_MS = IS_STILL ? 0 : 420;
const HAS_ROOM = matchMedia("(min-width: 1001px)"); // to show the drawing and the button that was pressed

export function flowView() {
  const title = h("p", { class: "said" });
  const steps = h("ol", { class: "steps" });
  const view = h("section", { class: "flow", id: "flow", "aria-labelledby": "flow-title", "data-testid": "flow" },
    h("h2", { id: "flow-title" }, "What happens underneath"), title, steps);
  let turn = 0;

  // Draws what was observed. A drawing that is not finished gives way to the next one.
  view.show = async (observed) => {
    const mine = (turn += 1);
    const boxes = boxesOf(observed);
    view.dataset.state = "drawing";
    title.replaceChildren(...saidOf(observed));
    steps.replaceChildren(...boxes);
    if (observed.change && HAS_ROOM.matches) view.scrollIntoView({ block: "nearest", behavior: IS_STILL ? "instant" : "smooth" });
    for (const box of boxes) {
      if (STEP_MS) await new Promise((resolve) => setTimeout(resolve, STEP_MS));
      if (mine !== turn) return;
      box.classList.add("lit");
    }
    view.dataset.state = "drawn";
  };
  return view;
}

function saidOf({ user, change, asked }) {
  const twice = ["Then ", user.name, " asked twice for the ", term("entry"), ", ",
    h("code", {}, breakable(asked.path)), ". Each box says what its ", term("cache"), " did."];
  if (!change) return twice.slice(1);
  return [h("code", {}, breakable(change.request)), ": ", h("b", {}, change.status), ` in ${formatDuration(change.ms)}. `, ...twice];
}

function boxesOf({ user, slug, change, before, after, asked }) {
  const [was, is] = [before, after].map((facts) => facts.users[user.key]);
  const caches = [asked.first, asked.again].map(({ cacheStatus }) => readCacheStatus(cacheStatus));
  const identified = [asked.first, asked.again].map(({ serverTiming }) => readServerTiming(serverTiming).identify);
  const [row, path] = [(of) => rowText(of.rows[slug]), (of) => pathText(of.rows[slug])];
  return [
    box("who", "Who asks?", [`${user.name}’s `, term("token"), ", checked"],
      values(null, `${user.id.slice(0, 8)}…`), twoLines(identified.map((ms) => `in ${durationOr(ms)}`))),
    box("json", "Installed?", [term("json", "JSON file"), ` of ${user.name}`],
      values(entryText(slug, was.entries[slug]), entryText(slug, is.entries[slug])), cacheLines(caches, "installations")),
    box("row", "Which version?", [term("row", "row"), " of table ", h("code", {}, "plugin")],
      values(row(was), row(is)), cacheLines(caches, "versions")),
    box("path", "Which file?", [term("constructed"), " from ", term("slug"), " and version"],
      values(path(was), path(is)), publishedLines(change)),
    box("bytes", "Bytes", ["from the ", term("shared", "shared folder"), ", with an ", term("etag", "ETag")],
      values(null, asked.first.etag ?? asked.first.code ?? DASH),
      twoLines([asked.first, asked.again].map((answer, index) => `${caches[index].assets ?? "not asked"}: ${answerText(answer)}`))),
  ];
}

function box(name, title, about, ...content) {
  return h("li", { "data-step": name }, h("h3", {}, title), h("p", { class: "muted" }, about), content.flat());
}

// The value after the change; struck out before it, what it was.
function values(was, is) {
  const changed = was !== null && was !== is;
  return h("p", { class: "value" }, changed ? h("del", {}, breakable(was)) : null, changed ? " " : null,
    changed ? h("ins", {}, breakable(is)) : breakable(is));
}

function entryText(slug, entry) {
  if (!entry) return `no "${slug}"`;
  const before = entry.installation_metadata.previous_versions;
  return `"${slug}": {…${before ? ` "previous_versions": ${JSON.stringify(before)}` : ""}}`;
}

function rowText(row) {
  return row ? `version: ${row.version}` : "no row";
}

function pathText(row) {
  return row ? `${row.folder}/${row.entry}` : "none";
}

function publishedLines(change) {
  const { build, files, version } = change?.content ?? {};
  if (!build) return [h("p", { class: "asked" }, "no cache, no lookup")];
  return [h("p", { class: "asked new" }, `new: v${version}, ${files} files, `, term("build"), ` ${build}`)];
}

function cacheLines(caches, name) {
  return twoLines(caches.map((cache) => cache[name] ?? "not asked"));
}

const durationOr = (ms) => (Number.isFinite(ms) ? formatDuration(ms) : DASH);

function answerText({ status, bodyBytes, code, serverTiming }) {
  return `${status}, ${code ?? formatBytes(bodyBytes)}, ${durationOr(readServerTiming(serverTiming).total)}`;
}

function twoLines(answers) {
  return answers.map((answer, index) => {
    const kind = /^hit/.test(answer) ? "hit" : /^(miss|stale)/.test(answer) ? "miss" : "plain";
    return h("p", { class: `asked ${kind}`, "data-request": index + 1 }, h("span", {}, ["1st", "2nd"][index]), ` ${answer}`);
  });
}
