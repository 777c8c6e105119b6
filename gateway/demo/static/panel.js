// One side: a user, the buttons for their plugins, and their page in a window of its own.
import { h } from "./dom.js";
import { pluginControls } from "./controls.js";

// `first`: the plugins that their page shows first. `choose(key)`: another user is to be shown here. `act`: see
// controls.js; null if nothing can be changed.
export function userPanel({ users, user, slugs, first, choose, act }) {
  const controls = act ? slugs.map((slug) => pluginControls(slug, act)) : [];
  const result = h("p", { class: "result", role: "status" });
  const frame = h("iframe", { src: `?user=${user.key}&embed=1&first=${first}`, title: `${user.name}’s plugins` });
  const again = h("button", { type: "button", class: "quiet", "aria-label": `Load ${user.name}’s page again` }, "↻");
  let facts = null;
  again.addEventListener("click", () => panel.reload());
  const panel = h("section", { class: "panel", "aria-label": `${user.name}’s page`, "data-testid": `panel-${user.key}` },
    chooser(users, user, choose),
    controls.length ? h("ul", { class: "controls" }, controls) : null,
    result,
    h("div", { class: "window" }, h("div", { class: "bar" }, again, h("code", {}, `/?user=${user.key}`), ownTab(user)), frame),
  );

  // The page in the window stays as it is until it is loaded again, and so does its colour.
  panel.show = (latest) => {
    const isFirst = facts === null;
    facts = latest;
    const { rows, entries } = facts.users[user.key];
    for (const [index, slug] of slugs.entries()) {
      controls[index].show(facts.published[slug].map(({ version }) => version), rows[slug], entries[slug]);
    }
    if (isFirst) paint();
  };
  panel.reload = () => {
    frame.contentWindow.location.reload();
    if (facts) paint();
  };
  panel.say = (...sentence) => result.replaceChildren(...sentence);
  panel.user = user;
  return panel;

  function paint() {
    panel.style.setProperty("--version-colour", colourOf(facts.published, facts.users[user.key].rows, slugs) ?? "");
  }
}

// The colour of the first plugin's head, so that the page and its version in the shared folder are seen to belong together.
function colourOf(published, rows, slugs) {
  const slug = slugs.find((candidate) => rows[candidate]);
  return slug && published[slug].find(({ version }) => version === rows[slug].version)?.colour;
}

function chooser(users, chosen, choose) {
  const options = users.map(({ key, name }) => h("option", { value: key, selected: key === chosen.key }, name));
  const select = h("select", {}, options);
  select.addEventListener("change", () => choose(select.value));
  return h("label", {}, "User ", select);
}

function ownTab({ key, name }) {
  const whose = h("span", { class: "visually-hidden" }, `${name}’s page: `);
  return h("a", { href: `?user=${key}`, target: "_blank" }, whose, "Open in a tab ↗");
}
