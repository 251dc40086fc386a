// What stands on the annotator's page; it shows what it is told and decides nothing.

import { createCircumplex, svg, x, y } from "./circumplex.js";
import { keyName } from "./keys.js";
import { affect, nameOf, t } from "./texts.js";

export const byId = (id) => document.getElementById(id);

/** An element with a class, a text, and children. */
export function make(name, { className = "", text = "", ...more } = {}, ...children) {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text) element.textContent = text;
  Object.assign(element, more);
  element.append(...children);
  return element;
}

/** Show one screen and hide the others. */
export function showScreen(name) {
  for (const one of document.querySelectorAll("[data-screen]")) {
    one.hidden = one.dataset.screen !== name;
  }
}

export const currentScreen = () =>
  document.querySelector("[data-screen]:not([hidden])")?.dataset.screen;

const VIEW = ["photograph", "landmarks", "zoom_out", "zoom_in"];
const MARKS = ["occluded", "flag", "comment"];
const ACTIONS = ["save", "skip", "undo", "redo"];
const SIGNS = { zoom_in: "+", zoom_out: "−" }; // whose names are for screen readers
const TOGGLES = new Set(["photograph", "landmarks", ...MARKS]);
const MOST_ZOOM = 3;

export class View {
  /** act(action): a button was pressed; onPoint(point), onPointEnd(): the circumplex was used. */
  constructor({ labels, keys, act, onPoint, onPointEnd }) {
    Object.assign(this, { labels, keys, act });
    this.said = new Map(); // messages by their kind
    this.buttons = {};
    this.chart = createCircumplex({
      names: {}, onChange: onPoint, onEnd: onPointEnd, valueText: pointText,
    });
    byId("circumplex").replaceChildren(this.chart.element);
    this.rename();
  }

