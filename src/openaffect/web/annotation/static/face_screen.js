// One face on the screen: what is chosen for it, how it is looked at, and for how long.

import { inRegion, move } from "./circumplex.js";
import { Clock } from "./clock.js";
import { affect, nameOf, t } from "./texts.js";
import { byId } from "./view.js";

const STEP = 0.05;
const FINE = 0.01;
const MOVES = {
  right: [STEP, 0], left: [-STEP, 0], up: [0, STEP], down: [0, -STEP],
  right_fine: [FINE, 0], left_fine: [-FINE, 0], up_fine: [0, FINE], down_fine: [0, -FINE],
};
const NO_POINT = new Set(["uncertain", "no_face"]);
const MARKS = { occluded: false, flag: false, comment: "" };
const MESSAGES = ["choose", "outside", "note", "undone", "prelabel", "feedback", "history"];

/** Whether an action goes on while its key is held down. */
export const repeats = (action) => action in MOVES || action.startsWith("zoom");

/** An answer that the person took back; one that a reviewer sent back is another matter. */
export const canRedo = (face) => face.previous !== null && !face.note;

/** {expression, valence, arousal} in a sentence; `key` has a twin that ends in `_point`. */
export function sayPoint(key, { expression, valence, arousal }) {
  const name = nameOf("expression", expression);
  if (valence === null) return t(key, { expression: name });
  const values = { expression: name, valence: affect(valence), arousal: affect(arousal) };
  return t(`${key}_point`, values);
}

/** What a row of the server says, as a choice. */
function choiceOf({ expression, valence, arousal, occluded, flag, comment }) {
  const point = valence === null ? null : { valence, arousal };
  return { expression, point, occluded, flag, comment: comment ?? "" };
}

export class FaceScreen {
  /** onComplete(): something was chosen by one act, after which an answer may be whole. */
  constructor({ me, view, dialogs, onComplete }) {
    Object.assign(this, { me, view, dialogs, onComplete });
    this.clock = new Clock();
    this.held = null;
    this.painted = false;
    this.shown = 0;
  }

  /** Show a face whose picture is decoded; time runs from the frame that paints it. */
  begin(held) {
    const { previous } = held.face;
    const nothing = { expression: null, point: null, ...MARKS };
    this.held = held;
    this.choice = held.draft?.choice ?? (previous === null ? nothing : choiceOf(previous));
    this.regionShown = held.draft?.regionShown ?? false;
    this.seconds = held.draft?.seconds ?? 0; // of an earlier look
    this.warned = false;
    this.painted = false;
    this.show();
    this.shown += 1; // an announcement that is no other one is not read again
    this.view.announce(t("work.next_announced", { number: this.shown }));
    if (byId("face").getBoundingClientRect().top < 0) byId("face").scrollIntoView();
  }

  /** No face is here. */
  clear(text) {
    this.held = null;
    this.painted = false;
    this.view.showWaiting(text);
    this.#unsay();
  }

