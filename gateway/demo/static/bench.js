// The two sides and the shared folder between them: one change at a time is made, and shown everywhere.
import { look, moveUser, publish } from "./changes.js";
import { h } from "./dom.js";
import { flowView } from "./flow.js";
import { sharedFolder } from "./folder.js";
import { headlineOf, readManifests } from "./headline.js";

const COMPARED = "NetworkReview"; // the plugin with several versions

export class Bench {
  constructor(site, chosen, headline, facts) {
    Object.assign(this, { site, chosen, headline, facts, busy: false, hasChanged: false });
    this.slugs = Object.keys(facts.published).toReversed(); // NetworkReview comes first
  }

  parts(panels) {
    this.panels = panels;
    this.folder = sharedFolder(this.site.users, () => this.publish());
    this.flow = flowView();
    this.show();
    const asking = this.chosen.at(-1);
    look(this.site, this.facts, asking, COMPARED).then((observed) => this.hasChanged || this.flow.show(observed), console.error);
    const [first, last] = [this.chosen[0].name, asking.name];
    const other = first === last ? "the other page" : `${first}’s page`;
    const above = h("p", { class: "muted" },
      `Try it: publish the next version, upgrade ${last} to it, and see that ${other} stays as it is. Then roll back.`);
    return { above, between: this.folder, below: this.flow };
  }

  move(panel, slug, order) {
    return this.change(panel, async () => {
      const observed = await moveUser(this.site, this.facts, panel.user, slug, order);
      const { previous_version: was, version: is } = observed.change.content.data;
      return { observed, sentence: `${slug}: ${was ?? "nothing"} → ${is ?? "nothing"}` };
    });
  }

  publish() {
    return this.change(this.folder, async () => {
      const observed = await publish(this.site, this.facts, this.chosen.at(-1));
      return { observed, sentence: `${observed.change.content.version} is published.` };
    });
  }

  // `place`: where the result is said, with a way to the drawing, which may be out of sight.
  async change(place, make) {
    if (this.busy) return;
    this.busy = this.hasChanged = true;
    place.say("Asking the gateway…");
    try {
      const { observed, sentence } = await make();
      this.facts = observed.after;
      this.headline.textContent = headlineOf(this.chosen, await readManifests(this.site, this.chosen));
      this.show();
      place.reload?.(); // the other page stays open as it is
      place.say(sentence, " ", h("a", { href: "#flow" }, "What happened?"));
      this.flow.show(observed);
    } catch (error) {
      place.say(h("span", { class: "bad" }, error.message));
    } finally {
      this.busy = false;
    }
  }

  show() {
    for (const part of [...this.panels, this.folder]) part.show(this.facts);
  }
}
