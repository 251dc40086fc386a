// YuNet in the browser: what goes into the net, and how its outputs become boxes.
//
// The net has one output of each kind for each of three grids, of 8, 16 and 32 pixels a cell:
// cls and obj (both in [0, 1]) and bbox (offset of the center and logarithm of the size, in
// cells). A face's score is the root of cls × obj. This is how OpenCV's FaceDetectorYN reads them.

import { resizeWindow } from "./crops.js";

/** The side of the net's input, in pixels. */
export const SIDE = 320;

/** The score below which a find is no face. */
export const MIN_SCORE = 0.6;

const STRIDES = [8, 16, 32];
const SAME_FACE = 0.3; // intersection over union
const INSIDE = 0.7; // of the smaller box

/**
 * The net's input: the picture with its longer side at 320, in the upper left of a black square.
 *
 * @param image {data, width, height} with RGBA bytes.
 * @returns {{values: Float32Array, scaleX: number, scaleY: number}} planes of blue, green and red,
 *   0–255, and the pixels of the picture in one of the input.
 */
export function toInput(image) {
  const factor = SIDE / Math.max(image.width, image.height);
  const width = Math.max(1, Math.round(image.width * factor));
  const height = Math.max(1, Math.round(image.height * factor));
  const whole = { x: 0, y: 0, w: image.width, h: image.height };
  const rgb = resizeWindow(image, whole, width, height);
  const values = new Float32Array(3 * SIDE * SIDE);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++) {
        values[((2 - c) * SIDE + y) * SIDE + x] = rgb[3 * (y * width + x) + c];
      }
    }
  }
  return { values, scaleX: image.width / width, scaleY: image.height / height };
}

/**
 * The faces in the outputs of the net, the largest first.
 *
 * @param outputs of each name (cls_8, …) its values.
 * @param input from `toInput`.
 * @param image whose width and height bound the boxes.
 * @returns [{box: [x, y, w, h], score}] in pixels of the picture, inside it.
 */
export function toFaces(outputs, input, image, minScore = MIN_SCORE) {
  const found = STRIDES.flatMap((stride) => readGrid(outputs, stride, minScore));
  return keepBest(found)
    .map(({ box: [x, y, w, h], score }) => ({
      box: [x * input.scaleX, y * input.scaleY, w * input.scaleX, h * input.scaleY],
      score,
    }))
    .map((face) => ({ ...face, box: clip(face.box, image) }))
    .filter((face) => face.box !== null)
    .sort((a, b) => b.box[2] * b.box[3] - a.box[2] * a.box[3]);
}

function readGrid(outputs, stride, minScore) {
  const cls = outputs[`cls_${stride}`];
  const obj = outputs[`obj_${stride}`];
  const bbox = outputs[`bbox_${stride}`];
  const columns = SIDE / stride;
  const found = [];
  for (let cell = 0; cell < cls.length; cell++) {
    const score = Math.sqrt(clamp(cls[cell]) * clamp(obj[cell]));
    if (score < minScore) continue;
    const w = Math.exp(bbox[4 * cell + 2]) * stride;
    const h = Math.exp(bbox[4 * cell + 3]) * stride;
    const cx = ((cell % columns) + bbox[4 * cell]) * stride;
    const cy = (Math.floor(cell / columns) + bbox[4 * cell + 1]) * stride;
    if ([w, h, cx, cy].every(Number.isFinite)) found.push({ box: [cx - w / 2, cy - h / 2, w, h], score });
  }
  return found;
}

/** Each face once: of boxes that overlap, the one with the highest score. */
function keepBest(found) {
  const kept = [];
  for (const face of found.sort((a, b) => b.score - a.score)) {
    if (!kept.some((other) => isSame(face.box, other.box))) kept.push(face);
  }
  return kept;
}

function isSame(a, b) {
  const w = Math.min(a[0] + a[2], b[0] + b[2]) - Math.max(a[0], b[0]);
  const h = Math.min(a[1] + a[3], b[1] + b[3]) - Math.max(a[1], b[1]);
  if (w <= 0 || h <= 0) return false;
  const [first, second] = [a[2] * a[3], b[2] * b[3]];
  return w * h > SAME_FACE * (first + second - w * h) || w * h > INSIDE * Math.min(first, second);
}

/** The part of a box inside the picture; null if its center is not, which is no face. */
function clip([x, y, w, h], { width, height }) {
  const [cx, cy] = [x + w / 2, y + h / 2];
  if (cx < 0 || cy < 0 || cx >= width || cy >= height) return null;
  const [left, top] = [Math.max(x, 0), Math.max(y, 0)];
  return [left, top, Math.min(x + w, width) - left, Math.min(y + h, height) - top];
}

function clamp(value) {
  return Math.min(Math.max(value, 0), 1);
}
