// What was done to the project, newest first.

import { get } from "./api.js";
import { $, make, moment, table, words } from "./elements.js";
import { attempt } from "./start.js";
import { t } from "./texts.js";

const LIMIT = 50;
let known = [];

/** Called once. */
export function prepare() {
  $("events-older").addEventListener("click", () => attempt(older));
}

/** Ask the server for the newest. */
export async function show() {
  known = [];
  await older();
}

async function older() {
  const before = known.length > 0 ? `&before=${known.at(-1).id}` : "";
  const { events } = await get(`v1/events?limit=${LIMIT}${before}`);
  known.push(...events);
  const heads = [t("manage.events.at"), t("manage.events.kind"), t("manage.events.subject"),
    t("manage.events.details")];
  $("events-table").replaceChildren(table(t("manage.events.all"), heads, known.map((event) => [
    moment(event.at), make("code", { dir: "ltr" }, event.kind), words(event.subject ?? "–"),
    details(event.details),
  ]), t("manage.events.none")));
  // A full page may have another behind it.
  $("events-older").hidden = events.length < LIMIT;
}

/** Details as `key: value`, whatever they are. */
function details(value) {
  if (value === null || typeof value !== "object") return words(value ?? "");
  const parts = Object.entries(value).map(([key, one]) => {
    const written = typeof one === "string" ? one : JSON.stringify(one);
    return make("div", {}, make("code", { dir: "ltr" }, key), ": ", words(written));
  });
  return make("div", { class: "details" }, ...parts);
}
