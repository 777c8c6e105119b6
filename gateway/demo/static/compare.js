// Two users' pages side by side, each in a frame, so that each version of a plugin has its own window.
import { h } from "./dom.js";
import { loadPlugins } from "./gateway.js";

export async function compareView({ api, users }, chosen) {
  const manifests = await Promise.all(chosen.map(({ token }) => loadPlugins(api, token)));
  const differing = differences(manifests);
  const keys = chosen.map(({ key }) => key);
  return h("div", { class: "compare" },
    h("h2", {}, headline(chosen, differing)),
    chosen.map((user, side) => {
      const choose = (key) => { location.search = `?compare=${keys.with(side, key)}`; };
      return h("section", { "aria-label": `${user.name}’s page` },
        chooser(users, user, choose),
        frame(user, differing.map(({ slug }) => slug)),
      );
    }),
  );
}

// [{slug, name, versions}] of the plugins that all these users have, but at different versions.
function differences([plugins, ...others]) {
  return plugins
    .map(({ slug, name, version }) => {
      const versionIn = (manifest) => manifest.find((plugin) => plugin.slug === slug)?.version;
      return { slug, name, versions: [version, ...others.map(versionIn)] };
    })
    .filter(({ versions }) => !versions.includes(undefined) && new Set(versions).size > 1);
}

function headline(chosen, differing) {
  if (differing.length === 0) return "No plugin here has two versions";
  return differing
    .map(({ name, versions }) => `${name}: ${chosen.map((user, side) => `${versions[side]} for ${user.name}`).join(", ")}`)
    .join(" · ");
}

function chooser(users, chosen, choose) {
  const options = users.map(({ key, name }) => h("option", { value: key, selected: key === chosen.key }, name));
  const select = h("select", {}, options);
  select.addEventListener("change", () => choose(select.value));
  return h("label", {}, "User ", select);
}

// The frame is as high as its page, so that only the outer page scrolls.
function frame(user, first) {
  const element = h("iframe", { src: `?user=${user.key}&embed=1&first=${first}`, title: `${user.name}’s plugins` });
  element.addEventListener("load", () => {
    const page = element.contentDocument.documentElement;
    new ResizeObserver(() => { element.style.height = `${page.getBoundingClientRect().height}px`; }).observe(page);
  });
  return element;
}
