// The first thing that somebody who was just woken up reads: healthy or not, why, and which part it is.
import { byId, h, KeyedChildren, setAttributes, setText } from "./dom.js";
import { age, plural } from "./format.js";

const WORDS = { ready: "Healthy", degraded: "Degraded", draining: "Ending", unavailable: "Unavailable" };
const SENTENCES = {
  ready: "Requests are answered as they should be.",
  degraded: "Users who were here lately are served as before, others get errors.",
  draining: "This node is about to end. It still answers, and takes no new connections.",
  unavailable: "Users get errors.",
};
const PARTS = { database: "Database", disk: "Disk", gateway: "Gateway" };
const CHANGES = { off: "changes over HTTP are off", admins: "administrators may change plugins over HTTP", users: "users may change their plugins over HTTP" };

const parts = new KeyedChildren(byId("parts"), {
  keyOf: ({ part }) => part,
  make: ({ part }) => h("li", {}, h("h2", {}, PARTS[part] ?? part), h("b"), h("p")),
  update(item, { state, sentence }) {
    setAttributes(item, { "data-state": state });
    setText(item.querySelector("b"), state);
    setText(item.querySelector("p"), sentence);
  },
});

export function showState(state) {
  showVerdict(state.status, WORDS[state.status] ?? state.status, sentenceOf(state));
  setText(byId("facts"), factsOf(state).join(" · "));
  parts.show(state.verdicts);
}

// Nothing on the page is known to be true any more.
export function showNoNews(since) {
  showVerdict("unknown", "No news", `The gateway cannot be reached, or this page may no longer ask it. All numbers are from ${since}.`);
}

function showVerdict(status, word, sentence) {
  const verdict = byId("verdict");
  setAttributes(verdict, { "data-state": status });
  setText(verdict.querySelector("b"), word);
  setText(verdict.querySelector("span"), sentence);
  document.title = `${word} · Gateway console`;
}

function sentenceOf({ status, reasons }) {
  const because = reasons.map((reason) => `${capitalized(reason).replace(/\.+$/, "")}.`);
  return [...because, SENTENCES[status]].filter(Boolean).join(" ");
}

function factsOf({ version, started_at: startedAt, time, workers, changes }) {
  return [
    version && `version ${version}`,
    startedAt && `up for ${age(time - startedAt)}`,
    workers && plural(workers.length, "worker"),
    CHANGES[changes],
  ].filter(Boolean);
}

function capitalized(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
