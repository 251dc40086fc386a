// The circumplex: valence to the right, arousal up, in the unit disc; to choose a point or show many.

const SVG = "http://www.w3.org/2000/svg";
const RADIUS = 100;

/** The nearest point inside the disc with two decimals; what is rounded goes toward the center. */
export function intoDisc(valence, arousal) {
  const far = Math.max(1, Math.hypot(valence, arousal));
  let [x, y] = [round(valence / far), round(arousal / far)];
  if (Math.hypot(x, y) > 1) [x, y] = [truncate(valence / far), truncate(arousal / far)];
  return { valence: x, arousal: y };
}

/** A point moved along the axes; at the border it stays there, and the other axis is left alone. */
export function move(point, right, up) {
  const { valence, arousal } = point ?? { valence: 0, arousal: 0 };
  const x = limit(valence + right, arousal);
  return { valence: x, arousal: limit(arousal + up, x) };
}

/** Whether a point lies in [v_low, v_high, a_low, a_high], borders included. */
export function inRegion(point, [vLow, vHigh, aLow, aHigh]) {
  const { valence, arousal } = point;
  return valence >= vLow && valence <= vHigh && arousal >= aLow && arousal <= aHigh;
}

const round = (value) => Math.round(value * 100) / 100 + 0;
const truncate = (value) => Math.trunc(value * 100) / 100 + 0;

function limit(value, other) {
  const most = Math.floor(Math.sqrt(Math.max(0, 1 - other * other)) * 100 + 1e-9) / 100;
  return round(Math.min(most, Math.max(-most, value)));
}

/** Places on the drawing: pixels of its view box. */
export const x = (valence) => RADIUS * valence;
export const y = (arousal) => -RADIUS * arousal;

/** An SVG element with attributes. */
export function svg(name, attributes = {}, text = null) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== null) element.textContent = text;
  return element;
}

/**
 * A circumplex that keeps its size whatever it shows.
 *
 * options.names: {label, negative, positive, calm, excited}: the name of the whole and of its ends.
 * options.onChange: called with {valence, arousal} while a person clicks, touches or drags; without
 *   it the drawing only shows. Arrow keys are the page's (keys.js and `move`).
 * options.onEnd: called when the person lets go of the point.
 * options.valueText: (point or null) → what a screen reader says of the point.
 *
 * Gives {element, layer, setNames, setRegion, setPoint, setPoints, setOthers, setDisabled}; `layer` is a <g>
 * below the points, for a density or the like.
 */
