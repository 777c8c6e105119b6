// Words that a newcomer need not know, explained on hover, on focus and on a tap.
import { h } from "./dom.js";

const EXPLANATIONS = {
  build: "16 hexadecimal digits, made from all files of a version. Other content would have another build.",
  cache: "What was looked up a moment ago is kept in memory. After a change, the gateway drops what concerns this user.",
  constructed: "The path is put together from slug and version. It is stored nowhere, so nothing can point elsewhere.",
  entry: "The script that a page loads first, remoteEntry.js. It loads all other files of the plugin.",
  etag: "A digest of the file’s bytes. Who sends it back gets “304, not modified” instead of the bytes.",
  json: "installed_plugins.json: one file for each user. It says which plugins are installed, not at which version.",
  manifest: "The list a page asks for first: the user’s plugins, the version of each, and where its files are.",
  pin: "Version and build in a URL, such as @1.0.1~173af0dd0ebc68cd. Under a pin the bytes never change, so an open page keeps its version.",
  publish: "A folder becomes a version for all users, whole or not at all. Nobody has it until their row names it.",
  row: "One row of the application’s table plugin: this user has this plugin at this version.",
  shared: "plugins/shared/ holds each version once, for all users. A published version is never changed.",
  slug: "The name of a plugin in URLs and folders.",
  token: "Proof of who asks: a signed text (JWT) that the browser sends with each request.",
};

let count = 0;

// The word with its explanation. Screen readers hear it as the button's description.
export function term(name, text = name) {
  const id = `term-${(count += 1)}`;
  const button = h("button", { type: "button", class: "term", "aria-describedby": id }, text);
  const tip = h("span", { role: "tooltip", id, class: "tip", popover: "manual" }, EXPLANATIONS[name]);
  const whole = h("span", { class: "with-tip", "data-term": name }, button, tip);
  listen(whole, button, tip);
  return whole;
}

// Replaces `<span data-term="slug">…</span>` in the page's own text.
export function explainTerms(root) {
  for (const place of root.querySelectorAll("[data-term]")) place.replaceWith(term(place.dataset.term, place.textContent));
}

function listen(whole, button, tip) {
  const show = () => {
    if (!tip.matches(":popover-open")) tip.showPopover();
    placeBelow(button, tip);
  };
  const hide = () => tip.matches(":popover-open") && tip.hidePopover();
  whole.addEventListener("pointerenter", show);
  whole.addEventListener("pointerleave", () => document.activeElement !== button && hide());
  button.addEventListener("focus", show);
  button.addEventListener("blur", hide);
  button.addEventListener("click", show);
  whole.addEventListener("keydown", ({ key }) => key === "Escape" && hide());
}

// Touches the word, so that the pointer can move onto the explanation; inside the window at every width.
function placeBelow(button, tip) {
  const word = button.getBoundingClientRect();
  const { width, height } = tip.getBoundingClientRect();
  const isRoom = word.bottom + height < innerHeight;
  tip.style.left = `${Math.max(8, Math.min(word.left, document.documentElement.clientWidth - width - 8))}px`;
  tip.style.top = `${isRoom ? word.bottom : Math.max(0, word.top - height)}px`;
}
