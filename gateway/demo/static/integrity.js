// Lets the browser run only what was published: the entry of a plugin, and the chunks that its bundler's runtime loads.
const hashes = new Map(); // by URL, without its query
const lists = new Map(); // by the URL of a pin: a promise, when the hashes of all its files were asked for

// Asks for all scripts that a plugin of a manifest needs at once. Call it before the entry is loaded.
// `base`: the URL below which `bundlelocation` is. `entry`: the URL by which the page loads the entry.
export function expectPublished({ bundlelocation, integrity, preload }, base, entry) {
  if (!integrity) return;
  lists.set(new URL(bundlelocation.match(/^@[^/]+\//)[0], base).href, null);
  for (const [index, script] of preload.entries()) {
    const link = Object.assign(document.createElement("link"), { rel: "preload", as: "script" });
    link.href = index === 0 ? entry : new URL(script.href, base).href;
    hashes.set(nameOf(link.href), script.integrity);
    protect(link, link.href);
    document.head.append(link);
  }
}

export function integrityOf(url) {
  return hashes.get(nameOf(url));
}

// webpack, rspack and the runtime of Module Federation insert the scripts of chunks in this way. If a chunk was not
// preloaded, its script waits for the hashes of its plugin's files.
const { appendChild } = document.head;
document.head.appendChild = function (node) {
  const pin = node instanceof HTMLScriptElement && [...lists.keys()].find((url) => node.src.startsWith(url));
  if (!pin) return appendChild.call(this, node);
  const insert = () => {
    if (!protect(node, node.src)) throw new Error(`Nobody published ${node.src}`);
    appendChild.call(this, node);
  };
  if (integrityOf(node.src)) insert();
  else hashesOf(pin).then(insert).catch(() => node.dispatchEvent(new Event("error")));
  return node;
};

function hashesOf(pin) {
  if (!lists.get(pin)) lists.set(pin, readHashes(pin));
  return lists.get(pin);
}

async function readHashes(pin) {
  const response = await fetch(`${pin}?integrity`).catch(() => null);
  if (!response?.ok) lists.set(pin, null); // the next chunk asks again
  const { files } = await response.json();
  for (const [path, integrity] of Object.entries(files)) hashes.set(nameOf(pin) + path, integrity);
}

// A preloaded script is used only if the script element has the same integrity and crossorigin as the link.
function protect(element, url) {
  const integrity = integrityOf(url);
  if (!integrity) return false;
  element.integrity = integrity;
  if (new URL(url).origin !== location.origin) element.crossOrigin = "anonymous";
  return true;
}

function nameOf(url) {
  const { origin, pathname } = new URL(url, location.href);
  return origin + decodeURIComponent(pathname);
}
