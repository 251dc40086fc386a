// The reviewer's page: faces on which people disagree, that somebody flagged, or whose point lies
// outside the expected region; all answers at once, and a decision by keyboard.

import { get, post } from "./api.js";
import { createCircumplex, inRegion, move } from "./circumplex.js";
import { Clock } from "./clock.js";
import { answersTable, canGoBack, letter, said, toPoints } from "./answers.js";
import { $, amount, expressionName, make, table, words } from "./elements.js";
import { uuid7 } from "./ids.js";
import { ANNOTATION_KEYS, KeyMap, keyName, listen } from "./keys.js";
import * as picture from "./review_picture.js";
import { attempt, say, start } from "./start.js";
import { affect, nameOf, t } from "./texts.js";

const LIMIT = 20;
const WITHOUT_POINT = ["uncertain", "no_face"];
const MOVES = {
  right: [0.05, 0], left: [-0.05, 0], up: [0, 0.05], down: [0, -0.05],
  right_fine: [0.01, 0], left_fine: [-0.01, 0], up_fine: [0, 0.01], down_fine: [0, -0.01],
};
const OWN_KEYS = {
  settle: ["Enter"], dismiss: ["KeyD"], return: ["KeyB"], gold: ["KeyG"],
  next: ["KeyJ"], previous: ["KeyK"],
};

let me = null;
let keys = null;
let chart = null;
let busy = false;
const clock = new Clock();
const queue = { items: [], at: 0, left: 0, after: null, reason: "" };
const current = () => queue.items[queue.at] ?? null;

// ---- the queue

async function load() {
  const reason = queue.reason ? `&reason=${queue.reason}` : "";
  const after = queue.after === null ? "" : `&after=${encodeURIComponent(queue.after)}`;
  const found = await get(`v1/review?limit=${LIMIT}${reason}${after}`);
  const draft = () => ({ expression: null, point: null, occluded: false, gold: false, comment: "" });
  queue.items.push(...found.items.map((item) => ({ ...item, draft: draft() })));
  [queue.left, queue.after] = [found.left, found.after];
}

async function reload() {
  queue.items.forEach(picture.forget);
  Object.assign(queue, { items: [], at: 0, left: 0, after: null });
  await show(await attempt(load));
}

async function filter(reason) {
  queue.reason = reason;
  for (const button of $("reasons").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", button.dataset.reason === reason);
  }
  await reload();
}

async function step(by) {
  if (by > 0 && queue.at === queue.items.length - 1 && queue.after !== null) await load();
  const to = queue.at + by;
  if (to < 0 || to >= queue.items.length) {
    say(t(by > 0 ? "review.is_last" : "review.is_first"));
    return;
  }
  queue.at = to;
  say("");
  await show();
}

/** The face is decided: it leaves the queue, and the next one takes its place. */
async function leave(left, text) {
  picture.forget(current());
  queue.items.splice(queue.at, 1);
  queue.left = left;
  // Whatever fails now, the decided face must not stay on the screen.
  if (queue.items.length === queue.at && queue.after !== null) await attempt(load);
  queue.at = Math.max(0, Math.min(queue.at, queue.items.length - 1));
  await (queue.items.length === 0 ? reload() : show());
  say(`${text} ${t("review.left", { left: amount(queue.left) })}`);
}

// ---- what is shown

/** The current face; without one, that there is none, if that is `known`. */
async function show(known = true) {
  const item = current();
  $("queue").hidden = false;
  $("item").hidden = item === null;
  $("empty").hidden = item !== null || !known;
  $("empty").textContent = t(queue.reason ? "review.empty_reason" : "review.empty");
  $("place").textContent = item === null ? "" : t("review.place", {
    at: queue.at + 1, left: amount(queue.left),
  });
  if (item === null) return;
  $("seen-head").replaceChildren(t("review.face"), " ", words(item.face_id));
  $("why").replaceChildren(make("b", {}, item.reasons.map((one) => t(`review.reason.${one}`)).join(", ")),
    make("br"), ...said(item.annotations));
  $("known").replaceChildren(...knownBefore(item));
  $("answers").replaceChildren(answersTable(item.annotations, { use, sendBack }));
  $("comment").value = item.draft.comment;
  chart.setOthers(toPoints(item.annotations));
  showDraft();
  picture.preload(queue.items[queue.at + 1]);
  await attempt(() => picture.showFace(item));
  if (item === current()) clock.restart();
}