  /** Write everything of the face again. */
  show() {
    const { held, view } = this;
    const { face } = held;
    this.photographShown = this.landmarksShown = false;
    view.showLandmarks(null);
    view.press("photograph", false);
    view.press("landmarks", false);
    view.enable("photograph", face.photo_url !== null);
    view.enable("landmarks", face.landmarks !== null);
    view.enable("redo", canRedo(face));
    view.enable("skip", face.kind !== "training");
    view.enable("undo", face.kind !== "training"); // what was expected is known by then
    view.nameMain("save");
    this.#unsay();
    this.#sayOfFace(face);
    this.showChoice();
    view.showFace(held.image, () => this.#start(held));
  }

  /** Keep what is chosen for when the face comes back. */
  keepDraft() {
    const { choice, regionShown } = this;
    const seconds = this.painted ? this.seconds + this.clock.seconds : this.seconds;
    this.held.draft = { choice, regionShown, seconds };
  }

  /** Do what a key or a button says about the face; whether there was something to do. */
  act(action) {
    if (this.me.labels.includes(action)) this.#chooseExpression(action);
    else if (action in MOVES) this.#move(...MOVES[action]);
    else if (action in this.#actions) this.#actions[action]();
    else return false;
    return true;
  }

  #actions = {
    occluded: () => this.change({ occluded: !this.choice.occluded }),
    flag: () => this.change({ flag: !this.choice.flag }),
    comment: () => this.#comment(),
    photograph: () => this.#photograph(),
    landmarks: () => this.#landmarks(),
    zoom_in: () => this.view.setZoom(this.view.zoom + 1),
    zoom_out: () => this.view.setZoom(this.view.zoom - 1),
  };

  change(changes) {
    Object.assign(this.choice, changes);
    this.warned = false;
    this.view.say("choose", null);
    this.showChoice();
  }

  /** Choose what was chosen before the answer was taken back. */
  restore() {
    this.change(choiceOf(this.held.face.previous));
  }

  /** Whether expression and point are both given, or the expression takes none. */
  get whole() {
    const { expression, point } = this.choice;
    return expression !== null && (point !== null || NO_POINT.has(expression));
  }

  /** Whether the answer may be saved; if not, it is said why. Without a point: the second time. */
  check() {
    const { expression } = this.choice;
    if (this.whole || (expression !== null && this.warned)) return true;
    this.warned = true; // until something is changed
    const text = t(expression === null ? "message.choose" : "message.no_point");
    this.view.say("choose", text, { strong: true });
    return false;
  }

  /** The answer as the server takes it, but for its id. */
  answer() {
    const { expression, point, ...marks } = this.choice;
    const { assignment, prelabel } = this.held.face;
    return {
      assignment, expression, valence: point?.valence ?? null, arousal: point?.arousal ?? null,
      ...marks, seconds: this.seconds + this.clock.seconds, region_shown: this.regionShown,
      prelabel_shown: this.me.prelabel_shown && prelabel !== null,
    };
  }

  showChoice() {
    const { expression, point } = this.choice;
    const expected = this.me.region_shown ? this.me.regions[expression] ?? null : null;
    this.regionShown ||= expected !== null;
    this.view.showChoice(this.choice, expected);
    const outside = expected !== null && point !== null && !inRegion(point, expected);
    const name = expression && nameOf("expression", expression);
    this.view.say("outside", outside ? t("message.outside", { expression: name }) : null);
  }

  choosePoint(point) {
    this.change({ point });
  }

  #start(held) {
    if (this.held !== held) return;
    this.view.setBusy(false);
    if (this.painted) return;
    this.painted = true;
    this.clock.restart();
  }

  #unsay() {
    for (const kind of MESSAGES) this.view.say(kind, null);
  }

  #sayOfFace(face) {
    const prelabel = this.me.prelabel_shown ? face.prelabel : null;
    this.view.showPrelabel(prelabel);
    if (prelabel?.expression) this.view.say("prelabel", sayPoint("message.prelabel", prelabel));
    if (canRedo(face)) this.view.say("undone", t("message.undone"));
    if (face.note) this.view.say("note", t("message.note", { note: face.note }), { strong: true });
  }

  #chooseExpression(expression) {
    const point = NO_POINT.has(expression) ? null : this.choice.point;
    this.change({ expression, point });
    this.onComplete();
  }

  #move(right, up) {
    const { expression, point } = this.choice;
    if (NO_POINT.has(expression)) {
      const name = nameOf("expression", expression);
      this.view.say("choose", t("message.takes_no_point", { expression: name }));
    } else this.change({ point: move(point, right, up) });
  }

  async #comment() {
    const { held } = this;
    const text = await this.dialogs.askComment(this.choice.comment);
    if (text !== null && this.held === held) this.change({ comment: text });
  }

  async #photograph() {
    const { held, view } = this;
    if (held.face.photo_url === null) return;
    if (this.landmarksShown) this.#landmarks(); // they belong to the face
    this.photographShown = !this.photographShown;
    view.press("photograph", this.photographShown);
    view.setZoom(0);
    if (!this.photographShown) {
      view.showPicture(held.image, t("work.face_alt"));
      return;
    }
    try {
      const image = await held.photograph();
      if (this.held === held && this.photographShown) {
        view.showPicture(image, t("work.photograph_alt"));
      }
    } catch (error) {
      if (this.held !== held) return;
      this.photographShown = false;
      view.press("photograph", false);
      view.say("history", t("message.failed", { message: error.message }));
    }
  }

  #landmarks() {
    const { face, image } = this.held;
    if (face.landmarks === null) return;
    if (this.photographShown) this.#photograph();
    this.landmarksShown = !this.landmarksShown;
    this.view.press("landmarks", this.landmarksShown);
    this.view.showLandmarks(this.landmarksShown ? face.landmarks : null, image);
  }
}
