// Annotating: the face on the screen, what is chosen for it, and what becomes of it.

import { ApiError, post } from "./api.js";
import { FaceScreen, canRedo, sayPoint } from "./face_screen.js";
import { HeldFace, Queue } from "./faces.js";
import { History } from "./history.js";
import { uuid7 } from "./ids.js";
import { Sender, untilAnswered } from "./sending.js";
import { t } from "./texts.js";
import { View, byId, currentScreen } from "./view.js";

const REST = 5 * 60; // seconds without an answer are a rest

export class Work {
  /** me: from the server; keys(): the KeyMap; leave(reason): no face, or a screen is due. */
  constructor({ me, outbox, keys, leave, dialogs }) {
    Object.assign(this, { me, outbox, leave });
    this.queue = new Queue();
    this.history = new History();
    this.current = null;
    this.skipping = new Set(); // assignments that are on their way back
    this.busy = null; // "checking" | "feedback" | "undo": what keeps the face on the screen
    this.trouble = null; // of asking for faces; see `untilAnswered`
    this.training = me.training;
    this.numbers = { counts: me.counts, left: null, skipped: me.counts.skipped };
    this.workedSince = this.savedAt = performance.now();
    this.sender = new Sender(outbox, {
      held: () => this.#held(),
      onAnswer: (answer, body) => this.#stored(answer, body),
      onRefused: (entry) => this.#refused(entry),
      onChange: () => this.showSent(),
    });
    this.view = new View({
      labels: me.labels, keys, act: (action) => this.act(action),
      onPoint: (point) => this.#ready() && this.screen.choosePoint(point),
      onPointEnd: () => this.#saveByItself(),
    });
    this.screen = new FaceScreen({
      me, view: this.view, dialogs, onComplete: () => this.#saveByItself(),
    });
  }

  /** Send what an earlier tab left, and ask for faces. */
  async start() {
    this.view.showWaiting(t("work.loading"));
    this.#showNumbers();
    this.showSent();
    if (!this.outbox.keeps) this.view.say("kept", t("message.not_kept"));
    this.sender.run();
    await this.ask();
  }

  /** Ask for faces until five are here. */
  async ask(path = "v1/faces/next") {
    const ask = () => post(path, { held: this.#held() });
    this.#accept(await untilAnswered(ask, (trouble) => this.#trouble(trouble)));
  }

  /** Do what a key or a button says. */
  act(action) {
    if (this.busy === "feedback") {
      if (action === "save") this.#afterFeedback();
      return;
    }
    if (action === "undo") return void this.undo();
    if (!this.#ready() || this.screen.act(action)) return;
    if (action === "save") this.save();
    else if (action === "skip" && this.current.face.kind !== "training") this.skip();
    else if (action === "redo") this.redo();
  }

  /** Write everything again: the language, the keys or a setting changed. */
  rename() {
    this.view.rename();
    this.#showNumbers();
    this.showSent();
    if (this.screen.held !== null) this.screen.show();
    else this.view.showWaiting(t("work.loading"));
  }

  /** Say how many answers wait. */
  showSent() {
    const { outbox, sender } = this;
    const refused = outbox.refused.filter((entry) => !entry.aside).length;
    const waiting = outbox.waiting.length + outbox.adding.length;
    this.view.showSent(waiting, sender.trouble ?? this.trouble, refused);
    if (!outbox.keeps) this.view.say("kept", t("message.not_kept"));
  }

  // The face

  #held() {
    const current = this.current === null ? [] : [this.current.face.assignment];
    const all = [...current, ...this.queue.assignments, ...this.outbox.assignments];
    return [...new Set([...all, ...this.skipping])];
  }

  #accept(answer) {
    const { left, skipped, counts, reason, training = this.training } = answer;
    this.numbers = { left, skipped, counts: counts ?? this.numbers.counts };
    this.reason = reason;
    this.training = training;
    const current = this.current === null ? [] : [this.current.face.assignment];
    this.queue.add(answer.faces, [...current, ...this.outbox.assignments, ...this.skipping]);
    this.#showNumbers();
    if (this.reason === "paused" && this.busy !== "feedback") this.#forgetFaces();
    if (this.current === null) this.#advance();
  }

  /** A person who is paused judges no face any more; what was saved is sent. */
  #forgetFaces() {
    for (const held of [this.current, ...this.queue.faces]) held?.close();
    this.current = this.busy = null;
    this.queue = new Queue();
  }

