// What is drawn: boxes with labels over a picture, and dots on the circumplex.

const SVG = "http://www.w3.org/2000/svg";
const HALF = 130;
const REACH = 100; // of the value 1

/** The color of an expression, as the style sheet has it now (light or dark). */
export function colorOf(expression) {
  const style = getComputedStyle(document.documentElement);
  return style.getPropertyValue(`--${expression}`).trim() || style.getPropertyValue("--accent").trim();
}

/** An element with a class and text. */
export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

/** A number with two digits and a true minus sign; a dash for none. */
export function show(value) {
  return value === null || value === undefined ? "–" : value.toFixed(2).replace("-", "−");
}

/** Boxes and labels of faces on a canvas of the picture's size in pixels. */
export function drawFaces(canvas, faces) {
  const context = canvas.getContext("2d");
  // Lines and letters have the same size on the screen whatever the picture's size is.
  const unit = Math.max(canvas.width / (canvas.clientWidth || canvas.width), 0.5);
  context.font = `600 ${14 * unit}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  faces.forEach((face, number) => {
    if (!face.box) return;
    const [x, y, w, h] = face.box;
    const color = face.expression ? colorOf(face.expression) : "#808080";
    context.lineWidth = 2.5 * unit;
    context.strokeStyle = color;
    context.strokeRect(x, y, w, h);
    const wide = (text) => context.measureText(text).width + 10 * unit;
    const texts = describe(face, number);
    // Where faces are small the words would hide their neighbors; the table has them too.
    const text = faces.length === 1 ? texts[0] : texts.find((one) => wide(one) < 1.5 * w) ?? texts.at(-1);
    const width = wide(text);
    const left = Math.max(0, Math.min(x, canvas.width - width));
    const top = y >= 22 * unit ? y - 22 * unit : Math.max(0, Math.min(y + h, canvas.height - 22 * unit));
    context.fillStyle = color;
    context.fillRect(left, top, width, 22 * unit);
    context.fillStyle = isLight(color) ? "#111" : "#fff";
    context.fillText(text, left + 5 * unit, top + 11.5 * unit);
  });
}

/** What may stand at a box, the longest first. */
function describe(face, number) {
  const name = `${number + 1} ${face.expression ?? "face"}`;
  const known = face.confidence !== undefined && face.confidence !== null;
  return [known ? `${name} ${Math.round(face.confidence * 100)} %` : name, name, String(number + 1)];
}

function isLight(color) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
  return 0.299 * r + 0.587 * g + 0.114 * b > 140;
}

/**
 * A circumplex: valence to the right, arousal upwards, the unit circle, a word at each mean.
 *
 * @param means of each expression, [valence, arousal].
 * @returns {{element: SVGElement, show: (faces) => void}}
 */
export function makeCircumplex(means) {
  const svg = shape("svg", { viewBox: `${-HALF} ${-HALF} ${2 * HALF} ${2 * HALF}`, role: "img" });
  svg.classList.add("circumplex");
  const title = svg.appendChild(shape("title", {}));
  svg.append(
    shape("circle", { r: REACH, class: "disc" }),
    shape("line", { x1: -REACH, x2: REACH, y1: 0, y2: 0, class: "axis" }),
    shape("line", { x1: 0, x2: 0, y1: -REACH, y2: REACH, class: "axis" }),
    word("valence →", REACH, 14, "end", "axis-name"),
    word("arousal ↑", 6, -REACH - 8, "start", "axis-name"),
  );
  svg.append(...placeMeans(means).map(({ name, x, y }) => word(name, x, y, "middle", "mean")));
  const dots = svg.appendChild(shape("g", {}));
  return { element: svg, show: (faces) => showDots(dots, title, faces) };
}

/** Where the words go: at the means, moved down where they would lie on each other. */
function placeMeans(means) {
  const placed = [];
  const sorted = Object.entries(means).sort((a, b) => b[1][1] - a[1][1]);
  for (const [name, [valence, arousal]] of sorted) {
    const x = valence * REACH;
    let y = -arousal * REACH + 3;
    for (const other of placed) {
      if (Math.abs(other.x - x) < 42 && Math.abs(other.y - y) < 10) y = other.y + 10;
    }
    placed.push({ name, x, y });
  }
  return placed;
}

function showDots(group, title, faces) {
  const placed = faces.filter((face) => Number.isFinite(face.valence));
  group.replaceChildren(
    ...placed.flatMap((face, number) => {
      const at = { cx: face.valence * REACH, cy: -face.arousal * REACH };
      const dot = shape("circle", { ...at, r: 6, class: "dot" });
      dot.style.fill = face.expression ? colorOf(face.expression) : "";
      const label = placed.length > 1 ? [word(String(number + 1), at.cx + 8, at.cy - 6, "start", "dot-name")] : [];
      return [dot, ...label];
    }),
  );
  title.textContent = placed.length
    ? placed.map((face, n) => `face ${n + 1}: valence ${show(face.valence)}, arousal ${show(face.arousal)}`).join("; ")
    : "no face";
}

function shape(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function word(text, x, y, anchor, className) {
  const element = shape("text", { x, y, "text-anchor": anchor, class: className });
  element.textContent = text;
  return element;
}
