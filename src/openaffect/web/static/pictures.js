// Pictures that are dropped or chosen: sent to this server one by one, shown with what it says.

import { drawFaces, make, makeCircumplex, show } from "./drawing.js";
import { ask } from "./server.js";

const MOST_PIXELS = 1600; // of the longer side on the page
const AT_ONCE = 3;

/** Make the drop zone work. */
export function startPictures({ zone, input, results, status, means }) {
  const take = async (files) => {
    const pictures = [...files];
    if (!pictures.length) return;
    status.textContent = `Looking at ${count(pictures.length)} …`;
    const waiting = pictures.map((file) => ({ file, place: results.appendChild(make("article", "result")) }));
    results.prepend(...waiting.map(({ place }) => place));
    const seen = waiting.length;
    const work = async () => {
      for (let one = waiting.shift(); one; one = waiting.shift()) await analyze(one.file, one.place, means());
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    status.textContent = `Done with ${count(seen)}.`;
  };
  input.addEventListener("change", async () => {
    await take(input.files);
    input.value = "";
  });
  for (const kind of ["dragenter", "dragover"]) {
    zone.addEventListener(kind, (event) => {
      event.preventDefault();
      zone.classList.add("over");
    });
  }
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    take(event.dataTransfer.files);
  });
}

function count(n) {
  return n === 1 ? "one picture" : `${n} pictures`;
}

async function analyze(file, place, means) {
  place.append(make("h3", "", file.name), make("p", "muted", "…"));
  const form = new FormData();
  form.append("images", file);
  try {
    const answer = await (await ask("/v1/analyze", { method: "POST", body: form })).json();
    await showResult(file, answer, place, means);
  } catch (error) {
    const reason = error instanceof TypeError ? "the server does not answer" : error.message;
    place.replaceChildren(make("h3", "", file.name), make("p", "problem", reason));
  }
}

async function showResult(file, answer, place, means) {
  const [picture] = answer.images;
  const faces = picture.rows.filter((row) => row.status === "ok");
  const head = make("h3", "", file.name);
  const summary = summarize(picture, faces);
  const bad = picture.rows.filter((row) => row.status === "error");
  const problems = bad.map((row) => make("p", "problem", row.error));
  if (!picture.width) {
    place.replaceChildren(head, ...problems);
    return;
  }
  const canvas = make("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${file.name}: ${summary}`);
  const body = make("div", "columns");
  const side = make("div", "side");
  body.append(canvas, side);
  place.replaceChildren(head, make("p", "muted", summary), ...problems, body);
  if (faces.length) {
    if (answer.model.affect) {
      const circumplex = makeCircumplex(means);
      circumplex.show(faces);
      side.append(circumplex.element);
    }
    side.append(makeTable(faces, answer.model.labels));
  }
  await paint(canvas, file, picture, faces);
}

function summarize(picture, faces) {
  if (!picture.width) return "not readable";
  if (!picture.faces_found) return "no face found";
  const found = picture.faces_found === 1 ? "one face" : `${picture.faces_found} faces`;
  return picture.faces_found > faces.length ? `${found}, ${faces.length} shown` : found;
}

/** The picture with its boxes; redrawn when light turns to dark. */
async function paint(canvas, file, picture, faces) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    canvas.replaceWith(make("p", "muted", "This browser cannot show this kind of picture; the server could read it."));
    return;
  }
  const scale = Math.min(1, MOST_PIXELS / Math.max(picture.width, picture.height));
  canvas.width = Math.round(picture.width * scale);
  canvas.height = Math.round(picture.height * scale);
  const scaled = faces.map((face) => ({ ...face, box: face.box?.map((v) => v * scale) }));
  const draw = () => {
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    drawFaces(canvas, scaled);
  };
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}

function makeTable(faces, labels) {
  const table = make("table");
  const head = table.createTHead().insertRow();
  for (const name of ["", "expression", "", "valence", "arousal"]) head.append(make("th", "", name));
  const body = table.createTBody();
  faces.slice(0, 50).forEach((face, number) => {
    const row = body.insertRow();
    row.append(make("th", "", String(number + 1)), make("td", "", face.expression ?? "–"));
    row.append(makeBar(face), make("td", "number", show(face.valence)), make("td", "number", show(face.arousal)));
    row.title = labels.map((label) => `${label} ${show(face[`p_${label}`])}`).join("\n");
  });
  const wrapped = make("div", "scroll");
  wrapped.append(table);
  if (faces.length > 50) wrapped.append(make("p", "muted", `and ${faces.length - 50} smaller faces`));
  return wrapped;
}

function makeBar(face) {
  const cell = make("td", "number");
  if (face.confidence === null) return cell;
  const meter = make("meter");
  meter.value = face.confidence;
  meter.setAttribute("aria-label", "confidence");
  cell.append(meter, ` ${Math.round(face.confidence * 100)} %`);
  return cell;
}
