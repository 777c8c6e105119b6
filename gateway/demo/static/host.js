// The host page of `gateway demo` and `gateway dev`. `/?user=user-2` shows one user's plugins,
// `/?compare=user-1,user-2` two such pages side by side, in frames (`embed=1`), and so does `/` in the demo.
// Choosing a user is a navigation: two versions of one plugin claim the same window[scope], so each needs its own window.
import { failureNotice, pluginCard } from "./card.js";
import { compareView } from "./compare.js";
import { DASH, h } from "./dom.js";
import { loadPlugins, loadSite } from "./gateway.js";
import { keptLine } from "./kept.js";
import { explainTerms } from "./terms.js";

const parameters = new URLSearchParams(location.search);
const status = document.getElementById("status");
const content = document.getElementById("content");

showPage().catch((error) => {
  announce("");
  content.replaceChildren(failureNotice(error));
  console.error(error);
});

async function showPage() {
  document.documentElement.classList.toggle("embed", parameters.has("embed"));
  explainTerms(document);
  const site = await loadSite();
  const compared = parameters.get("compare") ?? (site.can_change && !parameters.has("user") ? comparedAtFirst(site) : null);
  const chosen = parameters.get("user") ?? (developerOf(site) ?? site.users[0]).key;
  showUsers(site, compared === null ? chosen : null, compared);
  if (compared !== null) return showComparison(site, compared.split(","));
  return showUser(site, find(site.users, chosen));
}

function comparedAtFirst({ users: [first, second] }) {
  return `${first.key},${(second ?? first).key}`;
}

function developerOf({ users, developed }) {
  return users.find(({ id }) => id === developed?.user);
}

// What one's own host page needs as well: a script that reloads the page when a build is finished. It hears of failures
// from then on, so it comes before the plugins. `data-user` says whose page this is, so that it is also reloaded when
// it shows nothing of the plugin yet.
function followBuilds(user) {
  const script = h("script", { src: "-/dev/reload.js", "data-user": user.id });
  return new Promise((resolve) => {
    script.onload = script.onerror = resolve;
    document.head.append(script);
  });
}

function find(users, key) {
  const user = users.find((candidate) => candidate.key === key);
  if (!user) throw new Error(`The demo has no user “${key}”.`);
  return user;
}

function showUsers(site, chosen, compared) {
  const link = (query, current, testId, ...content) =>
    h("a", { href: `?${query}`, "aria-current": current && "page", "data-testid": testId }, ...content);
  document.getElementById("users").replaceChildren(
    link(`compare=${comparedAtFirst(site)}`, compared !== null, "compare", "Side by side"),
    ...site.users.map((user) => link(`user=${user.key}`, user.key === chosen, `user-${user.key}`, user.name)),
  );
}

async function showComparison(site, keys) {
  document.title = "Side by side · Plugin-asset gateway";
  content.replaceChildren(await compareView(site, keys.map((key) => find(site.users, key))));
}

async function showUser({ api, developed, can_change: canChange }, user) {
  if (developed) await followBuilds(user);
  document.title = `${user.name} · Plugin-asset gateway`;
  document.getElementById("path").hidden = false;
  const own = developed?.user === user.id ? developed.slug : null;
  document.getElementById("about").textContent = own ? `Develops ${own}: nobody else gets what the bundler builds.` : user.about;
  announce(`Loading ${user.name}’s plugins…`);
  const plugins = inOrder(await loadPlugins(api, user.token), developed?.slug);
  showPath(user, plugins, own);
  if (own && !plugins.some(({ slug }) => slug === own)) showAwaited(own);
  else if (plugins.length === 0) showEmpty(user);
  content.addEventListener("state", () => announce(summary()));
  return content.append(...plugins.map((plugin) => pluginCard(plugin, canChange ? keptLine(user, plugin) : null)));
}

// The plugin in development comes first; then those that differ, which the comparison names in `first`, so that they
// are next to each other.
function inOrder(plugins, developed) {
  const differing = parameters.get("first")?.split(",") ?? [];
  const rank = ({ slug }) => (slug === developed ? 0 : differing.includes(slug) ? 1 : 2);
  return plugins.toSorted((a, b) => rank(a) - rank(b));
}

// Fills the diagram with this user's answers, one line per plugin. `own`: the slug of the plugin that they develop.
function showPath(user, plugins, own) {
  const isBuild = (slug, version) => slug === own && /-dev\.\d+$/.test(version);
  const answers = {
    who: [`${user.name}, ${user.id.slice(0, 8)}…`],
    installed: plugins.length ? plugins.map(({ slug }) => slug) : ["nothing"],
    version: plugins.map(({ version }) => version),
    file: plugins.map(({ slug, version }) =>
      isBuild(slug, version) ? "the bundler’s folder" : `shared/${slug}/v${version}/…`),
  };
  for (const list of document.querySelectorAll("[data-answers]")) {
    const lines = answers[list.dataset.answers];
    list.replaceChildren(...(lines.length ? lines : [DASH]).map((line) => h("li", {}, line)));
  }
}

function showAwaited(slug) {
  const sentence = "It appears here when its bundler has finished a build that the gateway can use.";
  content.append(emptyNotice(`No build of ${slug} yet`, sentence));
}

function showEmpty(user) {
  announce("");
  const sentence = `The manifest that the gateway gives ${user.name} is empty: nothing is installed and enabled.`;
  content.append(emptyNotice("No plugins", sentence));
}

function emptyNotice(title, sentence) {
  return h("div", { class: "empty" }, h("h2", {}, title), h("p", {}, sentence));
}

function summary() {
  const count = (state) => content.querySelectorAll(`[data-state="${state}"]`).length;
  const parts = ["loading", "running", "empty", "failed"].filter(count).map((state) => `${count(state)} ${state}`);
  return `Plugins: ${parts.join(", ")}.`;
}

function announce(sentence) {
  status.textContent = sentence;
}
