// Elements are made here and nowhere else. Text from the daemon only ever becomes a text node; there is no way to hand
// markup to this file.

const SVG = 'http://www.w3.org/2000/svg';

/** Appends nodes, strings and numbers; null and false leave nothing. */
export function add(parent, ...children) {
  for (const child of children.flat(4)) {
    if (child === null || child === undefined || child === false || child === '') continue;
    parent.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return parent;
}

/**
 * An element. `props`: attributes; `on` listeners, `data` data-attributes, `vars` numbers for the style sheet (set through
 * the object model, which the page's content security policy allows, unlike a style attribute).
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === 'on') for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === 'data') Object.assign(element.dataset, value);
    else if (name === 'vars') for (const [key, number] of Object.entries(value)) element.style.setProperty(key, number);
    else if (name === 'value' || name === 'checked') element[name] = value;
    else element.setAttribute(name, value === true ? '' : value);
  }
  return add(element, ...children);
}

/** A drawing from the sprite in index.html; it says nothing to a screen reader, the words beside it do. */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS(SVG, 'use');
  use.setAttribute('href', `#i-${name}`);
  svg.append(use);
  return svg;
}

/** Replaces what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren();
  return add(element, ...children);
}

/** Sets text only where it differs, so that a ticking clock does not wake layout and screen readers for nothing. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const ticking = new Map();

/** Keeps `element` current once a second for as long as it is in the document. */
export function everySecond(element, update) {
  ticking.set(element, update);
  update(element);
  return element;
}

/** One second has passed. An element that has left the document is forgotten the second time it is missed. */
export function tick() {
  for (const [element, update] of ticking) {
    if (element.isConnected) {
      element.missed = false;
      update(element);
    } else if (element.missed) ticking.delete(element);
    else element.missed = true;
  }
}

let announcing;

/** Says something to screen readers, once, after what was said before. */
export function announce(text) {
  const place = document.getElementById('said');
  clearTimeout(announcing);
  place.textContent = '';
  announcing = setTimeout(() => { place.textContent = text; }, 60);
}

/** A modal dialog that is gone once closed; Escape closes it and focus returns to where it was. */
export function dialog(label, build, { className = '', onClose } = {}) {
  const box = h('dialog', { class: className, 'aria-label': label });
  const close = () => box.close();
  add(box, build(close, box));
  box.addEventListener('close', () => {
    box.remove();
    onClose?.();
  });
  box.addEventListener('click', (event) => { if (event.target === box) close(); });
  document.body.append(box);
  box.showModal();
  return box;
}
