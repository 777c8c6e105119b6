// One plugin on the page: the running plugin, its version, its files.
import { breakable, h } from "./dom.js";
import { explain, loadComponents, render } from "./federation.js";
import { filesTable } from "./files.js";
import { term } from "./terms.js";

// The plugin's card. Its data-state is "loading", "running", "empty" or "failed"; each change fires a "state" event.
// `kept`: what stands below the head; null for nothing.
export function pluginCard(plugin, kept = null) {
  const state = h("span", { class: "state" });
  const stage = h("div", { class: "stage" });
  const card = h("article",
    { class: "card", "aria-label": plugin.name, "data-testid": `plugin-${plugin.slug}`, "data-version": plugin.version },
    head(plugin, state),
    kept,
    h("div", { class: "body" }, stage, evidence(plugin)),
  );

  function enter(name) {
    card.dataset.state = name;
    state.textContent = name;
    card.dispatchEvent(new Event("state", { bubbles: true }));
  }

  // May be called long after the start: a component can throw, or fail to load a chunk, at any time.
  async function fail(error) {
    enter("failed");
    stage.replaceChildren(failureNotice(await explain(error)));
  }

  enter("loading");
  start(plugin, stage, fail).then(() => (plugin.modules.length ? enter("running") : showNothing()), fail);
  return card;

  function showNothing() {
    enter("empty");
    stage.replaceChildren(h("p", { class: "notice" },
      "The plugin is loaded and has no modules, so there is nothing to show. Name its components in the list ",
      h("code", {}, "modules"), " of its ", h("code", {}, "plugin.json"), "."));
  }
}

// Resolves when every module is on the page.
async function start(plugin, stage, fail) {
  const components = await loadComponents(plugin);
  await Promise.all(components.map((component) => {
    const mount = stage.appendChild(h("div"));
    return new Promise((resolve) => render(component, mount, { onReady: resolve, onError: fail }));
  }));
}

function head(plugin, state) {
  return h("header", {},
    h("h2", {}, plugin.name),
    h("span", { class: "version" }, h("span", { class: "visually-hidden" }, "version "), plugin.version),
    state,
    plugin.description ? h("p", { class: "muted" }, plugin.description) : null,
  );
}

function evidence(plugin) {
  const unfolded = innerWidth > 560 && window === window.top; // where there is little room the plugins come first
  return h("details", { class: "evidence", open: unfolded },
    h("summary", {}, h("h3", {}, "Files")),
    h("p", { class: "muted" }, "Everything the browser loaded from ", h("code", {}, breakable(folderOf(plugin))),
      " (after the @: the ", term("pin"), ", of version and ", term("build"), ")"),
    filesTable(plugin.address),
  );
}

// The address up to and including the pin, if there is one.
function folderOf({ address, entry }) {
  const pin = entry?.slice(address.length).match(/^@[^/]+\//)?.[0] ?? "";
  return new URL(address).pathname + pin;
}

export function failureNotice(error) {
  const facts = [["Status", error.status], ["Code", error.code], ["URL", error.url ?? error.request]]
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, h("code", {}, breakable(String(value))))));
  return h("div", { class: "notice" },
    h("p", {}, h("strong", {}, error.message)),
    facts.length ? h("dl", {}, facts) : null,
  );
}
