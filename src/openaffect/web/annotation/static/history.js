// A person's own answers, newest first, as far back as there are any: what undo takes back.

import { get } from "./api.js";

const PAGE = 50;

export class History {
  constructor() {
    this.rows = []; // newest last: {id}
    this.before = null; // the oldest row that the server told of
    this.whole = false;
  }

  /** The server stored an answer. */
  push(id) {
    this.rows.push({ id });
  }

  /** The newest answer that can be taken back, or null. */
  async last() {
    while (this.rows.length === 0 && !this.whole) await this.#more();
    return this.rows.at(-1) ?? null;
  }

  /** It was taken back. */
  drop(row) {
    this.gone.add(row.id);
    this.rows = this.rows.filter((one) => one !== row);
  }

  gone = new Set();

  async #more() {
    const before = this.before === null ? "" : `&before=${encodeURIComponent(this.before)}`;
    const { annotations } = await get(`v1/annotations?limit=${PAGE}${before}`);
    this.whole = annotations.length < PAGE;
    if (annotations.length > 0) this.before = annotations.at(-1).id;
    const usable = annotations.filter(
      (row) => row.kind === "work" && !row.undone && !this.gone.has(row.id),
    );
    this.rows.unshift(...usable.map(({ id }) => ({ id })).reverse());
  }
}
