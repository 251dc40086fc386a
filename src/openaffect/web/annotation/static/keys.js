// Keys: which action a key stands for, the names of keys, and a map that a person changes.

/** The keys of every action of the annotator's page; the digits are the ids of the expressions. */
export const ANNOTATION_KEYS = {
  neutral: ["Digit0"],
  happy: ["Digit1"],
  sad: ["Digit2"],
  surprise: ["Digit3"],
  fear: ["Digit4"],
  disgust: ["Digit5"],
  anger: ["Digit6"],
  contempt: ["Digit7"],
  none: ["Digit8"],
  uncertain: ["Digit9"],
  no_face: ["KeyN", "Minus"],
  right: ["ArrowRight"],
  left: ["ArrowLeft"],
  up: ["ArrowUp"],
  down: ["ArrowDown"],
  right_fine: ["Shift+ArrowRight"],
  left_fine: ["Shift+ArrowLeft"],
  up_fine: ["Shift+ArrowUp"],
  down_fine: ["Shift+ArrowDown"],
  save: ["Enter"],
  skip: ["Space"],
  undo: ["Backspace", "Ctrl+KeyZ"],
  redo: ["Ctrl+Shift+KeyZ"],
  occluded: ["KeyO"],
  landmarks: ["KeyL"],
  photograph: ["KeyP"],
  comment: ["KeyC"],
  flag: ["KeyG"],
  zoom_in: ["Plus"],
  zoom_out: ["Shift+Minus"],
  keys: ["Shift+Slash"],
};

// By what the key writes, for its place differs between keyboards.
const BY_SIGN = { "-": "Minus", "_": "Shift+Minus", "+": "Plus", "=": "Plus", "?": "Shift+Slash" };
const NUMBER_PAD = { NumpadEnter: "Enter", NumpadSubtract: "Minus", NumpadAdd: "Plus" };
const SHOWN = {
  ArrowRight: "→", ArrowLeft: "←", ArrowUp: "↑", ArrowDown: "↓", Minus: "-", Plus: "+",
  "Shift+Slash": "?", "Shift+Minus": "_",
};

/**
 * The code of a key press, such as `Digit1`, `KeyO`, `Shift+ArrowUp`, `Ctrl+KeyZ`.
 * Digits go by their place (AZERTY writes them with Shift, the number pad elsewhere), Latin letters
 * by what is written (Z and Y change places), letters of other scripts by their place.
 */
export function codeOf(event) {
  const { code, key } = event;
  const digit = /^(?:Digit|Numpad)(\d)$/.exec(code);
  const ctrl = event.ctrlKey || event.metaKey ? "Ctrl+" : "";
  if (digit) return `${ctrl}Digit${digit[1]}`;
  if (key in BY_SIGN) return ctrl + BY_SIGN[key];
  const shift = event.shiftKey ? "Shift+" : "";
  const plain = /^[a-z]$/i.test(key) ? `Key${key.toUpperCase()}` : NUMBER_PAD[code] ?? code;
  return ctrl + shift + plain;
}

/** How a key is called on the screen: `1`, `O`, `Shift ↑`; words from `t("key.Enter")` and so on. */
export function keyName(code, t = (key) => key.slice(4)) {
  if (code in SHOWN) return SHOWN[code];
  const parts = code.split("+");
  const last = parts.pop();
  const letter = /^(?:Digit|Key)(.)$/.exec(last);
  const words = ["Enter", "Space", "Backspace"].includes(last) ? t(`key.${last}`) : last;
  const name = SHOWN[last] ?? (letter ? letter[1] : words);
  return [...parts.map((part) => t(`key.${part}`)), name].join(" ");
}

/** Whether a person writes, so that keys are letters. */
export function isTyping(event) {
  if (event.isComposing) return true;
  const at = event.target;
  if (!(at instanceof HTMLElement) || isGone(at)) return false;
  if (at.isContentEditable || at.matches("textarea, select")) return true;
  return at.matches("input:not([type=checkbox], [type=radio], [type=button], [type=range])");
}

/** For a moment after it was closed, the focus still is in a dialog. */
const isGone = (element) => element.closest("dialog:not([open])") !== null;

/** Whether the focused control does something by itself with Enter or Space. */
function presses(event) {
  const at = event.target;
  const control = at instanceof HTMLElement && at.matches("button, a[href], summary, input");
  return control && !isGone(at) && (event.key === "Enter" || event.key === " ");
}

/** A map from keys to actions: the given one, with a person's own codes {action: code} in it. */
export class KeyMap {
  constructor(defaults, own = {}) {
    this.defaults = defaults;
    this.own = { ...own };
  }

  codes(action) {
    return action in this.own ? [this.own[action]] : this.defaults[action];
  }

  actionOf(code) {
    const actions = Object.keys(this.defaults);
    // A person's own choice goes before a default of the same key.
    const own = actions.find((action) => this.own[action] === code);
    return own ?? actions.find((action) => this.codes(action).includes(code)) ?? null;
  }

  /** Give an action another key; the action that had it, or null. A taken key is not given. */
  set(action, code) {
    const holder = this.actionOf(code);
    if (holder !== null && holder !== action) return holder;
    this.own[action] = code;
    if (this.defaults[action].includes(code)) delete this.own[action];
    return null;
  }

  reset() {
    this.own = {};
  }
}

/**
 * Call `act(action, event)` for keys of a map, until the returned function is called.
 * Left alone: keys while somebody writes, Enter and Space on a focused button, keys with Alt, keys
 * while a dialog is open, and all but moves when a key is held down.
 */
export function listen(map, act, repeats = () => false) {
  const hear = (event) => {
    if (event.defaultPrevented || event.altKey || isTyping(event) || presses(event)) return;
    if (document.querySelector("dialog[open]")) return;
    const action = map().actionOf(codeOf(event));
    if (action === null) return;
    event.preventDefault();
    if (!event.repeat || repeats(action)) act(action, event);
  };
  document.addEventListener("keydown", hear);
  return () => document.removeEventListener("keydown", hear);
}
