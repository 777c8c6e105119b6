// Users × plugins × versions, a page at a time.
import { byId, setText } from "./dom.js";
import { DASH, plural } from "./format.js";
import { ask, query, Refused } from "./gateway.js";
import { Table } from "./table.js";

const PAGE = 25;
const TYPING_PAUSE_MS = 250;
const STATES = {
  served: "served",
  disabled: "disabled in the database",
  not_installed: "not installed in the user’s file",
  not_published: "version is not published",
  unusable: "name cannot be a folder",
  no_row: "only in the user’s file",
  none: "has no plugin",
};
const SIGNS = { served: "good", disabled: "off", none: "off" };
const FILES = { missing: "no installed_plugins.json", broken: "installed_plugins.json is broken", unusable: "the id cannot name a folder" };

export class Users {
  #form = byId("users-form");
  #status = byId("users-status");
  #table;
  #search = "";
  #pages = [null]; // where each page so far began
  #next = null;
  #asked = 0;
  #typing = null;

  constructor(explainFile) {
    this.#table = new Table(byId("users-table"), [
      { label: "User", kind: "code", text: ({ user }) => user.id, note: ({ user, place }) => (place === 0 ? (user.file_error ?? FILES[user.file] ?? "") : "") },
      { label: "Plugin", text: ({ plugin }) => plugin.slug ?? plugin.name ?? DASH },
      { label: "Version", kind: "code", text: ({ plugin }) => plugin.version ?? DASH },
      { label: "State", text: ({ plugin }) => STATES[plugin.state] ?? plugin.state, state: ({ plugin }) => SIGNS[plugin.state] ?? "strained" },
      { label: "Changed", text: ({ plugin }) => plugin.updated_at ?? DASH },
      { label: "Why", text: ({ plugin }) => (plugin.slug ? "Explain" : ""), act: ({ user, plugin }) => plugin.slug && (() => explainFile(user.id, plugin.slug)) },
    ], { keyOf: ({ user, plugin, place }) => `${user.id} ${plugin.slug} ${place}`, none: "No user has this." });
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#begin();
    });
    this.#form.elements.search.addEventListener("input", () => {
      clearTimeout(this.#typing);
      this.#typing = setTimeout(() => this.#begin(), TYPING_PAUSE_MS);
    });
    byId("users-next").addEventListener("click", () => this.#show([...this.#pages, this.#next]));
    byId("users-back").addEventListener("click", () => this.#show(this.#pages.slice(0, -1)));
    this.#show([null]);
  }

  #begin() {
    clearTimeout(this.#typing);
    this.#search = this.#form.elements.search.value.trim();
    this.#show([null]);
  }

  async #show(pages) {
    const asked = ++this.#asked;
    try {
      const answer = await ask(`users${query({ search: this.#search, after: pages.at(-1), limit: PAGE })}`);
      if (asked !== this.#asked) return; // a later question was asked meanwhile
      this.#pages = pages;
      this.#next = answer.after;
      this.#table.show(answer.users.flatMap(linesOf));
      setText(this.#status, this.#words(answer));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (asked === this.#asked) setText(this.#status, error.message);
    }
    byId("users-back").disabled = this.#pages.length === 1;
    byId("users-next").disabled = this.#next === null;
  }

  #words({ users, after }) {
    const which = this.#search ? ` for “${this.#search}”` : "";
    const page = this.#pages.length > 1 || after !== null ? `Page ${this.#pages.length}: ` : "";
    return `${page}${plural(users.length, "user")}${which}${after === null ? "" : ", and more on the next page"}.`;
  }
}

function linesOf(user) {
  const plugins = user.plugins.length ? user.plugins : [{ slug: null, name: null, version: null, state: "none" }];
  const lines = plugins.map((plugin, place) => ({ user, plugin, place }));
  if (user.has_more_plugins) lines.push({ user, place: lines.length, plugin: { slug: null, name: "…", version: null, state: "and more plugins" } });
  return lines;
}
