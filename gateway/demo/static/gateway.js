// All requests to the gateway, and its unchanged answers.

// An error answer, with the gateway's own sentence and code if it sent them.
export class Refusal extends Error {
  constructor(url, status, { detail, code } = {}) {
    super(detail ?? `The answer has status ${status} and no detail.`);
    Object.assign(this, { url, status, detail, code });
  }
}

export async function loadSite() {
  return readJSON(await fetch("demo/users.json", { cache: "no-cache" }));
}

// The user's plugins, in the manifest's order. `address` is where the plugin's files are, `entry` its script.
export async function loadPlugins(api, token) {
  const url = `${api}/plugins/manifest/designer`;
  const manifest = await readJSON(await fetch(url, { headers: { Authorization: `Bearer ${token}` }, cache: "no-cache" }));
  return Object.values(manifest)
    .map((plugin) => ({ ...plugin, slug: plugin.plugin_slug || plugin.id, ...locate(api, plugin) }));
}

// Like the application's front end: only remoteEntry.js gets ?v=, and an absolute location is used as it is.
function locate(api, { database_id, id, bundlelocation, version }) {
  const base = new URL(`${api}/public/plugins/${database_id ?? id}/`, location.href).href;
  if (!bundlelocation) return { address: base, entry: null };
  const absolute = /^https?:\/\//.test(bundlelocation);
  const query = bundlelocation.endsWith("remoteEntry.js") ? `?v=${version}` : "";
  const entry = (absolute ? "" : base) + bundlelocation + query;
  return { address: absolute ? new URL(".", entry).href : base, entry };
}

// Requests a file twice: like a browser with an empty cache, then with the ETag of the first answer.
// `again` is null if the first answer has no ETag.
export async function askTwice(url) {
  const first = await ask(url);
  return { first, again: first.etag ? await ask(url, { "If-None-Match": first.etag }) : null };
}

async function ask(url, headers = {}) {
  const start = performance.now();
  const response = await fetch(url, { headers, cache: "no-store", credentials: "omit" });
  const body = await response.arrayBuffer();
  return {
    status: response.status,
    bodyBytes: body.byteLength,
    ms: performance.now() - start,
    cacheControl: response.headers.get("Cache-Control"),
    etag: response.headers.get("ETag"),
    cacheStatus: response.headers.get("Cache-Status"),
  };
}

// Why a script could not be loaded: the answer to a fetch of the same URL. Null if that succeeds.
export async function whyRefused(url) {
  const response = await fetch(url, { cache: "no-store", credentials: "omit" });
  return response.ok ? null : refusalOf(response);
}

async function readJSON(response) {
  if (!response.ok) throw await refusalOf(response);
  return response.json();
}

async function refusalOf(response) {
  const body = await response.json().catch(() => ({})); // a proxy may answer with a page of HTML
  return new Refusal(response.url, response.status, body);
}
