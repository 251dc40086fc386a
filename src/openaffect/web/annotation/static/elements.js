// What the reviewer's and the owner's pages are built of. People's words become text nodes, never
// markup, and stand alone in a <bdi>, so that marks of direction in them turn nothing else around.

import { language, nameOf } from "./texts.js";

const SVG = "http://www.w3.org/2000/svg";

/** The element of the page with this id. */
export const $ = (id) => document.getElementById(id);

/** An element with attributes (`on…`: listeners; null, false: left out) and children. */
export function make(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same of a drawing. */
export function draw(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === false || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Words of a person: shown as they are, whatever their direction. */
export const words = (value) => make("bdi", { dir: "auto" }, value);

const format = (value, options) => new Intl.NumberFormat(language().code, options).format(value);

/** A number as the language writes it; a dash where there is none. */
export function amount(value, decimals = 0) {
  if (value === null || value === undefined) return "–";
  return format(value, { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

/** A part of a whole as per cent; a dash where the whole is nothing. */
export function percent(part, whole = 1) {
  if (part === null || part === undefined || !whole) return "–";
  return format(part / whole, { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
}

/** A moment in the time of this computer, or the day alone. */
export function moment(iso, style = { dateStyle: "medium", timeStyle: "short" }) {
  const shown = new Intl.DateTimeFormat(language().code, style).format(new Date(iso));
  return make("time", { datetime: iso }, shown);
}

/** A category: its color, and its name in the page's language. */
export function expressionName(name) {
  const mark = make("span", { class: "swatch", "aria-hidden": "true" });
  mark.style.background = `var(--${name})`;
  return make("bdi", { class: "category" }, mark, nameOf("expression", name));
}

/** A bar beside a number that says the same. */
export function shareBar(share) {
  const inner = make("span");
  inner.style.inlineSize = `${100 * Math.min(Math.max(share || 0, 0), 1)}%`;
  return make("span", { class: "share", "aria-hidden": "true" }, inner);
}

/**
 * A table that scrolls inside its own box.
 *
 * caption: what it shows. heads: texts, or [text, class]. rows: lists of cells, each a text, a
 * node, or [text or node, class]; the first cell names its row. empty: what stands there instead
 * of no rows.
 */
export function table(caption, heads, rows, empty = null) {
  if (rows.length === 0 && empty) {
    return make("p", { class: "muted" }, make("b", {}, caption), ": ", empty);
  }
  const pair = (cell) => (Array.isArray(cell) ? cell : [cell, null]);
  const head = heads.map((cell) => make("th", { scope: "col", class: pair(cell)[1] }, pair(cell)[0]));
  const body = rows.map((row) =>
    make("tr", {}, ...row.map((cell, n) => {
      const [shown, kind] = pair(cell);
      return n === 0
        ? make("th", { scope: "row", class: kind }, shown)
        : make("td", { class: kind }, shown);
    })));
  return make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": caption },
    make("table", {}, make("caption", {}, caption),
      make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body)));
}

/** Checkboxes, one per [value, label]; `chosen(box)` reads them. */
export function checkboxes(box, name, choices, checked = []) {
  box.replaceChildren(...choices.map(([value, label]) => {
    const input = make("input", { type: "checkbox", name, value, checked: checked.includes(value) });
    return make("label", { class: "check" }, input, make("span", {}, label));
  }));
}

/** The values that are checked in a box. */
export const chosen = (box) =>
  [...box.querySelectorAll("input:checked")].map((input) => input.value);

/** Options of a <select>, one per [value, label]. */
export function options(select, choices, value) {
  select.replaceChildren(...choices.map(([key, label]) => make("option", { value: key }, label)));
  select.value = value;
}