export function createCircumplex({ names, onChange = null, onEnd = () => {}, valueText = () => "" }) {
  const root = svg("svg", { class: "circumplex", viewBox: "-128 -124 256 248", direction: "ltr" });
  const texts = {
    negative: svg("text", { transform: "translate(-110 0) rotate(-90)", class: "end" }),
    positive: svg("text", { transform: "translate(110 0) rotate(90)", class: "end" }),
    excited: svg("text", { x: 0, y: -109, class: "end" }),
    calm: svg("text", { x: 0, y: 117, class: "end" }),
  };
  const clip = svg("clipPath", { id: `disc-${++drawn}` });
  clip.append(svg("circle", { r: RADIUS }));
  const region = svg("rect", { class: "region", "clip-path": `url(#disc-${drawn})` });
  const layer = svg("g", { "clip-path": `url(#disc-${drawn})` });
  const others = svg("g");
  const points = svg("g");
  root.append(clip, svg("circle", { class: "disc", r: RADIUS }), layer, region, grid());
  root.append(...Object.values(texts), others, points);
  const chart = { element: root, layer };
  let disabled = false;

  chart.setNames = (given) => {
    root.setAttribute("aria-label", given.label);
    for (const [end, text] of Object.entries(texts)) text.textContent = given[end];
  };
  /** Draw [v_low, v_high, a_low, a_high], or no region. */
  chart.setRegion = (rectangle) => {
    region.toggleAttribute("hidden", rectangle === null);
    if (rectangle === null) return;
    const [vLow, vHigh, aLow, aHigh] = rectangle;
    const size = { width: x(vHigh) - x(vLow), height: y(aLow) - y(aHigh) };
    const place = { x: x(vLow), y: y(aHigh), ...size };
    for (const [key, value] of Object.entries(place)) region.setAttribute(key, value);
  };
  /** Show the chosen point {valence, arousal}, or none. */
  chart.setPoint = (point, expression = null) => {
    points.replaceChildren(...(point === null ? [] : [chosen(point, expression)]));
    if (onChange === null) return;
    root.setAttribute("aria-valuenow", point === null ? 0 : point.valence);
    root.setAttribute("aria-valuetext", valueText(point));
  };
  /** Show many: [{valence, arousal, text, expression, title, chosen}]; `text` tells them apart. */
  chart.setPoints = (many) => points.replaceChildren(...many.map(marked));
  /** The same below the chosen one, which stays; `textAt` is where the middle of a text stands. */
  chart.setOthers = (many) => others.replaceChildren(...many.map(marked));
  chart.setDisabled = (value) => {
    disabled = value;
    root.classList.toggle("disabled", value);
    if (onChange !== null) root.setAttribute("aria-disabled", value);
  };

  chart.setNames(names);
  chart.setRegion(null);
  if (onChange === null) root.setAttribute("role", "img");
  else choose(root, (event) => !disabled && onChange(place(root, event)), () => !disabled && onEnd());
  chart.setPoint(null);
  return chart;
}

let drawn = 0; // ids of clip paths are unique in a page

function choose(root, take, end) {
  root.classList.add("choosing");
  const slider = { role: "slider", tabindex: 0, "aria-valuemin": -1, "aria-valuemax": 1 };
  for (const [key, value] of Object.entries(slider)) root.setAttribute(key, value);
  root.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    root.setPointerCapture(event.pointerId);
    event.preventDefault(); // no selection, and the focus stays where the keys are
    take(event);
  });
  root.addEventListener("pointermove", (event) => {
    if (root.hasPointerCapture(event.pointerId)) take(event);
  });
  root.addEventListener("pointerup", (event) => {
    if (root.hasPointerCapture(event.pointerId)) end();
  });
}

function place(root, event) {
  const point = new DOMPoint(event.clientX, event.clientY);
  const found = point.matrixTransform(root.getScreenCTM().inverse());
  return intoDisc(found.x / RADIUS, -found.y / RADIUS);
}

function grid() {
  const group = svg("g");
  group.append(
    svg("circle", { class: "grid", r: RADIUS / 2 }),
    svg("line", { class: "axis", x1: -RADIUS, x2: RADIUS }),
    svg("line", { class: "axis", y1: -RADIUS, y2: RADIUS }),
  );
  return group;
}

function colored(element, expression) {
  if (expression) element.style.fill = `var(--${expression})`;
  return element;
}

function chosen(point, expression) {
  const group = svg("g", { transform: `translate(${x(point.valence)} ${y(point.arousal)})` });
  group.append(
    svg("path", { class: "cross", d: "M-15 0H15M0-15V15" }),
    colored(svg("circle", { class: "point", r: 7 }), expression),
  );
  return group;
}

function marked(one) {
  const place = `translate(${x(one.valence)} ${y(one.arousal)})`;
  const group = svg("g", { transform: place, class: one.chosen ? "mark chosen" : "mark" });
  group.append(colored(svg("circle", { class: "point", r: one.chosen ? 8 : 6 }), one.expression));
  const [right, down] = one.textAt ?? [9, -6];
  const kind = one.textAt ? "mark-text centered" : "mark-text";
  if (one.text) group.append(svg("text", { x: right, y: down, class: kind }, one.text));
  if (one.title) group.append(svg("title", {}, one.title));
  return group;
}
