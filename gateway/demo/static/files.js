// The table "Files" of a plugin: what the browser loaded, and what the gateway answers to two requests for each file.
import { DASH, breakable, formatBytes, formatDuration, h } from "./dom.js";
import { askTwice } from "./gateway.js";
import { term } from "./terms.js";
import { sourceOf, watchFiles } from "./timing.js";

let questions = Promise.resolve(); // one file at a time, so that these requests do not delay each other

export function filesTable(address) {
  const rows = h("tbody");
  watchFiles(address, (entry) => {
    const row = fileRow(address, entry);
    rows.append(row.element);
    questions = questions.then(() => askTwice(entry.name)).then(row.showAnswers, row.showFailure);
  });
  return h("table", { class: "files" }, header(), rows);
}

function header() {
  return h("thead", {},
    h("tr", {},
      h("th", { scope: "col" }, "File, as the page loaded it"),
      h("th", { scope: "col" }, "Asked by fetch, without a cache"),
      h("th", { scope: "col" }, "Asked again with that ", term("etag", "ETag")),
    ),
  );
}

function fileRow(address, entry) {
  const first = h("td", {}, pending());
  const again = h("td", {}, pending());
  const name = h("code", {}, breakable(shorten(address, entry.name)));
  return {
    element: h("tr", {}, h("th", { scope: "row", title: entry.name }, name, loading(entry)), first, again),
    showAnswers(answers) {
      first.replaceChildren(statusLine(answers.first), headerList(answers.first));
      again.replaceChildren(answers.again ? statusLine(answers.again) : h("span", { class: "muted" }, "no ETag to send"));
    },
    showFailure(error) {
      first.replaceChildren(h("span", { class: "bad" }, `No answer: ${error.message}`));
      again.replaceChildren(DASH);
    },
  };
}

// The path inside the version. The pin before it is the same for all files and is shown above the table.
function shorten(address, url) {
  return url.slice(address.length).replace(/^@[^/]+\//, "");
}

function loading(entry) {
  const { decodedBodySize: size, encodedBodySize: encoded, responseStatus, duration } = entry;
  const source = sourceOf(entry);
  const sizes = [size > 0 && formatBytes(size), encoded > 0 && encoded < size && `${formatBytes(encoded)} encoded`];
  const way = [responseStatus >= 400 && `status ${responseStatus}`, formatDuration(duration), source && `from ${source}`];
  return [sizes, way].map((facts) => h("small", {}, facts.filter(Boolean).join(", ")));
}

function statusLine({ status, ms, bodyBytes }) {
  return h("p", { class: "answer" },
    h("b", { class: status < 400 ? "good" : "bad" }, status),
    h("span", {}, ` ${formatBytes(bodyBytes)} in ${formatDuration(ms)}`),
  );
}

function headerList({ cacheControl, etag, cacheStatus }) {
  const line = (name, value) => h("div", {}, h("dt", {}, name), h("dd", { title: value }, value ?? DASH));
  return h("dl", {}, line("Cache-Control", cacheControl), line("ETag", etag), line("Cache-Status", cacheStatus));
}

function pending() {
  return h("span", { class: "muted" }, "asking…");
}
