// The shared folder: each version once, and who has it. Here the next version is published.
import { formatBytes, h } from "./dom.js";
import { term } from "./terms.js";

export function sharedFolder(users, publish) {
  const list = h("div", { class: "plugins" });
  const button = h("button", { type: "button", "data-testid": "publish" }, "Publish the next version");
  const result = h("p", { class: "result", role: "status" });
  button.addEventListener("click", publish);
  const view = h("section", { class: "shared", "aria-labelledby": "shared-title", "data-testid": "shared" },
    h("h3", { id: "shared-title" }, "One set of files"),
    h("p", { class: "muted" }, term("shared", "plugins/shared/"), ", for all users"),
    list,
    button,
    h("p", { class: "muted" }, term("publish", "Publishing"), " changes nobody’s plugins. A user gets a version by an upgrade."),
    result,
  );
  view.show = (facts) => {
    const plugins = Object.entries(facts.published).toReversed(); // NetworkReview comes first
    list.replaceChildren(...plugins.map(([slug, versions]) => pluginVersions(slug, versions, users, facts)));
  };
  view.say = (...sentence) => result.replaceChildren(...sentence);
  return view;
}

function pluginVersions(slug, versions, users, facts) {
  return h("div", {},
    h("h4", {}, h("code", {}, `${slug}/`)),
    h("ul", {}, versions.map((each) => {
      const having = users.filter(({ key }) => facts.users[key].rows[slug]?.version === each.version);
      return versionLine(each, having.map(({ name }) => name));
    })),
  );
}

function versionLine({ version, files, bytes, colour }, names) {
  const line = h("li", { "data-version": version },
    h("code", {}, `v${version}/`),
    h("small", {}, `${files} files, ${formatBytes(bytes)}`),
    h("span", { class: "names" }, names.length ? names.map((name) => h("b", {}, name)) : h("span", { class: "muted" }, "nobody")),
  );
  line.style.setProperty("--version-colour", colour ?? "");
  return line;
}