/** What was known before anybody annotated: the search's intent, a model's answer. */
function knownBefore({ intended, prelabel }) {
  const lines = [];
  if (intended) lines.push(make("span", {}, t("review.intended"), " ", expressionName(intended)));
  if (prelabel) {
    const { expression, valence, arousal } = prelabel;
    const point = valence === null ? null : ` (${affect(valence)}, ${affect(arousal)})`;
    lines.push(make("span", {}, t("review.prelabel"), " ", expressionName(expression), point));
  }
  return lines.flatMap((line) => [line, make("br")]);
}

function showDraft() {
  const { expression, point, occluded, gold } = current().draft;
  for (const button of $("categories").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", button.value === expression);
  }
  $("occluded").checked = occluded;
  $("gold").checked = gold;
  const takesNone = WITHOUT_POINT.includes(expression);
  const shown = takesNone ? null : point;
  const region = me.region_shown ? me.regions[expression] ?? null : null;
  chart.setDisabled(takesNone);
  chart.setRegion(region);
  chart.setPoint(shown, expression);
  $("point").textContent = pointText(shown, expression);
}

function pointText(point, expression) {
  if (WITHOUT_POINT.includes(expression)) {
    return t("message.takes_no_point", { expression: nameOf("expression", expression) });
  }
  if (point === null) return t("review.no_point");
  const at = t("circumplex.point", { valence: affect(point.valence), arousal: affect(point.arousal) });
  const region = me.regions[expression];
  const outside = region && !inRegion(point, region);
  return outside ? `${at} · ${t("review.outside")}` : at;
}

// ---- the decision

function edit(change) {
  const item = current();
  if (item === null || busy) return;
  Object.assign(item.draft, change);
  showDraft();
}

const place = (point) => !WITHOUT_POINT.includes(current()?.draft.expression) && edit({ point });

/** Take over what somebody said. */
function use({ expression, valence, arousal, occluded }) {
  edit({ expression, point: valence === null ? null : { valence, arousal }, occluded });
  $("settle").focus();
}

/** Do one thing at a time, so that no face is decided twice. */
async function once(action) {
  if (current() === null || busy) return;
  busy = true;
  for (const id of ["settle", "dismiss", "return"]) $(id).setAttribute("aria-busy", "true");
  await attempt(action);
  busy = false;
  for (const id of ["settle", "dismiss", "return"]) $(id).removeAttribute("aria-busy");
}

async function settle() {
  const { face, draft } = current();
  if (draft.expression === null) {
    say(t("message.choose"));
    return;
  }
  const { expression, occluded, gold } = draft;
  const point = WITHOUT_POINT.includes(expression) ? null : draft.point;
  const said = {
    expression, valence: point?.valence ?? null, arousal: point?.arousal ?? null, occluded,
    comment: draft.comment.trim(), gold,
  };
  // The same decision, sent again after a lost connection, is the same annotation.
  const sent = JSON.stringify(said);
  if (draft.sent !== sent) Object.assign(draft, { sent, id: uuid7(), seconds: clock.seconds });
  const body = { id: draft.id, ...said, seconds: draft.seconds };
  const { left } = await post(`v1/review/${face}/settle`, body);
  const done = gold ? "review.settled_gold" : "review.settled";
  await leave(left, t(done, { expression: nameOf("expression", expression) }));
}

async function dismiss() {
  const { left } = await post(`v1/review/${current().face}/dismiss`);
  await leave(left, t("review.dismissed"));
}

/** Ask whose answer goes back, and why. */
function sendBack(annotation = null) {
  const { annotations } = current();
  const possible = annotations.filter(canGoBack);
  if (possible.length === 0) {
    say(t("review.none_to_return"));
    return;
  }
  const only = annotation ?? (possible.length === 1 ? possible[0] : null);
  $("send-back-answers").replaceChildren(...possible.map((one) => {
    const choice = { type: "radio", name: "whose", value: one.id, checked: one === only };
    const said = [words(one.person), ": ", expressionName(one.expression)];
    return make("label", { class: "check" }, make("input", { ...choice, required: true }),
      make("span", {}, letter(annotations.indexOf(one)), " ", ...said));
  }));
  $("send-back-problem").hidden = true;
  $("send-back").showModal();
  (only ? $("note") : $("send-back-answers").querySelector("input")).focus();
}

async function sendNote() {
  const annotation = $("send-back-form").querySelector("input[name=whose]:checked").value;
  const note = $("note").value.trim();
  const { left } = await post(`v1/review/${current().face}/return`, { annotation, note });
  $("send-back").close();
  $("note").value = "";
  await leave(left, t("review.returned"));
}

