// Why a request is answered as it is: the decision's steps, drawn as the way of the request, and what to do about it.
import { byId, h, setText } from "./dom.js";
import { age } from "./format.js";
import { post, Refused } from "./gateway.js";

const QUESTIONS = {
  caller: "Who asks?",
  owner: "Whose row is it?",
  "versions of the slug": "Which versions are held?",
  "file type": "May this type be served?",
  installed: "Is it installed?",
  row: "Which version?",
  pin: "Is the pinned build there?",
  path: "Which file?",
  file: "What is in it?",
};
// The cache from which a step was answered: its age is the age of the answer.
const CACHES = { installed: "installations", row: "versions", owner: "owners", pin: "builds", file: "assets" };
const REFUSING = new Set(["no", "none", "refused", "retired"]);

const form = byId("explain-form");
const status = byId("explain-status");
const explanation = byId("explanation");
let turns = 0;

form.addEventListener("change", chooseFields);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  explain();
});
chooseFields();

export function explainUrl(url) {
  fill({ by: "url", url, "url-user": "" });
}

export function explainFile(user, plugin) {
  fill({ by: "file", user, plugin });
}

async function fill(values) {
  for (const [name, value] of Object.entries(values)) form.elements[name].value = value;
  chooseFields();
  byId("explain").scrollIntoView();
  await explain();
  explanation.focus({ preventScroll: true });
}

function chooseFields() {
  const by = form.elements.by.value;
  for (const fields of form.querySelectorAll("[data-by]")) {
    fields.hidden = fields.disabled = fields.dataset.by !== by;
  }
}

async function explain() {
  const turn = ++turns;
  explanation.setAttribute("aria-busy", "true");
  const [content, sentence] = await explained();
  if (turn !== turns) return; // something else was asked meanwhile
  explanation.removeAttribute("aria-busy");
  explanation.replaceChildren(...content);
  setText(status, sentence);
}

async function explained() {
  try {
    return [[pathOf(await post("explain", asked()))], ""];
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return [[], error.message];
  }
}

// In a body, because a URL may hold a credential: proxies write down the query of a request.
function asked() {
  const isUrl = form.elements.by.value === "url";
  const fields = isUrl ? { url: "url", user: "url-user" } : { user: "user", plugin: "plugin", path: "path" };
  const values = Object.entries(fields).map(([key, name]) => [key, form.elements[name].value.trim()]);
  return Object.fromEntries(values.filter(([, value]) => value));
}

function pathOf({ steps, caches, answer, served, advice }) {
  const boxes = steps.map((step) => box(step, caches[CACHES[step.name]]));
  const end = h(
    "li",
    { class: "answer", "data-state": served ? "good" : "failing" },
    h("h3", {}, served ? "Served" : "Refused"),
    h("p", { class: "outcome" }, answer),
    advice && h("p", { class: "advice" }, h("b", {}, "What to do: "), advice),
  );
  return h("ol", { class: "way" }, boxes, end);
}

function box({ name, outcome, source }, cache) {
  return h(
    "li",
    { "data-state": REFUSING.has(outcome) || outcome.endsWith(", disabled") ? "failing" : null },
    h("h3", {}, QUESTIONS[name] ?? name),
    h("p", { class: "outcome" }, outcome),
    h("p", { class: "source" }, source, cache && `, asked ${age(cache.age_s)} ago`),
  );
}
