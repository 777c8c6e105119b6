// Tables whose rows stay the same elements while their content changes. On a narrow page each row is a block, and each
// cell names its column (style.css).
import { h, KeyedChildren, setAttributes, setText } from "./dom.js";

export class Table {
  #rows;
  #none;
  #table;
  #columns;

  // `columns`: { label, text(item) }, and as needed `kind` ("number", "code"), `state(item)` (a word that colours and marks
  // the cell), `note(item)` (a small second line), `act(item)` (the text is a button that does what this returns; null: it is only text).
  // `none`: the sentence if there is no row.
  constructor(table, columns, { keyOf, none }) {
    this.#table = table;
    this.#columns = columns;
    this.#none = h("p", { class: "none", hidden: true }, none);
    table.after(this.#none);
    const heads = columns.map(({ label, kind }) => h("th", { scope: "col", class: kind }, label));
    const body = h("tbody");
    table.append(h("thead", {}, h("tr", {}, heads)), body);
    this.#rows = new KeyedChildren(body, {
      keyOf,
      make: () => this.#makeRow(),
      update: (row, item) => this.#updateRow(row, item),
    });
  }

  show(items) {
    this.#table.hidden = items.length === 0;
    this.#none.hidden = items.length > 0;
    this.#rows.show(items);
  }

  #makeRow() {
    const cells = this.#columns.map(({ label, kind, act }, place) => {
      const text = act ? h("button", { type: "button", class: "link" }) : h("span");
      const cell = h(place === 0 ? "th" : "td", { scope: place === 0 && "row", class: kind, "data-label": label }, text);
      return cell;
    });
    return h("tr", {}, cells);
  }

  #updateRow(row, item) {
    this.#columns.forEach(({ text, state, note, act }, place) => {
      const cell = row.cells[place];
      const [content, small] = cell.children;
      setText(content, text(item));
      if (act) setAction(content, act(item));
      if (state) setAttributes(content, { "data-state": state(item) });
      if (note) setNote(cell, small, note(item));
    });
  }
}

function setAction(button, action) {
  button.onclick = action;
  button.disabled = action === null;
}

function setNote(cell, present, text) {
  if (!text) present?.remove();
  else if (present) setText(present, text);
  else cell.append(h("small", {}, text));
}
