// The corner of the page that says what was built, and what went wrong.
import { problemsOf } from "./problems.js";
import { keep, kept } from "./storage.js";

export class Overlay {
  #state;
  #host = h("gateway-dev");
  #title = h("strong");
  #problems = h("ul");
  #age = h("p");
  #text = ""; // of the problems that it shows
  #closed = kept("closed"); // the text that it was closed with

  constructor(state) {
    this.#state = state;
    const close = h("button", { type: "button", ariaLabel: "Close", textContent: "×" });
    // The age changes each second, and nobody wants to hear that.
    const news = h("div", { ariaLive: "polite" }, this.#title, this.#problems);
    const box = h("section", { ariaLabel: "gateway dev" }, news, this.#age, close);
    close.addEventListener("click", () => this.#close());
    box.addEventListener("keydown", ({ key }) => key === "Escape" && this.#close());
    const sheet = new CSSStyleSheet(); // for an element, the page's policy would have to allow inline styles
    sheet.replaceSync(STYLE);
    const root = this.#host.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet];
    root.append(box);
    setInterval(() => this.#showAge(), 1000);
  }

  // Closed, it stays so until something else goes wrong.
  update(isWanted) {
    const problems = problemsOf(this.#state);
    const text = problems.join("\n");
    if (!isWanted || text === this.#closed) return this.#host.remove();
    if (!this.#host.isConnected) document.documentElement.append(this.#host);
    const { plugin, build } = this.#state;
    setText(this.#title, [plugin?.slug ?? "gateway dev", build && `build ${build.number}`].filter(Boolean).join(" · "));
    this.#showAge();
    if (text !== this.#text) this.#problems.replaceChildren(...problems.map((sentence) => h("li", {}, sentence)));
    this.#text = text;
  }

  #showAge() {
    const { plugin, build } = this.#state;
    setText(this.#age, build ? ageOf(build) : plugin?.dev_server ? `from ${plugin.dev_server}` : "no build yet");
  }

  #close() {
    this.#closed = this.#text;
    this.#host.remove();
    keep("closed", this.#text);
  }
}

function ageOf({ finished_s_ago, toldAt, files, size_bytes: bytes }) {
  const size = bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
  return `built ${duration(finished_s_ago + (performance.now() - toldAt) / 1e3)} ago, ${files} ${files === 1 ? "file" : "files"}, ${size}`;
}

function duration(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s`;
  return seconds < 3600 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3600)} h`;
}

// Text is always set as text: nothing here parses HTML.
function h(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