  /** Write all names again: the language or the keys changed. */
  rename() {
    const ends = ["label", "negative", "positive", "calm", "excited"];
    this.chart.setNames(Object.fromEntries(ends.map((end) => [end, t(`circumplex.${end}`)])));
    byId("categories").replaceChildren(...this.labels.map((label) => this.#category(label)));
    byId("view").replaceChildren(...VIEW.map((action) => this.#button(action)));
    byId("marks").replaceChildren(...MARKS.map((action) => this.#button(action)));
    byId("actions").replaceChildren(...ACTIONS.map((action) => this.#button(action)));
    this.buttons.save.classList.add("main");
  }

  /** Show a decoded picture; `painted` is called in the frame that shows it. */
  showFace(image, painted) {
    this.setZoom(0);
    this.showPicture(image, t("work.face_alt"));
    byId("face-wait").textContent = "";
    this.setBusy(true);
    requestAnimationFrame(painted);
  }

  /** Whether the face is still to come. */
  setBusy(busy) {
    byId("face").setAttribute("aria-busy", busy);
  }

  /** The face or its photograph, in the same box. */
  showPicture(image, alt) {
    image.alt = alt;
    byId("picture").replaceChildren(image);
  }

  /** No face is here. */
  showWaiting(text) {
    byId("picture").replaceChildren();
    byId("landmarks").toggleAttribute("hidden", true);
    byId("face-wait").textContent = text;
    this.setBusy(true);
  }

  /** 68 points in 0–1 of the picture, or null for none. */
  showLandmarks(points, image) {
    const drawing = byId("landmarks");
    drawing.toggleAttribute("hidden", points === null);
    if (points === null) return;
    const { naturalWidth: width, naturalHeight: height } = image;
    const size = Math.max(width, height) / 448;
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    drawing.replaceChildren(
      ...points.map(([px, py]) =>
        svg("circle", { cx: px * width, cy: py * height, r: 2 * size, "stroke-width": size }),
      ),
    );
  }

  setZoom(steps) {
    this.zoom = Math.min(MOST_ZOOM, Math.max(0, steps));
    byId("face").className = `zoom-${this.zoom}`;
  }

  /** Show a choice {expression, point, occluded, flag, comment} and a region or null. */
  showChoice(choice, region) {
    for (const label of this.labels) {
      this.buttons[label].setAttribute("aria-pressed", label === choice.expression);
      this.buttons[label].classList.remove("expected");
    }
    this.press("occluded", choice.occluded);
    this.press("flag", choice.flag);
    this.press("comment", choice.comment !== "");
    this.chart.setDisabled(choice.expression === "uncertain" || choice.expression === "no_face");
    this.chart.setRegion(region);
    this.chart.setPoint(choice.point, choice.expression);
    byId("valence").textContent = choice.point === null ? "–" : affect(choice.point.valence);
    byId("arousal").textContent = choice.point === null ? "–" : affect(choice.point.arousal);
  }

  /** Beside one's own point, the expected one. */
  showExpected({ expression, valence, arousal }, choice) {
    this.buttons[expression]?.classList.add("expected");
    // One text below and one above, for the points are often near.
    const [below, above] = [{ textAt: [0, 18] }, { textAt: [0, -16] }];
    const mine = choice.point && { ...choice.point, text: t("mark.you"), ...below, chosen: true };
    const theirs = valence !== null && { valence, arousal, text: t("mark.expected"), ...above };
    const points = [
      mine && { ...mine, expression: choice.expression }, theirs && { ...theirs, expression },
    ];
    this.chart.setPoints(points.filter(Boolean));
  }

  /** What a model said, as an empty square on the circumplex; null for nothing. */
  showPrelabel(said) {
    const shown = said !== null && said.valence !== null;
    const square = () =>
      svg("rect", {
        class: "prelabel", x: x(said.valence) - 6, y: y(said.arousal) - 6, width: 12, height: 12,
      });
    this.chart.layer.replaceChildren(...(shown ? [square()] : []));
  }

  /** The state of a button that stays pressed. */
  press(action, on) {
    this.buttons[action].setAttribute("aria-pressed", Boolean(on));
  }

  enable(action, on) {
    this.buttons[action].disabled = !on;
  }

  /** The name of the main button: `save` or `next`. */
  nameMain(text) {
    this.buttons.save.firstChild.textContent = t(`action.${text}`);
  }

  /**
   * Say something in the place for messages, or take it back with null.
   * One message of each kind; the later kind stands above. `button`: {text, press}.
   */
  say(kind, text, { strong = false, button = null } = {}) {
    if (text === null && !this.said.has(kind)) return;
    this.said.delete(kind);
    if (text !== null) this.said.set(kind, { text, strong, button });
    const lines = [...this.said.values()].reverse().map((one) => {
      const line = make("p", { className: one.strong ? "strong" : "", text: one.text });
      if (one.button) line.append(make("button", { type: "button", text: one.button.text, onclick: one.button.press }));
      return line;
    });
    byId("messages").replaceChildren(...lines);
  }

  /** Say it to screen readers alone. */
  announce(text) {
    byId("announce").textContent = text;
  }

  showNumbers({ today, work }, left, skipped, training) {
    const counts = training
      ? [t("work.training", training)]
      : [t("work.today", { count: today }), t("work.all", { count: work })];
    byId("counts").textContent = counts.join(" · ");
    const rest = training || left === null ? [] : [t("work.left", { count: left })];
    if (skipped > 0) rest.push(t("work.skipped", { count: skipped }));
    byId("left").textContent = rest.join(" · ");
  }

  /** How many answers wait, and why: trouble is "offline", "busy" or null. */
  showSent(waiting, trouble, refused) {
    const saved = waiting === 0 ? "work.saved" : `work.${trouble ?? "waiting"}`;
    const parts = waiting === 0 && refused > 0 ? [] : [t(saved, { count: waiting })];
    if (refused > 0) parts.push(t("work.refused", { count: refused }));
    const text = parts.join(" · ");
    if (byId("sent-text").textContent !== text) byId("sent-text").textContent = text;
    byId("show-refused").hidden = refused === 0;
  }

  #category(label) {
    const swatch = make("span", { className: "swatch" });
    swatch.style.background = `var(--${label})`;
    const name = make("span", { text: nameOf("expression", label) });
    const button = make("button", { type: "button" }, swatch, name, this.#key(label));
    return this.#wire(label, button, true);
  }

  #button(action) {
    const text = t(`action.${action}`);
    const button = make("button", { type: "button" }, make("span", { text: SIGNS[action] ?? text }));
    if (action in SIGNS) {
      button.setAttribute("aria-label", text);
      button.title = `${text} (${this.#key(action).textContent})`;
    } else button.append(this.#key(action));
    return this.#wire(action, button, TOGGLES.has(action));
  }

  #wire(action, button, toggles) {
    button.dataset.action = action;
    if (toggles) button.setAttribute("aria-pressed", false);
    button.addEventListener("click", (event) => {
      // After a mouse's click the keys belong to the page again: Enter saves.
      if (event.detail > 0) button.blur();
      this.act(action);
    });
    this.buttons[action] = button;
    return button;
  }

  #key(action) {
    const [code] = this.keys().codes(action);
    const key = make("kbd", { text: keyName(code, t) });
    key.setAttribute("aria-hidden", "true"); // the name of the button is enough
    return key;
  }
}

/** A point in words. */
export function pointText(point) {
  if (point === null) return t("circumplex.empty");
  const { valence, arousal } = point;
  return t("circumplex.point", { valence: affect(valence), arousal: affect(arousal) });
}
