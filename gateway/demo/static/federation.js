// Loads webpack Module Federation remotes the way the application's front end does (remotePluginService.ts).
import { whyRefused } from "./gateway.js";
import { expectPublished, integrityOf } from "./integrity.js";

const { React, ReactDOM } = window;

// What a remote's init() takes: by package, by version. `loaded` and `eager`: React is loaded already.
const offer = (library) => ({
  [React.version]: { get: () => Promise.resolve(() => library), loaded: true, eager: true, from: "host" },
});
const shareScope = { react: offer(React), "react-dom": offer(ReactDOM) };

// [{module, Component}] for every module of the plugin. If one module fails, the plugin fails.
export async function loadComponents(plugin) {
  if (!plugin.entry) throw new Error("The manifest gives no bundlelocation for this plugin.");
  expectPublished(plugin, plugin.address, plugin.entry);
  await loadScript(plugin.entry);
  const container = window[plugin.scope];
  if (!container) {
    throw new Error(`The script ran and left no window.${plugin.scope}: the scope and the container’s name must be the same.`);
  }
  await container.init(shareScope);
  return Promise.all(plugin.modules.map((module) => loadComponent(container, module)));
}

async function loadComponent(container, module) {
  const factory = await container.get(`./${module.name}`);
  const exported = factory();
  const Component = exported.default ?? exported[module.name];
  if (typeof Component !== "function" && !Component?.$$typeof) {
    throw new Error(`Module ${module.name} exports no React component.`);
  }
  return { module, Component };
}

function loadScript(url) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = url;
    script.onload = resolve;
    script.onerror = () => reject(Object.assign(new Error("The script did not load."), { request: url }));
    document.head.appendChild(script);
  });
}

// The gateway's reason for an error. A script element says only that it failed, ours as well as webpack's (which
// names the URL in `request`). So this requests the URL once more.
export async function explain(error) {
  if (!error.request) return error;
  try {
    return (await whyRefused(error.request)) ?? (await whyNotRun(error.request)) ?? error;
  } catch {
    return error; // no connection, so no better reason
  }
}

// A browser that refuses bytes says so in its console alone. fetch compares them too.
async function whyNotRun(url) {
  const integrity = integrityOf(url);
  if (!integrity) return null;
  const request = () => fetch(url, { integrity, cache: "no-store", credentials: "omit" });
  const isPublished = await request().then(() => true, () => false);
  if (isPublished) return null;
  const sentence = "The file is not the one that was published, so the browser did not run it.";
  return Object.assign(new Error(sentence), { code: "integrity_mismatch", request: url });
}

// Renders into `mount`. `onReady` is called when the component is on the page, `onError` when it throws while
// rendering, also later.
export function render({ module, Component }, mount, { onReady, onError }) {
  const settings = { ...defaultsOf(module.configFields), ...module.props };
  ReactDOM.createRoot(mount).render(
    React.createElement(Guard, { onReady, onError }, React.createElement(Component, settings)),
  );
}

function defaultsOf(configFields = {}) {
  return Object.fromEntries(Object.entries(configFields).map(([name, field]) => [name, field?.default ?? undefined]));
}

class Guard extends React.Component {
  state = { failed: false };

  static getDerivedStateFromError() {
    return { failed: true };
  }

  componentDidMount() {
    if (!this.state.failed) this.props.onReady();
  }

  componentDidCatch(error) {
    this.props.onError(error);
  }

  render() {
    return this.state.failed ? null : this.props.children;
  }
}
