// The worker behind the camera: YuNet and the model, run by onnxruntime-web. Pictures stay here.
//
// in:  {load: {model, detector, card}}   bytes of two ONNX files, and the model's card
//      {frame: ImageBitmap}
// out: {ready: {threads}}, {faces, width, height, ms}, or {problem: text}

import * as ort from "./vendor/onnxruntime-web/ort.wasm.min.mjs";
import { cropWindow, resizeWindow } from "./crops.js";
import { SIDE, toFaces, toInput } from "./yunet.js";

ort.env.wasm.wasmPaths = new URL("./vendor/onnxruntime-web/", import.meta.url).href;
ort.env.logLevel = "error";

let loaded = null;

self.onmessage = async ({ data }) => {
  try {
    if (data.load) await load(data.load);
    else await look(data.frame);
  } catch (error) {
    self.postMessage({ problem: String(error?.message ?? error) });
  }
};

async function load({ model, detector, card }) {
  const options = { executionProviders: ["wasm"] };
  const detecting = await ort.InferenceSession.create(new Uint8Array(detector), options);
  const judging = await ort.InferenceSession.create(new Uint8Array(model), options);
  loaded = { detecting, judging, card, canvas: new OffscreenCanvas(1, 1) };
  self.postMessage({ ready: { threads: ort.env.wasm.numThreads } });
}

async function look(frame) {
  const start = performance.now();
  const image = toPixels(frame);
  const faces = await judge(image, await find(image));
  const ms = performance.now() - start;
  self.postMessage({ faces, width: image.width, height: image.height, ms });
}

function toPixels(frame) {
  const { canvas } = loaded;
  canvas.width = frame.width;
  canvas.height = frame.height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(frame, 0, 0);
  frame.close();
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

async function find(image) {
  const input = toInput(image);
  const tensor = new ort.Tensor("float32", input.values, [1, 3, SIDE, SIDE]);
  const answers = await loaded.detecting.run({ input: tensor });
  const outputs = Object.fromEntries(Object.entries(answers).map(([name, t]) => [name, t.data]));
  return toFaces(outputs, input, image);
}

async function judge(image, faces) {
  if (!faces.length) return [];
  const { card, judging } = loaded;
  const [width, height] = card.size;
  const plane = width * height;
  const values = new Float32Array(faces.length * 3 * plane);
  faces.forEach((face, number) => {
    const window = cropWindow(face.box, card.crop);
    const rgb = resizeWindow(image, window, width, height, card.crop.border);
    for (let i = 0; i < plane; i++) {
      for (let c = 0; c < 3; c++) values[(3 * number + c) * plane + i] = rgb[3 * i + c];
    }
  });
  const tensor = new ort.Tensor("float32", values, [faces.length, 3, height, width]);
  const { expression, affect } = await judging.run({ image: tensor });
  return faces.map((face, number) => ({ ...face, ...describe(expression, affect, number) }));
}

function describe(expression, affect, number) {
  const row = {};
  if (expression) {
    const { labels } = loaded.card;
    row.shares = labels.map((_, i) => expression.data[number * labels.length + i]);
    row.confidence = Math.max(...row.shares);
    row.expression = labels[row.shares.indexOf(row.confidence)];
  }
  if (affect) [row.valence, row.arousal] = affect.data.slice(2 * number, 2 * number + 2);
  return row;
}
