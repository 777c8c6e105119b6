// One change of the site, and what it led to: facts before and after it, and two requests of the user.
import { askAs, changePlugin, publishNext, readFacts } from "./gateway.js";

export const DEFAULT_ENTRY = "dist/remoteEntry.js";

// Other pages of the demo hear of each change here, also those in other tabs.
export const channel = new BroadcastChannel("gateway-demo");

// Other sources tell the gateway of the same change once more, within 0.1 s, and it drops what it has just loaded.
const SETTLED_MS = 250;
const settled = () => new Promise((resolve) => setTimeout(resolve, SETTLED_MS));

// {user, slug, change, before, after, asked}: all of it as the gateway answered. `change` is null if nothing was changed.
export async function moveUser({ api }, before, user, slug, { action, version }) {
  const change = await changePlugin(api, user.token, slug, action, version);
  await settled();
  const asked = await askFor(api, before, user, slug);
  const after = await readFacts();
  channel.postMessage({ user: user.id, name: user.name, slug, version: change.content.data.version });
  return { user, slug, change, before, after, asked };
}

export async function publish({ api }, before, user) {
  const change = await publishNext();
  const { slug, version } = change.content;
  await settled();
  const asked = await askFor(api, before, user, slug);
  const after = await readFacts();
  channel.postMessage({ user: null, name: "Publishing", slug, version });
  return { user, slug, change, before, after, asked };
}

export async function look({ api }, facts, user, slug) {
  const asked = await askFor(api, facts, user, slug);
  return { user, slug, change: null, before: facts, after: facts, asked };
}

async function askFor(api, facts, user, slug) {
  const entry = facts.users[user.key].rows[slug]?.entry ?? DEFAULT_ENTRY;
  const path = `${api}/plugins/${slug}/${entry}`;
  return { path, ...(await askAs(user.token, path)) };
}