// ---- keys and buttons

const ACTIONS = {
  settle: () => once(settle),
  dismiss: () => once(dismiss),
  return: () => !busy && current() && sendBack(),
  gold: () => edit({ gold: !current()?.draft.gold }),
  occluded: () => edit({ occluded: !current()?.draft.occluded }),
  next: () => !busy && attempt(() => step(1)),
  previous: () => !busy && attempt(() => step(-1)),
  photograph: () => attempt(picture.togglePhotograph),
  landmarks: () => picture.toggleLandmarks(),
  comment: () => $("comment").focus(),
  keys: () => $("keys").showModal(),
};

function act(action) {
  if (action in MOVES) {
    if (current()) place(move(current().draft.point, ...MOVES[action]));
  } else if (action in ACTIONS) ACTIONS[action]();
  else edit({ expression: action });
}

function makeKeys() {
  const tools = ["occluded", "landmarks", "photograph", "comment", "keys"];
  const same = [...me.labels, ...Object.keys(MOVES), ...tools];
  const defaults = Object.fromEntries(same.map((action) => [action, ANNOTATION_KEYS[action]]));
  // A person's own keys, but for those that decide here.
  const taken = Object.values(OWN_KEYS).flat();
  const own = Object.entries(me.keys)
    .filter(([action, code]) => same.includes(action) && !taken.includes(code));
  return new KeyMap({ ...defaults, ...OWN_KEYS }, Object.fromEntries(own));
}

function prepareKeys() {
  keys = makeKeys();
  listen(() => keys, act, (action) => action in MOVES);
  const name = (action) =>
    nameOf(me.labels.includes(action) ? "expression" : "review.key", action);
  const rows = Object.keys(keys.defaults).map((action) => [name(action),
    make("span", { class: "row" }, ...keys.codes(action).map((code) => make("kbd", {}, keyName(code, t))))]);
  $("keys-table").replaceChildren(table(t("keys.title"), [t("keys.action"), t("keys.key")], rows));
}

function categoryButton(expression) {
  const key = make("kbd", { "aria-hidden": "true" }, keyName(keys.codes(expression)[0], t));
  const button = { type: "button", value: expression, "aria-pressed": "false" };
  return make("button", { ...button, onclick: () => edit({ expression }) },
    expressionName(expression), " ", key);
}

function prepareButtons() {
  $("categories").replaceChildren(...me.labels.map(categoryButton));
  $("help").addEventListener("click", ACTIONS.keys);
  for (const action of ["next", "previous", "photograph", "landmarks", "dismiss", "return"]) {
    $(action).addEventListener("click", () => ACTIONS[action]());
  }
  for (const mark of ["occluded", "gold"]) {
    $(mark).addEventListener("change", (event) => edit({ [mark]: event.target.checked }));
  }
  $("comment").addEventListener("input", (event) => {
    if (current()) current().draft.comment = event.target.value;
  });
  $("comment").addEventListener("keydown", (event) => event.key === "Escape" && event.target.blur());
  for (const button of $("reasons").querySelectorAll("button")) {
    button.addEventListener("click", () => !busy && attempt(() => filter(button.dataset.reason)));
  }
  // After a click the keys are the page's again: Enter settles.
  $("item").addEventListener("click", (event) => event.detail > 0 && event.target.closest("button")?.blur());
}

function prepareForms() {
  const submit = (form, action) => $(form).addEventListener("submit", (event) => {
    event.preventDefault();
    action();
  });
  submit("decision", ACTIONS.settle);
  submit("send-back-form", async () => {
    if (busy) return;
    busy = true;
    await attempt(sendNote, $("send-back-problem"));
    busy = false;
  });
  $("send-back-cancel").addEventListener("click", () => $("send-back").close());
  $("keys-close").addEventListener("click", () => $("keys").close());
}

function prepareChart() {
  const ends = ["label", "negative", "positive", "calm", "excited"];
  const names = Object.fromEntries(ends.map((end) => [end, t(`circumplex.${end}`)]));
  const valueText = (point) => pointText(point, current()?.draft.expression ?? null);
  chart = createCircumplex({ names, onChange: place, valueText });
  $("circumplex").append(chart.element);
}

await attempt(async () => {
  me = await start("bar.review", ["reviewer", "owner"]);
  if (me === null) return;
  prepareKeys();
  prepareButtons();
  prepareForms();
  prepareChart();
  await reload();
});
