// The face under review: always of one size, with its landmarks, or the photograph that it is from.

import { getBlob } from "./api.js";
import { $, draw } from "./elements.js";
import { t } from "./texts.js";

const loading = new Map(); // address → promise of an object URL
let shown = null; // the item whose picture is on the screen
let photograph = false;
let landmarks = false;

/** Fetch a picture before it is needed. */
export function preload(item) {
  if (item) fetched(item.face_url).catch(() => {}); // said when it is to be shown
}

function fetched(address) {
  if (!loading.has(address)) {
    const url = getBlob(address).then((blob) => URL.createObjectURL(blob));
    url.catch(() => loading.delete(address)); // the next time asks again
    loading.set(address, url);
  }
  return loading.get(address);
}

/** Let go of an item's pictures. */
export function forget({ face_url, photo_url }) {
  for (const address of [face_url, photo_url]) {
    loading.get(address)?.then(URL.revokeObjectURL, () => {});
    loading.delete(address);
  }
}

/** Show an item's face; the promise ends when it is painted. */
export async function showFace(item) {
  shown = item;
  photograph = false;
  await paint();
}

/** The face, or its photograph. */
export async function togglePhotograph() {
  if (!shown?.photo_url) return;
  photograph = !photograph;
  await paint();
}

/** Landmarks drawn or not: for this face and the next ones. */
export function toggleLandmarks() {
  landmarks = !landmarks;
  overlay();
}

async function paint() {
  const item = shown;
  const image = $("picture");
  $("photograph").disabled = !item.photo_url;
  $("photograph").setAttribute("aria-pressed", photograph);
  image.alt = "";
  image.removeAttribute("src");
  overlay();
  const url = await fetched(photograph ? item.photo_url : item.face_url);
  if (item !== shown) return;
  image.src = url;
  image.alt = t(photograph ? "review.picture_photograph" : "review.picture_face");
  await image.decode().catch(() => {}); // another picture came meanwhile
  await new Promise(requestAnimationFrame);
  if (item === shown) overlay();
}

function overlay() {
  $("stage").querySelector("svg")?.remove();
  $("landmarks").disabled = !shown?.landmarks;
  $("landmarks").setAttribute("aria-pressed", landmarks && Boolean(shown?.landmarks));
  const { naturalWidth: width, naturalHeight: height } = $("picture");
  if (!landmarks || photograph || !shown?.landmarks || width === 0) return;
  // The same box as the picture, which is fitted in the middle.
  const radius = Math.max(width, height) / 120;
  $("stage").append(draw("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" },
    ...shown.landmarks.map(([x, y]) => draw("circle", { cx: x * width, cy: y * height, r: radius }))));
}
