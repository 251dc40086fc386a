// The annotator's page from its start: language, sign-in, instructions, work.

import { get, onUnauthorized, patch, post } from "./api.js";
import { askToSignIn, getMe, keepSignInOpen, takeToken, useLink } from "./account.js";
import { KeysDialog, askComment, instructionParts, openRefused, openSettings, prepareDialogs, prepareSettings } from "./dialogs.js";
import { repeats } from "./face_screen.js";
import { ANNOTATION_KEYS, KeyMap, listen } from "./keys.js";
import { Outbox } from "./outbox.js";
import { untilAnswered } from "./sending.js";
import { onSignedInElsewhere, takeOver, tellSignedIn } from "./tabs.js";
import { language, listLanguages, loadTexts, nameOf, preferredLanguage, t } from "./texts.js";
import { byId, currentScreen, make, showScreen } from "./view.js";
import { Work } from "./work.js";

const LANGUAGE = "openaffect-language";
const WARNED = "openaffect-warned";
const UNREACHABLE = "The server does not answer. The page keeps trying."; // no texts without it

let me = null;
let work = null;
let keys = null;
let keysDialog = null;

async function start() {
  prepareDialogs();
  keepSignInOpen();
  const token = takeToken();
  await loadLanguages();
  if (token !== null) await signInByLink(token);
  else me = await reach(getMe);
  if (me !== null) await enter();
}

/** Ask until the server answers at all, and say meanwhile that it does not. */
function reach(ask) {
  return untilAnswered(ask, (trouble) => {
    byId("loading").textContent = trouble ? t("start.unreachable") : t("start.loading");
  });
}

async function loadLanguages() {
  const languages = await untilAnswered(listLanguages, (trouble) => {
    if (trouble) byId("loading").textContent = UNREACHABLE;
  });
  const chosen = localStorage.getItem(LANGUAGE);
  const known = languages.some((one) => one.code === chosen);
  const names = languages.map(({ code, name }) => make("option", { value: code, text: name, lang: code }));
  byId("language").replaceChildren(...names);
  byId("language").onchange = (event) => changeLanguage(event.target.value);
  await showLanguage(known ? chosen : preferredLanguage(languages));
}

async function showLanguage(code) {
  const shown = await reach(() => loadTexts(code));
  byId("language").value = code;
  byId("unreviewed").textContent = shown.unreviewed ? t("unreviewed") : "";
  document.title = `OpenAffect: ${t("work.title")}`;
}

async function changeLanguage(code) {
  localStorage.setItem(LANGUAGE, code);
  await showLanguage(code);
  if (me === null) return;
  showMe();
  if (currentScreen() === "instructions") showInstructions();
  work?.rename();
  const changed = await patch("v1/me", { language: code });
  me.language = changed.language;
}

async function signInByLink(token) {
  me = await useLink(token, () => language().code);
  if (me !== null) tellSignedIn(me.name);
}

async function enter() {
  const code = me.language ?? language().code;
  if (code !== language().code) await showLanguage(code);
  keys = new KeyMap(ANNOTATION_KEYS, me.keys);
  keysDialog = new KeysDialog(keys, (changed) => {
    me.keys = changed.keys;
    work?.rename();
  });
  prepareSettings({
    me: () => me,
    onChange: (changed) => (me.auto_save = changed.auto_save),
    waiting: () => work?.outbox.assignments.length ?? 0,
  });
  tellSignedIn(me.name);
  onSignedInElsewhere((name) => name !== me.name && location.reload());
  onUnauthorized(signInAgain);
  showMe();
  prepareButtons();
  listen(() => keys, act, repeats);
  await goOn(false);
}

/** The session is over: sign in on top; another person starts with an own page. */
async function signInAgain() {
  const again = await askToSignIn(true, me.name);
  tellSignedIn(again.name);
  if (again.name === me.name) return;
  location.reload();
  await new Promise(() => {}); // nothing of the first person is sent for the second
}

function showMe() {
  byId("project").textContent = me.project;
  byId("signed-in").hidden = false;
  byId("pages").hidden = me.role === "annotator";
  byId("to-manage").hidden = me.role !== "owner";
}

function act(action) {
  if (action === "keys") keysDialog.open();
  else if (currentScreen() === "work") work.act(action);
  else if (currentScreen() === "done" && action === "undo") work.undo();
}

