// Requests that must arrive: again after a lost connection, a restarted server, a full database.

import { ApiError, post } from "./api.js";

const LONGEST = 5; // seconds between two attempts
const STEADY = 0.4; // of the first

/** Wait; a connection that comes back ends it at once. */
function pause(seconds) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      removeEventListener("online", end);
      resolve();
    };
    const timer = setTimeout(end, seconds * 1000);
    addEventListener("online", end);
  });
}

/**
 * Ask until there is an answer that is final. `onTrouble` tells of the waiting: "offline" (nothing
 * answers), "busy" (the server cannot now), or null (it is over).
 */
export async function untilAnswered(ask, onTrouble = () => {}) {
  for (let tries = 0; ; tries += 1) {
    try {
      const answer = await ask();
      onTrouble(null);
      return answer;
    } catch (error) {
      if (!(error instanceof ApiError) || !error.passes) throw error;
      onTrouble(error.status === 0 ? "offline" : "busy");
      const growing = Math.min(LONGEST, STEADY * 2 ** tries);
      await pause(Math.max(error.retryAfter ?? 0, growing * (0.75 + Math.random() / 2)));
    }
  }
}

/** Sends the answers of an outbox, one after the other, in their order. */
export class Sender {
  /**
   * held: () → assignments in memory, sent with each; onAnswer(answer, body) for what was stored;
   * onRefused(entry) for what will not be sent by itself again; onChange() when a number changed.
   */
  constructor(outbox, { held, onAnswer, onRefused, onChange }) {
    Object.assign(this, { outbox, held, onAnswer, onRefused, onChange });
    this.trouble = null;
    this.running = null;
  }

  /** Keep an answer, then send it. */
  async add(body) {
    await this.outbox.add(body);
    this.onChange();
    return this.run();
  }

  /** Send what waits; the promise ends when nothing waits. */
  run() {
    this.running ??= this.#all().finally(() => (this.running = null));
    return this.running;
  }

  async #all() {
    while (this.outbox.waiting.length > 0) {
      const entry = this.outbox.waiting[0];
      try {
        await this.#one(entry);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        const { status, code, message } = error;
        await this.outbox.change(entry, { problem: { status, code, message } });
        this.onRefused(entry);
      }
      this.onChange();
    }
  }

  async #one(entry) {
    const ask = () => post("v1/annotations", { ...entry.body, held: this.held() });
    const answer = await untilAnswered(ask, (trouble) => this.#note(trouble));
    await this.outbox.remove(entry);
    this.onAnswer(answer, entry.body);
  }

  #note(trouble) {
    this.trouble = trouble;
    this.onChange();
  }
}
