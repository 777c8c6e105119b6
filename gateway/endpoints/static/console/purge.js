// Forgets what is cached, after a dialog that says in words what that will do.
import { byId, setText } from "./dom.js";
import { post, Refused } from "./gateway.js";

const form = byId("purge-form");
const dialog = byId("purge-dialog");
const status = byId("purge-status");

form.addEventListener("submit", (event) => {
  event.preventDefault();
  setText(status, "");
  setText(byId("purge-words"), wordsFor(chosen()));
  dialog.returnValue = "cancel";
  dialog.showModal();
});

dialog.addEventListener("close", async () => {
  if (dialog.returnValue !== "confirm") return;
  try {
    await post("cache/purge", chosen());
    setText(status, "Done: all workers were told.");
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    setText(status, error.message);
  }
});

// What the form names, without what is empty.
function chosen() {
  const named = ["user", "plugin", "version"].map((name) => [name, form.elements[name].value.trim()]);
  return { ...Object.fromEntries(named.filter(([, value]) => value)), hard: form.elements.hard.checked };
}

function wordsFor({ user, plugin, version, hard }) {
  const answers = user || !plugin; // a plugin alone is about files: nothing of them is kept for outages
  return [whatIsForgotten({ user, plugin, version, hard }), answers && outage(hard)].filter(Boolean).join(" ");
}

function whatIsForgotten({ user, plugin, version, hard }) {
  const files = version ? `the files of ${plugin} ${version}` : `the files of ${plugin}, all versions,`;
  if (user && version) return `Forget everything cached about user ${user}, and ${files}, in all workers. The next request asks the database and reads the disk.`;
  if (user) return `Forget everything cached about user ${user} in all workers. Their next request asks the database.`;
  if (plugin) return `Forget ${files} in all workers. The next request reads them from the disk.`;
  if (hard) return "Forget everything cached, about all users and all files, in all workers. The next requests ask the database and read the disk, so expect much more load for a while.";
  return "Forget what is cached about all users, in all workers. Each user’s next request asks the database, so expect more load for a while.";
}

function outage(hard) {
  return hard
    ? "The old answers are dropped too: if the database or the disk fails just then, these users get errors."
    : "If the database or the disk fails just then, the old answers are still used.";
}
