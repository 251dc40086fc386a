// The crop rule and the resize rule of model cards, number by number as in faces/crops.py and
// images.py, so that a face seen by the browser is the face that the server would have seen.

/** Round to the nearest whole number, halves to the even one, as Python does. */
export function roundHalfEven(value) {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return rest < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}

/** The whole pixels {x, y, w, h} that a rule takes around a box [x, y, w, h]; may lie outside. */
export function cropWindow([x, y, w, h], rule) {
  const grow = 1 + 2 * rule.margin;
  const [wide, high] = rule.square ? [Math.max(w, h), Math.max(w, h)] : [w, h];
  const width = Math.max(1, roundHalfEven(wide * grow));
  const height = Math.max(1, roundHalfEven(high * grow));
  return {
    x: roundHalfEven(x + w / 2 - width / 2),
    y: roundHalfEven(y + h / 2 - height / 2),
    w: width,
    h: height,
  };
}

/**
 * A window of a picture at another size: averaged when it shrinks, bilinear when it grows.
 *
 * @param image {data, width, height} with RGBA bytes, such as ImageData.
 * @param window {x, y, w, h}; what lies outside the picture is its nearest pixel, or black.
 * @param width, height of the result.
 * @param border "replicate" or "black".
 * @returns {Uint8Array} RGB, row by row.
 */
export function resizeWindow(image, window, width, height, border = "replicate") {
  const shrinks = window.w > width || window.h > height;
  const columns = weights(window.w, width, shrinks);
  const rows = weights(window.h, height, shrinks);
  const lines = new Map(); // source lines already squeezed to the width
  const line = (number) => {
    if (!lines.has(number)) lines.set(number, squeeze(image, window, number, columns, border));
    return lines.get(number);
  };
  const result = new Uint8Array(width * height * 3);
  const sum = new Float64Array(width * 3);
  rows.forEach((parts, row) => {
    sum.fill(0);
    for (const [number, share] of parts) {
      const values = line(number);
      for (let i = 0; i < sum.length; i++) sum[i] += share * values[i];
    }
    for (const number of lines.keys()) if (number < parts[0][0]) lines.delete(number);
    for (let i = 0; i < sum.length; i++) result[row * width * 3 + i] = roundHalfEven(sum[i]);
  });
  return result;
}

/** For each target pixel, the source pixels and their shares, which sum to 1. */
function weights(from, to, shrinks) {
  const scale = from / to;
  return Array.from({ length: to }, (_, i) => (shrinks ? area(i, scale, from) : linear(i, scale, from)));
}

function area(i, scale, from) {
  const start = i * scale;
  const end = Math.min(start + scale, from);
  const parts = [];
  for (let pixel = Math.floor(start); pixel < Math.ceil(end - 1e-9); pixel++) {
    const share = (Math.min(end, pixel + 1) - Math.max(start, pixel)) / (end - start);
    if (share > 1e-9) parts.push([pixel, share]);
  }
  return parts;
}

function linear(i, scale, from) {
  const at = Math.min(Math.max((i + 0.5) * scale - 0.5, 0), from - 1);
  const low = Math.floor(at);
  return low + 1 < from && at > low ? [[low, low + 1 - at], [low + 1, at - low]] : [[low, 1]];
}

function squeeze(image, window, number, columns, border) {
  const values = new Float64Array(columns.length * 3);
  const y = window.y + number;
  if (border === "black" && (y < 0 || y >= image.height)) return values;
  const start = Math.min(Math.max(y, 0), image.height - 1) * image.width;
  columns.forEach((parts, column) => {
    for (const [pixel, share] of parts) {
      const x = window.x + pixel;
      if (border === "black" && (x < 0 || x >= image.width)) continue;
      const at = 4 * (start + Math.min(Math.max(x, 0), image.width - 1));
      for (let c = 0; c < 3; c++) values[3 * column + c] += share * image.data[at + c];
    }
  });
  return values;
}