  #advance() {
    this.current = this.queue.shift();
    if (this.current !== null) {
      this.#begin(this.current);
      return;
    }
    this.screen.clear(t(this.#isCut() ? "work.no_connection" : "work.loading"));
    this.#empty();
  }

  /** Nothing is in memory: say why, once all is sent; or ask again. */
  async #empty() {
    if (this.outbox.waiting.length + this.outbox.adding.length > 0) return; // an answer will come
    if (this.reason !== null) {
      const reason = this.reason;
      this.reason = null;
      this.leave(reason, this);
    } else if (!this.asking) {
      this.asking = true;
      await this.ask().finally(() => (this.asking = false));
    }
  }

  async #begin(held) {
    if (held.image === null) this.screen.clear(t("work.loading"));
    if (held.image === null && !(await held.ready)) {
      if (this.current === held) this.skip(); // the picture is gone
      return;
    }
    if (this.current === held) this.screen.begin(held);
  }

  // Save, skip, undo, redo

  save() {
    if (this.screen.check()) this.#submit();
  }

  /** With the option `auto_save`, once expression and point are both there. */
  #saveByItself() {
    if (this.me.auto_save && this.#ready() && this.screen.whole) this.save();
  }

  #submit() {
    const done = this.current;
    this.sender.add({ id: uuid7(), ...this.screen.answer() });
    if (done.face.kind === "training") {
      this.busy = "checking";
      this.view.say("feedback", t("message.checking"));
    } else {
      this.#advance();
      done.close();
    }
    this.#remindOfBreak();
  }

  async skip() {
    const done = this.current;
    const { assignment, kind } = done.face;
    this.skipping.add(assignment);
    this.#advance();
    done.close();
    if (kind === "training") return; // its picture is gone: it is left out, and not asked for again
    try {
      const held = () => this.#held().filter((one) => one !== assignment);
      const ask = () => post("v1/faces/skip", { assignment, held: held() });
      const answer = await untilAnswered(ask, (trouble) => this.#trouble(trouble));
      this.skipping.delete(assignment);
      this.#accept(answer);
    } catch (error) {
      this.skipping.delete(assignment);
      if (!(error instanceof ApiError)) throw error;
      this.view.say("history", t("message.failed", { message: error.message }));
      if (this.current === null) this.ask();
    }
  }

  /** Take the newest answer back and show its face again. */
  async undo() {
    if (this.busy === "undo") this.undos += 1; // pressed again before the first was done
    if (this.busy !== null) return;
    if (this.#isCut()) {
      this.tell(t("message.undo_offline"));
      return;
    }
    this.busy = "undo";
    this.undos = 1;
    try {
      if (this.outbox.assignments.length > 0) this.tell(t("message.undo_waits"));
      await this.#sent();
      for (; this.undos > 0; this.undos -= 1) await this.#undoLast();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const known = error.passes ? t("message.undo_offline") : null;
      this.tell(known ?? t("message.failed", { message: error.message }));
    } finally {
      this.busy = null;
    }
  }

  /** Until nothing waits; fails when the connection is lost meanwhile. */
  async #sent() {
    while (this.outbox.assignments.length > 0) {
      if (this.#isCut()) throw new ApiError(0, "offline", "no connection");
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async #undoLast() {
    const row = await this.history.last();
    if (row === null) {
      this.tell(t("message.nothing_to_undo"));
      return;
    }
    row.undo ??= uuid7(); // the same if it is sent again
    const ask = { id: row.undo, annotation: row.id, held: this.#held() };
    const { face, counts } = await post("v1/undo", ask);
    this.history.drop(row);
    this.numbers.counts = counts ?? this.numbers.counts;
    this.#showNumbers();
    if (this.current !== null) {
      if (this.screen.held === this.current) this.screen.keepDraft();
      this.queue.unshift(this.current);
    }
    this.queue.unshift(new HeldFace(face));
    this.leave("work", this);
    this.#advance();
  }

  /** Send the answer that was taken back once more, as a new row. */
  redo() {
    if (!canRedo(this.current.face)) {
      this.tell(t("message.nothing_to_redo"));
      return;
    }
    this.screen.restore();
    this.#submit();
  }

  /** Say what became of an undo. */
  tell(text) {
    this.view.say("history", text);
    if (currentScreen() === "done") byId("done-message").textContent = text;
  }

  // What comes back

  #stored(answer, body) {
    const before = this.training;
    const mine = this.current?.face.assignment === body.assignment;
    if (mine && answer.feedback !== null) {
      this.busy = "feedback"; // #accept must not go on
      this.#showFeedback(answer.feedback);
    } else if (mine) {
      this.#leaveFace();
    }
    if (answer.feedback === null) this.history.push(body.id);
    this.#noteRound(before, answer);
    this.#accept(answer);
  }

  #leaveFace() {
    this.busy = null;
    this.current.close();
    this.current = null;
    this.screen.clear(t("work.loading"));
  }

  #showFeedback({ correct, expression, valence, arousal }) {
    this.view.nameMain("next");
    this.view.showExpected({ expression, valence, arousal }, this.screen.choice);
    const text = [t(correct ? "message.right" : "message.wrong")];
    text.push(sayPoint("message.expected", { expression, valence, arousal }));
    this.view.say("outside", null);
    const sign = correct ? "✓" : "✗";
    this.view.say("feedback", `${sign} ${text.join(". ")}`, { strong: true });
  }

  /** Whether a round of the training ended with this answer. */
  #noteRound(before, answer) {
    const after = answer.training;
    if (before === null || before.passed) return;
    const ended = after === null || after.passed || after.failed || after.round > before.round;
    if (!ended) return;
    const correct = before.correct + (answer.feedback?.correct ? 1 : 0);
    const last = after?.failed ? after : { ...before, correct };
    this.ended = { ...last, failed: after?.failed ?? false, passed: after === null || after.passed };
  }

  #afterFeedback() {
    this.#leaveFace();
    this.#showNumbers();
    if (this.ended) {
      const round = this.ended;
      this.ended = null;
      this.leave("round", this, round);
    } else this.#advance();
  }

  /** After a screen in between: go on with what is in memory. */
  goOn() {
    if (this.current === null) this.#advance();
  }

  #refused(entry) {
    // It was a training face, which waits for its answer, or the last one in memory.
    if (this.current?.face.assignment === entry.body.assignment) this.#leaveFace();
    if (this.current === null) this.#advance();
  }

  // Small things

  /** Whether the face on the screen may be judged now. */
  #ready() {
    return this.busy === null && this.current !== null && this.screen.painted;
  }

  #trouble(trouble) {
    this.trouble = trouble;
    this.showSent();
    if (this.current === null && currentScreen() === "work") {
      this.view.showWaiting(t(trouble === null ? "work.loading" : "work.no_connection"));
    }
  }

  #isCut() {
    return this.sender.trouble !== null || this.trouble !== null;
  }

  #showNumbers() {
    const { counts, left, skipped } = this.numbers;
    let training = this.training && !this.training.passed ? this.training : null;
    // The face with feedback is counted already.
    const face = (training?.done ?? 0) + (this.busy === "feedback" ? 0 : 1);
    training &&= { ...training, done: Math.min(face, training.faces) };
    this.view.showNumbers(counts, left, skipped, training);
  }

  #remindOfBreak() {
    const now = performance.now();
    if (now - this.savedAt > REST * 1000) this.workedSince = now;
    this.savedAt = now;
    const minutes = (now - this.workedSince) / 60_000;
    if (this.me.break_minutes === 0 || minutes < this.me.break_minutes) return;
    const press = () => {
      this.workedSince = performance.now();
      this.view.say("break", null);
    };
    const text = t("message.break", { minutes: Math.floor(minutes) });
    this.view.say("break", text, { strong: true, button: { text: t("message.break_done"), press } });
  }
}
