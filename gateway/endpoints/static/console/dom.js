// Builds elements and keeps them up to date. Text is always set as text: nothing here parses HTML.

export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(element, attributes, children) {
  setAttributes(element, attributes);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export function setAttributes(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) element.removeAttribute(name);
    else element.setAttribute(name, value === true ? "" : value);
  }
}

export function byId(id) {
  return document.getElementById(id);
}

// Leaves a text alone that is right already: a selection stays, and a screen reader repeats nothing.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// The children of `parent`, one for each item. As long as an item has the same key, its child stays the same element
// and keeps the focus.
export class KeyedChildren {
  #parent;
  #keyOf;
  #make;
  #update;
  #children = new Map();

  constructor(parent, { keyOf, make, update }) {
    this.#parent = parent;
    this.#keyOf = keyOf;
    this.#make = make;
    this.#update = update;
  }

  show(items) {
    const focused = document.activeElement;
    const children = new Map();
    for (const item of items) {
      const key = this.#keyOf(item);
      const child = this.#children.get(key) ?? this.#make(item);
      this.#update(child, item);
      children.set(key, child);
    }
    for (const [key, child] of this.#children) if (!children.has(key)) child.remove();
    this.#children = children;
    this.#putInOrder([...children.values()]);
    // A child that moves loses the focus.
    if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
  }

  #putInOrder(children) {
    children.forEach((child, place) => {
      const present = this.#parent.children[place];
      if (present !== child) this.#parent.insertBefore(child, present ?? null);
    });
  }
}