function prepareButtons() {
  byId("open-keys").onclick = () => keysDialog.open();
  byId("open-settings").onclick = () => openSettings(me);
  byId("open-instructions").onclick = () => {
    byId("instructions-again").replaceChildren(...instructionParts());
    byId("instructions-dialog").showModal();
  };
  byId("show-refused").onclick = () => openRefused(work.outbox, {
    changed: () => work.showSent(),
    sendAgain: async (entry) => {
      await work.outbox.change(entry, { problem: null, aside: false });
      await work.sender.run();
    },
  });
  byId("instructions-read").onclick = async () => {
    const { version } = language().instructions;
    me = { ...me, ...(await reach(() => post("v1/me/instructions", { version }))) };
    await goOn(false);
  };
  byId("warning-start").onclick = () => {
    sessionStorage.setItem(WARNED, me.name);
    goOn(false);
  };
  byId("tabs-here").onclick = () => goOn(true);
  byId("paused-check").onclick = () => location.reload();
  byId("done-check").onclick = () => again("v1/faces/next");
  byId("done-unskip").onclick = () => again("v1/faces/unskip");
  byId("done-undo").onclick = () => work.undo();
}

/** The next thing that is due: instructions, warning, work. */
async function goOn(steal) {
  if (!me.instructions.read) {
    showInstructions();
    showScreen("instructions");
  } else if (me.state === "paused") {
    showPaused();
  } else if (sessionStorage.getItem(WARNED) !== me.name) {
    byId("warning-training").hidden = me.training === null;
    showScreen("warning");
    byId("warning-start").focus();
  } else {
    await begin(steal);
  }
}

function showInstructions() {
  byId("instructions").replaceChildren(...instructionParts());
}

async function begin(steal) {
  const mine = await takeOver(steal, () => location.reload()); // it then says where the work is
  if (!mine) {
    showScreen("tabs");
    return;
  }
  const outbox = await Outbox.open(`${me.project}\n${me.name}`);
  work = new Work({ me, outbox, keys: () => keys, leave, dialogs: { askComment } });
  showScreen("work");
  await work.start();
}

async function again(path) {
  showScreen("work");
  await work.ask(path);
}

/** The work has no face to show, or a round ended: the screen that says so. */
function leave(reason, from, round) {
  if (from !== work) return;
  if (reason === "done") showDone();
  else if (reason === "paused" || reason === "instructions") stopFor();
  else if (reason === "round") showRound(round);
  else if (reason === "training_failed") showRound({ ...work.training, failed: true });
  else showScreen(reason);
}

/** Paused, or other instructions are to be read: the server says which. */
async function stopFor() {
  me = await reach(() => get("v1/me"));
  if (me.state === "paused") showPaused();
  else location.reload();
}

function showDone() {
  const { skipped } = work.numbers;
  byId("done-skipped").textContent = t("done.skipped", { count: skipped });
  byId("done-skipped").hidden = byId("done-unskip").hidden = skipped === 0;
  byId("done-message").textContent = "";
  showScreen("done");
}

function showPaused() {
  const reason = me.paused_because;
  byId("paused-because").hidden = !reason;
  byId("paused-because").textContent = reason ? t("paused.because", { reason }) : "";
  showScreen("paused");
}

/** A round of the training ended. */
function showRound(round) {
  const needed = Math.ceil(round.pass_mark * round.faces - 1e-9);
  const key = round.failed ? "training.failed_round" : "training.passed_round";
  const parts = [t(key, { ...round, needed })];
  if (round.passed) parts.push(t("training.passed"));
  byId("training-result").textContent = parts.join(" ");
  byId("training-advice").hidden = !round.failed;
  byId("training-problem").textContent = "";
  const next = round.passed ? "training.begin_work" : "training.next_round";
  const button = byId("training-go-on");
  button.textContent = t(round.failed ? "training.do_repeat" : next);
  button.onclick = () => (round.failed ? repeatRound() : backToWork());
  showScreen("training");
  button.focus();
}

async function repeatRound() {
  try {
    const { training } = await post("v1/me/training");
    work.training = me.training = training;
    await again("v1/faces/next");
  } catch (error) {
    byId("training-problem").textContent = error.message;
  }
}

function backToWork() {
  showScreen("work");
  work.goOn();
}

start();
