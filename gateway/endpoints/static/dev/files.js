// Which files of plugins this page has asked for, as the browser tells it.

// …/plugins/{plugin}/@{version}~{build}/{path}, or without the pin. Only files have a dot in the last part.
const FILE = /\/plugins\/([^/]+)\/(?:(@[^/]+)\/)?((?:[^/]+\/)*[^/]+\.[^/]+)$/;
const OF_DEVELOPMENT = /-dev\.\d+~/;

const loaded = new Map(); // a file of each plugin and pin

// Calls `onFile` for each file, also for those before. `onFile` gets its URL if the server refused it.
export function watchFiles(onFile) {
  const observer = new PerformanceObserver((list) => {
    for (const { name, responseStatus } of list.getEntries()) {
      const file = fileOf(name);
      if (!file) continue;
      loaded.set(`${file.plugin}/${file.pin}`, file);
      onFile(responseStatus >= 400 ? name : null);
    }
  });
  observer.observe({ type: "resource", buffered: true });
}

// Null for other URLs.
export function fileOf(url) {
  try {
    const [, plugin, pin, path] = decodeURIComponent(new URL(url).pathname).match(FILE) ?? [];
    return plugin ? { plugin, pin, path } : null;
  } catch {
    return null;
  }
}

// Whether a file is of this plugin, whoever may see it.
export const isOf = ({ slug, database_id: id }, { plugin }) => plugin === slug || plugin === id;

// Whether the page shows the plugin as its developer sees it.
export const shows = (state) => filesOf(state).length > 0;

// Whether it has files of another build. Versions are counted anew in each run of the gateway. A URL without a pin gives
// no version: it is the one that the gateway had when the page began to load, or a later one.
export function hasOther(state) {
  const { build, served } = state;
  const isOther = ({ pin }) => (pin ? !pin.startsWith(`@${build.version}~`) : served.number < build.number);
  return filesOf(state).some((file) => served.run !== build.run || isOther(file));
}

// The developer's URLs have their database id, or a pin that no other user gets. A slug alone names no user, so that
// it may be the developer. A page that is theirs waits for its first file.
function filesOf({ user, plugin: { slug, user: developer, database_id: id } }) {
  const isTheirs = ({ plugin, pin }) => plugin === id || (plugin === slug && (!pin || OF_DEVELOPMENT.test(pin)));
  const files = [...loaded.values()].filter(isTheirs);
  return files.length || user !== developer ? files : [{}];
}
