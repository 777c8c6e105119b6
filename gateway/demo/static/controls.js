// The buttons for one user and one plugin. They stay the same elements, so that the focus stays where it is.
import { h } from "./dom.js";

// `act(slug, {action, version})` is called when one is pressed.
export function pluginControls(slug, act) {
  const version = h("span", { class: "version" });
  const buttons = { update: button(), rollback: button("quiet"), presence: button("quiet") };
  const element = h("li", { "data-testid": `controls-${slug}` },
    h("span", { class: "name" }, slug), version, h("span", { class: "buttons" }, Object.values(buttons)));
  const orders = new Map();
  for (const each of Object.values(buttons)) each.addEventListener("click", () => orders.has(each) && act(slug, orders.get(each)));

  // `published`: the versions, the newest first. `row` and `entry` are undefined if the user has none.
  element.show = (published, row, entry) => {
    const current = row?.version;
    const newest = published[0];
    version.textContent = current ?? "not installed";
    offer(buttons.update, row && current !== newest && ["update", null], `Upgrade to ${newest}`, "Newest");
    const earlier = row && earlierThan(published, current, entry);
    offer(buttons.rollback, earlier && ["rollback", earlier.version], `Roll back to ${earlier?.shown}`, "Roll back");
    offer(buttons.presence, row ? ["uninstall", null] : ["install", null], row ? "Uninstall" : "Install");
    buttons.update.hidden = buttons.rollback.hidden = !row || published.length < 2;
  };

  function offer(element, order, offered, otherwise) {
    element.textContent = order ? offered : otherwise;
    if (order) orders.set(element, { action: order[0], version: order[1] });
    else orders.delete(element);
    element.setAttribute("aria-disabled", order ? "false" : "true");
  }
  return element;
}

// Where a rollback leads: the gateway knows which version the user had before; if it does not, the page names the one below.
function earlierThan(published, current, entry) {
  const before = (entry?.installation_metadata.previous_versions ?? []).filter((version) => version !== current);
  if (before.length) return { version: null, shown: before.at(-1) };
  const below = published[published.indexOf(current) + 1];
  return below && { version: below, shown: below };
}

function button(kind = "") {
  return h("button", { type: "button", class: kind });
}
