// Lets the browser run only what was published: the entry of a plugin, and the chunks that its bundler's runtime loads.
const hashes = new Map(); // by URL, without its query

// webpack, rspack and the runtime of Module Federation insert the scripts of chunks in this way.
const { appendChild } = document.head;
document.head.appendChild = function (node) {
  if (node instanceof HTMLScriptElement) protect(node, node.src);
  return appendChild.call(this, node);
};

// Asks for all scripts that a plugin of a manifest needs at once. Resolves when the hashes of all its files are known.
// `base`: the URL below which `bundlelocation` is. `entry`: the URL by which the page loads the entry.
export async function expectPublished(plugin, base, entry) {
  if (!plugin.integrity) return;
  for (const [index, { href, integrity }] of plugin.preload.entries()) {
    const link = Object.assign(document.createElement("link"), { rel: "preload", as: "script" });
    link.href = index === 0 ? entry : new URL(href, base).href;
    hashes.set(nameOf(link.href), integrity);
    protect(link, link.href);
    document.head.append(link);
  }
  const pin = new URL(plugin.bundlelocation.match(/^@[^/]+\//)[0], base);
  const response = await fetch(new URL("?integrity", pin));
  if (!response.ok) throw new Error(`The integrity of the plugin is not known: status ${response.status}.`);
  const { files } = await response.json();
  for (const [path, integrity] of Object.entries(files)) hashes.set(nameOf(pin) + path, integrity);
}

export function integrityOf(url) {
  return hashes.get(nameOf(url));
}

// A preloaded script is used only if the script element has the same integrity and crossorigin as the link.
function protect(element, url) {
  const integrity = integrityOf(url);
  if (!integrity) return;
  element.integrity = integrity;
  if (new URL(url).origin !== location.origin) element.crossOrigin = "anonymous";
}

function nameOf(url) {
  const { origin, pathname } = new URL(url, location.href);
  return origin + decodeURIComponent(pathname);
}
