// Which files of plugins this page has asked for, as the browser tells it.

// …/plugins/{plugin}/@{version}~{build}/{path}, or without the pin. Only files have a dot in the last part.
const FILE = /\/plugins\/([^/]+)\/(?:(@[^/]+)\/)?((?:[^/]+\/)*[^/]+\.[^/]+)$/;
const OF_DEVELOPMENT = /-dev\.\d+~/;

const loaded = new Map(); // the first file of each plugin and pin

// Calls `onFile` for each file, also for those before. `onFile` gets its URL if the server refused it.
export function watchFiles(onFile) {
  const observer = new PerformanceObserver((list) => {
    for (const { name, startTime, responseStatus } of list.getEntries()) {
      const file = fileOf(name);
      if (!file) continue;
      const key = `${file.plugin}/${file.pin}`;
      if (!loaded.has(key)) loaded.set(key, { ...file, at: performance.timeOrigin + startTime });
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

// Whether it has asked for files of another build. A version is not enough: they are counted anew when the gateway
// starts again. A URL without a pin gets this build since requests are answered with it.
export function hasOlder(state) {
  const { version, finishedAt, answeredAt } = state.build;
  const isOlder = ({ pin, at }) => (pin ? !pin.startsWith(`@${version}~`) || at < finishedAt : at < answeredAt);
  return filesOf(state).some(isOlder);
}

// The developer's URLs have their database id, or a pin that no other user gets. A slug alone names no user, so that
// it may be the developer. A page that is theirs waits for its first file.
function filesOf({ user, plugin: { slug, user: developer, database_id: id } }) {
  const isTheirs = ({ plugin, pin }) => plugin === id || (plugin === slug && (!pin || OF_DEVELOPMENT.test(pin)));
  const files = [...loaded.values()].filter(isTheirs);
  return files.length || user !== developer ? files : [{ at: performance.timeOrigin }];
}
