// Work that is given out: a batch is planned first, then made from the same form.

import { get, patch, post } from "./api.js";
import {
  $, amount, checkboxes, chosen, expressionName, make, moment, percent, table, words,
} from "./elements.js";
import { attempt, say } from "./start.js";
import { nameOf, t } from "./texts.js";

let accounts = true;
let people = []; // who may get work
let open = null; // the batch of the dialog
let planned = null; // what the shown plan was made of

/** Called once. */
export function prepare(me) {
  accounts = me.mode === "accounts";
  checkboxes($("batch-intended"), "intended", me.labels.map((name) => [name, expressionName(name)]));
  $("batch-people-field").hidden = !accounts;
  $("batch").addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(plan);
  });
  // A plan is of the form as it was.
  $("batch").addEventListener("input", forgetPlan);
  $("batch-make").addEventListener("click", () => attempt(makeBatch));
  $("workers-form").addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(savePeople, $("workers-problem"));
  });
  $("workers-cancel").addEventListener("click", () => $("workers").close());
}

/** Ask the server and show all batches. */
export async function show() {
  const [{ batches, without }, everybody, { settings }] = await Promise.all([
    get("v1/batches"), accounts ? get("v1/people") : { people: [] }, get("v1/settings"),
  ]);
  people = everybody.people.filter((one) => !["revoked", "withdrawn"].includes(one.state));
  const byId = new Map(everybody.people.map((one) => [one.id, one.name]));
  $("batches-without").textContent = t("manage.batches.without", { faces: amount(without) });
  const heads = [t("manage.batch.name"), t("manage.people.state"), t("manage.batches.answers"),
    [t("manage.batches.faces"), "number"], t("manage.batches.overlap"),
    t("manage.batches.balanced"), t("manage.batch.people"), t("manage.batches.made"),
    [t("manage.people.change"), "act"]];
  $("batches-table").replaceChildren(table(t("manage.batches.all"), heads,
    batches.map((batch) => row(batch, byId)), t("manage.batches.none")));
  fillForm(settings);
}

/** What the project's settings say stands in the form until somebody writes there. */
function fillForm(settings) {
  const value = (key) => settings.find((one) => one.key === key)?.value;
  for (const [input, key] of [["batch-overlap", "overlap"], ["batch-share", "overlap_share"]]) {
    if ($(input).value === "") $(input).value = value(`annotation.${key}`) ?? "";
  }
  offerPeople($("batch-people"), chosen($("batch-people")));
}

function row(batch, byId) {
  const done = t("manage.of", { part: amount(batch.done), of: amount(batch.wanted) });
  const progress = `${done} (${percent(batch.done, batch.wanted)})`;
  const names = batch.people === null
    ? [t("manage.batches.everybody")]
    : batch.people.flatMap((id, n) => [n > 0 ? ", " : "", words(byId.get(id) ?? String(id))]);
  const overlap = batch.overlap_share > 0
    ? t("manage.batches.overlap_is", { share: percent(batch.overlap_share), k: batch.overlap })
    : t("manage.batches.no_overlap");
  return [words(batch.name), nameOf("manage.batch_state", batch.state), progress,
    [amount(batch.faces), "number"], overlap, nameOf("manage.balanced_by", batch.balanced_by),
    make("span", { class: "names" }, ...names), moment(batch.at), [actions(batch), "act"]];
}

function actions(batch) {
  const to = batch.state === "open" ? "closed" : "open";
  const button = (key, onclick) => make("button", {
    type: "button", "aria-label": `${t(key)}: ${batch.name}`, onclick,
  }, t(key));
  return make("span", { class: "row" },
    button(`manage.batches.make_${to}`, () => attempt(() => setState(batch.name, to))),
    accounts ? button("manage.batches.people_do", () => openPeople(batch)) : null);
}

/** Who works on a batch from now on. */
function openPeople(batch) {
  open = batch;
  $("workers-head").replaceChildren(t("manage.batches.people_of"), " ", words(batch.name));
  $("workers-problem").hidden = true;
  offerPeople($("workers-people"), (batch.people ?? []).map(String));
  $("workers").showModal();
  $("workers-head").focus();
}

async function savePeople() {
  const { name } = open;
  await patch(`v1/batches/${encodeURIComponent(name)}`, { people: readPeople($("workers-people")) });
  $("workers").close();
  await attempt(show);
  say(t("manage.batches.people_saved", { name }));
}

const offerPeople = (box, checked) => checkboxes(box, "people",
  people.map((one) => [String(one.id), words(one.name)]), checked);

/** Numbers of people; null, which is everybody, where nobody is checked. */
function readPeople(box) {
  const ids = chosen(box).map(Number);
  return ids.length > 0 ? ids : null;
}

async function setState(name, state) {
  await patch(`v1/batches/${encodeURIComponent(name)}`, { state });
  await attempt(show);
  say(t(`manage.batches.now_${state}`, { name }));
}

// ---- a new batch

/** What the form says, as the server takes it; an empty field is no condition. */
function read() {
  const filter = {};
  const intended = chosen($("batch-intended"));
  if (intended.length > 0) filter.intended = intended;
  for (const [key, input] of [["source", "batch-source"], ["query", "batch-query"]]) {
    if ($(input).value.trim()) filter[key] = $(input).value.trim();
  }
  for (const [key, input] of [["min_size", "batch-size"], ["limit", "batch-limit"]]) {
    if ($(input).value) filter[key] = Number($(input).value);
  }
  return {
    name: $("batch-name").value.trim(), filter,
    overlap: Number($("batch-overlap").value), overlap_share: Number($("batch-share").value),
    people: readPeople($("batch-people")),
  };
}

function forgetPlan() {
  planned = null;
  $("batch-planned").hidden = true;
}

async function plan() {
  forgetPlan();
  const body = read();
  const found = await post("v1/batches", { ...body, plan: true });
  planned = body;
  $("batch-planned-text").textContent = t("manage.batch.plan_is", {
    faces: amount(found.faces), overlapping: amount(found.overlapping), k: body.overlap,
    balanced: nameOf("manage.balanced_by", found.balanced_by),
  });
  const heads = [t("manage.batch.stratum"), [t("manage.batches.faces"), "number"]];
  $("batch-strata").replaceChildren(table(t("manage.batch.strata"), heads,
    Object.entries(found.strata).map(([name, n]) => [stratum(name), [amount(n), "number"]]),
    t("manage.batch.no_strata")));
  $("batch-planned").hidden = false;
  $("batch-planned-head").focus();
}

/** A stratum is an expression; that of the other faces has no name. */
const stratum = (name) => (name ? expressionName(name) : t("manage.batch.not_known"));

async function makeBatch() {
  const body = planned;
  const made = await post("v1/batches", { ...body, plan: false });
  forgetPlan();
  $("batch").reset();
  await attempt(show);
  say(t("manage.batch.made", { name: body.name, faces: amount(made.faces) }));
  $("batches-head").focus();
}
