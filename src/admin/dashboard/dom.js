// Owns: making elements and changing them only where something changed. Never takes markup as text.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== false));
  return node;
}

/** An HTML element. `on: {click: …}` adds listeners; absent and false attributes are left out. */
export const h = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);

/** An SVG element. */
export const s = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

/** Sets the text of a node, if it is another. */
export function say(node, text) {
  const words = String(text ?? "");
  if (node.textContent !== words) node.textContent = words;
}

/** Sets an attribute, if it is another; `undefined`, `null` and `false` remove it. */
export function mark(node, name, value) {
  if (value === undefined || value === null || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
    return;
  }
  const words = value === true ? "" : String(value);
  if (node.getAttribute(name) !== words) node.setAttribute(name, words);
}

/** Shows or hides. */
export function show(node, visible) {
  if (node.hidden === visible) node.hidden = !visible;
}

/** Replaces the children, if there is another sequence of them. */
export function place(parent, children) {
  const wanted = children.filter(Boolean);
  const same = parent.childNodes.length === wanted.length && wanted.every((child, at) => parent.childNodes[at] === child);
  if (!same) parent.replaceChildren(...wanted);
}

/**
 * A list whose entries keep their elements. `make(item)` gives `{node, update}`; nodes that have the focus keep it, since nothing
 * is moved that is where it should be.
 */
export class Keyed {
  constructor(parent, key, make) {
    Object.assign(this, { parent, key, make, entries: new Map() });
  }

  update(items) {
    const old = this.entries;
    this.entries = new Map();
    let next = this.parent.firstElementChild;
    for (const item of items) {
      const key = this.key(item);
      const entry = old.get(key) ?? this.make(item);
      old.delete(key);
      this.entries.set(key, entry);
      entry.update?.(item);
      if (entry.node === next) next = next.nextElementSibling;
      else this.parent.insertBefore(entry.node, next);
    }
    for (const entry of old.values()) entry.node.remove();
  }
}
