// A page that is open keeps its version whatever is changed, and so it asks for its files once more after each change.
import { channel } from "./changes.js";
import { h } from "./dom.js";
import { ask } from "./gateway.js";
import { loadedFiles } from "./timing.js";

// The line in which the card of `user`'s plugin says so.
export function keptLine(user, plugin) {
  const line = h("p", { class: "kept", role: "status" });
  channel.addEventListener("message", async ({ data }) => {
    if (data.slug === plugin.slug) line.textContent = await sentence(user, plugin, data);
  });
  return line;
}

async function sentence(user, plugin, change) {
  const files = loadedFiles(plugin.address);
  const answers = await Promise.all(files.map((url) => ask(url)));
  const good = answers.filter(({ status }) => status === 200).length;
  const isMoved = change.user === user.id && change.version !== plugin.version;
  const news = isMoved ? `${user.name} has ${change.version ?? "uninstalled it"} now. ` : "";
  return `${news}This open page keeps ${plugin.version}: ${good} of its ${files.length} files came again.`;
}
