// The first thing that somebody who was just woken up reads: healthy or not, why, and which part it is.
import { byId, h, KeyedChildren, setAttributes, setText } from "./dom.js";
import { age, plural } from "./format.js";

const WORDS = { ready: "Healthy", strained: "Strained", degraded: "Degraded", draining: "Ending", unavailable: "Unavailable" };
const ENDS = {
  ready: "Requests are answered as they should be.",
  strained: "Requests are answered.",
  draining: "This node still answers, and takes no new connections.",
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
  const status = statusOf(state);
  showVerdict(status, WORDS[status] ?? status, sentenceOf(status, state));
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

// A gateway that answers, and has a part that does not do well, is not healthy.
function statusOf({ status, verdicts }) {
  return status === "ready" && verdicts.some(({ state }) => state !== "good") ? "strained" : status;
}

function sentenceOf(status, { reasons, verdicts }) {
  const because = status === "strained" ? verdicts.filter(({ state }) => state !== "good").map(({ sentence }) => sentence) : reasons;
  return [...because.map(asSentence), endOf(status, verdicts)].filter(Boolean).join(" ");
}

function endOf(status, verdicts) {
  const isWithoutDatabase = verdicts.some(({ part, state }) => part === "database" && state === "failing");
  if (status === "degraded" && isWithoutDatabase) return "Users who were here lately are served as before, others get errors.";
  return ENDS[status];
}

function factsOf({ version, started_at: startedAt, time, workers, changes }) {
  return [
    version && `version ${version}`,
    startedAt && `up for ${age(time - startedAt)}`,
    workers && plural(workers.length, "worker"),
    CHANGES[changes],
  ].filter(Boolean);
}

function asSentence(text) {
  return `${text.charAt(0).toUpperCase()}${text.slice(1).replace(/\.+$/, "")}.`;
}
