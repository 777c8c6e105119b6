// The audit log: who changed what.
import { byId, setText } from "./dom.js";
import { DASH, dateAndTime, plural } from "./format.js";
import { ask, query, Refused } from "./gateway.js";
import { Table } from "./table.js";

const LIMIT = 100;

const form = byId("changes-form");
const status = byId("changes-status");
const table = new Table(byId("changes-table"), [
  { label: "When", text: ({ time }) => dateAndTime(time) },
  { label: "Who", text: ({ by, via }) => (via === "http" ? by : `${by} (${via})`) },
  { label: "Did", text: ({ action }) => action },
  { label: "Plugin", text: ({ plugin }) => plugin ?? DASH },
  { label: "Of user", kind: "code", text: ({ user }) => user ?? DASH },
  { label: "Version", kind: "code", text: versionsOf },
  { label: "Result", text: ({ result }) => result, state: ({ result }) => (result === "done" ? "good" : "failing") },
], { keyOf: ({ place }) => place, none: "No change is recorded for this." });

form.addEventListener("submit", (event) => {
  event.preventDefault();
  showChanges();
});

export async function showChanges() {
  const { user, plugin, since } = form.elements;
  try {
    const { records, has_more: hasMore } = await ask(
      `audit${query({ user: user.value.trim(), plugin: plugin.value.trim(), since: since.value, limit: LIMIT })}`,
    );
    table.show(records.map((record, place) => ({ ...record, place })));
    setText(status, wordsOf(records.length, hasMore));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    setText(status, error.message);
  }
}

function wordsOf(number, hasMore) {
  if (hasMore) return `The newest ${LIMIT}; gateway audit prints all.`;
  return number ? `${plural(number, "record")}, the newest first.` : "";
}

function versionsOf({ from, to }) {
  if (from && to && from !== to) return `${from} → ${to}`;
  return to ?? from ?? DASH;
}
