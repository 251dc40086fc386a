// The faces ahead: their pictures are fetched and decoded before anybody asks for them.

import { getBlob } from "./api.js";
import { untilAnswered } from "./sending.js";

/** One face that was given to this person, with its picture. */
export class HeldFace {
  constructor(face) {
    this.face = face;
    this.draft = null; // {choice, regionShown, seconds} from before another face came between
    this.image = null; // an <img> that is decoded
    this.ready = this.#load(); // true, or false if there is no such picture
  }

  /** The whole photograph as a decoded <img>. */
  async photograph() {
    this.photo ??= await decoded(this.face.photo_url);
    return this.photo;
  }

  /** The memory of the pictures is given back. */
  close() {
    for (const image of [this.image, this.photo]) if (image) URL.revokeObjectURL(image.src);
  }

  async #load() {
    try {
      this.image = await untilAnswered(() => decoded(this.face.face_url));
      return true;
    } catch {
      return false; // neither leased nor there, or no picture
    }
  }
}

async function decoded(path) {
  const image = new Image();
  image.src = URL.createObjectURL(await getBlob(path));
  await image.decode();
  return image;
}

/** Faces in the order in which they will be shown. */
export class Queue {
  constructor() {
    this.faces = [];
  }

  get assignments() {
    return this.faces.map((held) => held.face.assignment);
  }

  /** Append faces that are not here yet; `known` are assignments that are elsewhere. */
  add(faces, known) {
    const here = new Set([...known, ...this.assignments]);
    const fresh = faces.filter((face) => !here.has(face.assignment));
    this.faces.push(...fresh.map((face) => new HeldFace(face)));
  }

  /** Put one first. */
  unshift(held) {
    this.faces = this.faces.filter((one) => one.face.assignment !== held.face.assignment);
    this.faces.unshift(held);
  }

  shift() {
    return this.faces.shift() ?? null;
  }
}
