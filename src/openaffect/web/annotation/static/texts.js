// The texts of the pages in one language; the server fills what is missing with English.

import { get } from "./api.js";

let current = { code: "en", direction: "ltr", unreviewed: false, texts: {}, instructions: null };
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]/;
const TURNING_MARKS = /[\u202a-\u202e\u2066-\u2069]/g;

/** Every language there is: [{code, name, direction, unreviewed}]. */
export async function listLanguages() {
  return (await get("v1/texts", { signIn: false })).languages;
}

/** Of the languages there are, the first that the browser asks for; else English. */
export function preferredLanguage(languages, asked = navigator.languages ?? ["en"]) {
  const codes = languages.map((one) => one.code);
  const found = asked.map((tag) => tag.split("-")[0]).find((code) => codes.includes(code));
  return found ?? "en";
}

/** Load a language; <html> gets its code and direction, and every `data-t` of the page its text. */
export async function loadTexts(code) {
  current = await get(`v1/texts/${encodeURIComponent(code)}`, { signIn: false });
  document.documentElement.lang = current.code;
  document.documentElement.dir = current.direction;
  applyTexts(document);
  return current;
}

/** {code, name, direction, unreviewed, texts, instructions} of the language that is shown. */
export const language = () => current;

/** The text of a key, with `{name}` replaced by values; numbers as the language writes them. */
export function t(key, values = {}) {
  const text = current.texts[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? show(values[name]) : whole));
}

/** The name of an expression, a state, a role, …: the text of `prefix.value`. */
export const nameOf = (prefix, value) => t(`${prefix}.${value}`);

/** A number with as many decimals, as the language writes it. */
export function number(value, decimals = 0) {
  const digits = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
  return new Intl.NumberFormat(current.code, digits).format(value);
}

/** A valence or arousal as it is shown everywhere: +0.35, −0.20. */
export function affect(value) {
  const digits = { minimumFractionDigits: 2, maximumFractionDigits: 2, signDisplay: "exceptZero" };
  return new Intl.NumberFormat(current.code, digits).format(value).replace("-", "−");
}

/** Fill `data-t` (text), `data-t-label` (aria-label), `data-t-placeholder`, `data-t-title`. */
export function applyTexts(root) {
  for (const one of root.querySelectorAll("[data-t]")) one.textContent = t(one.dataset.t);
  for (const one of root.querySelectorAll("[data-t-label]")) {
    one.setAttribute("aria-label", t(one.dataset.tLabel));
  }
  for (const one of root.querySelectorAll("[data-t-placeholder]")) {
    one.placeholder = t(one.dataset.tPlaceholder);
  }
  for (const one of root.querySelectorAll("[data-t-title]")) one.title = t(one.dataset.tTitle);
}

function show(value) {
  if (typeof value === "number") return number(value, Number.isInteger(value) ? 0 : 2);
  // Marks of direction in a name, or a name that runs the other way, must not turn the sentence
  // around it.
  const text = String(value).replace(TURNING_MARKS, "");
  const other = RIGHT_TO_LEFT.test(text) !== (current.direction === "rtl");
  return other ? `\u2068${text}\u2069` : text;
}
