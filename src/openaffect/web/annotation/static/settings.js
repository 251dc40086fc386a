// The settings of annotation and quality: what each means, what it is, what was changed.

import { get, patch } from "./api.js";
import { $, make } from "./elements.js";
import { attempt, say } from "./start.js";
import { t } from "./texts.js";

let settings = [];

/** Called once. */
export function prepare() {
  $("settings").addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(save);
  });
  $("settings").addEventListener("input", mark);
  $("settings").addEventListener("reset", () => setTimeout(mark)); // after the fields have gone back
}

/** Ask the server; what somebody wrote and did not save stays. */
export async function show() {
  if (Object.keys(changes()).length > 0) return;
  fill((await get("v1/settings")).settings);
}

function fill(found) {
  settings = found;
  $("settings-fields").replaceChildren(...settings.map(field));
  mark();
}

const kindOf = ({ default: value }) => ({ boolean: "checkbox", number: "number" })[typeof value] ?? "text";

function field(setting) {
  const { key, value, default: usual, description } = setting;
  const id = `setting-${key}`;
  const kind = kindOf(setting);
  const given = kind === "checkbox" ? { checked: value === true } : { value: value ?? "" };
  const input = make("input", {
    id, name: key, type: kind, "aria-describedby": `${id}-means`, dir: "ltr",
    step: kind === "number" ? "any" : null, required: kind === "number", ...given,
  });
  const label = make("label", { for: id }, make("code", { dir: "ltr" }, key));
  // The descriptions are those of project.toml, in English.
  const means = make("p", { id: `${id}-means`, class: "muted" },
    make("bdi", { lang: "en", dir: "ltr" }, description), make("br"),
    t("manage.settings.default", { value: shown(usual) }));
  const place = kind === "checkbox" ? [make("div", { class: "row" }, input, label)] : [label, input];
  return make("div", { class: "setting" }, ...place, means);
}

function shown(value) {
  if (typeof value === "boolean") return t(value ? "manage.settings.on" : "manage.settings.off");
  return value === null || value === "" ? t("manage.settings.empty") : String(value);
}

/** The value in a field, of the setting's own type. */
function valueIn(setting) {
  const input = $(`setting-${setting.key}`);
  const kind = kindOf(setting);
  if (kind === "checkbox") return input.checked;
  return kind === "number" ? input.valueAsNumber : input.value;
}

/** {key: value} of the fields that differ from what is saved. */
function changes() {
  const changed = settings.filter((one) => valueIn(one) !== (one.value ?? ""));
  return Object.fromEntries(changed.map((one) => [one.key, valueIn(one)]));
}

function mark() {
  const changed = changes();
  for (const { key } of settings) {
    $(`setting-${key}`).closest(".setting").classList.toggle("changed", key in changed);
  }
  const none = Object.keys(changed).length === 0;
  $("settings-save").disabled = none;
  $("settings-undo").disabled = none;
}

async function save() {
  if (!$("settings").reportValidity()) return;
  const before = new Map(settings.map((one) => [one.key, one.value]));
  fill((await patch("v1/settings", changes())).settings);
  const lines = settings.filter((one) => before.get(one.key) !== one.value).map((one) =>
    make("li", {}, make("code", { dir: "ltr" }, one.key), ": ", t("manage.settings.from_to", {
      from: shown(before.get(one.key)), to: shown(one.value),
    })));
  $("settings-list").replaceChildren(...lines);
  $("settings-changed").hidden = false;
  $("settings-changed-head").focus();
  say(t("manage.settings.saved"));
}
