// Two users' pages side by side, each in a window, so that each version of a plugin has its own. In `gateway demo`
// the shared folder stands between them, and what a change did is drawn below.
import { Bench } from "./bench.js";
import { h } from "./dom.js";
import { readFacts } from "./gateway.js";
import { differences, headlineOf, readManifests } from "./headline.js";
import { userPanel } from "./panel.js";

export async function compareView(site, chosen) {
  const manifests = await readManifests(site, chosen);
  const headline = h("h2", {}, headlineOf(chosen, manifests));
  const differing = differences(manifests).map(({ slug }) => slug);
  const keys = chosen.map(({ key }) => key);
  const bench = site.can_change ? new Bench(site, chosen, headline, await readFacts()) : null;
  const panels = chosen.map((user, side) => userPanel({
    users: site.users,
    user,
    slugs: bench?.slugs ?? [],
    first: differing.length ? differing : (bench?.slugs ?? []),
    choose: (key) => { location.search = `?compare=${keys.with(side, key)}`; },
    act: bench && ((slug, order) => bench.move(panels[side], slug, order)),
  }));
  const parts = bench ? bench.parts(panels) : { above: null, between: null, below: null };
  return h("div", { class: "compare" }, headline, parts.above,
    h("div", { class: "sides" }, panels[0], parts.between, panels.slice(1)), parts.below);
}
