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

// What the site holds at this moment: published versions, users' rows and files. Only `gateway demo` tells it.
export async function readFacts() {
  return readJSON(await fetch("demo/facts.json", { cache: "no-store" }));
}

export async function publishNext() {
  return timed("demo/publish", { method: "POST" });
}

const METHODS = { install: "POST", update: "PUT", rollback: "POST", uninstall: "DELETE" };

// Changes what the user has, by the gateway's own URL. `version`: null for the gateway's choice.
export async function changePlugin(api, token, slug, action, version) {
  const body = version === null ? undefined : JSON.stringify({ version });
  const headers = { Authorization: `Bearer ${token}` };
  return timed(`${api}/plugins/${slug}/${action}`, { method: METHODS[action], headers, body });
}

async function timed(url, options) {
  const start = performance.now();
  const response = await fetch(url, options);
  const content = await readJSON(response);
  const ms = performance.now() - start;
  return { request: `${options.method} ${new URL(response.url).pathname}`, status: response.status, ms, content };
}

// A user's file as the user asks for it, then once more with the ETag of the first answer.
export async function askAs(token, url) {
  const headers = { Authorization: `Bearer ${token}` };
  const first = await ask(url, headers);
  return { first, again: await ask(url, first.etag ? { ...headers, "If-None-Match": first.etag } : headers) };
}

// Requests a file twice: like a browser with an empty cache, then with the ETag of the first answer.
// `again` is null if the first answer has no ETag.
export async function askTwice(url) {
  const first = await ask(url);
  return { first, again: first.etag ? await ask(url, { "If-None-Match": first.etag }) : null };
}

export async function ask(url, headers = {}) {
  const start = performance.now();
  const response = await fetch(url, { headers, cache: "no-store", credentials: "omit" });
  const body = await response.arrayBuffer();
  return {
    status: response.status,
    code: response.status < 400 ? null : codeIn(body),
    bodyBytes: body.byteLength,
    ms: performance.now() - start,
    cacheControl: response.headers.get("Cache-Control"),
    etag: response.headers.get("ETag"),
    cacheStatus: response.headers.get("Cache-Status"),
    serverTiming: response.headers.get("Server-Timing"),
  };
}

function codeIn(body) {
  try {
    return JSON.parse(new TextDecoder().decode(body)).code ?? null;
  } catch {
    return null; // a proxy may answer with a page of HTML
  }
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
