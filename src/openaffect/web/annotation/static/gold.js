// Gold faces: those with a known answer, for training rounds and for hidden checks.

import { get, post } from "./api.js";
import { $, amount, expressionName, make, table } from "./elements.js";
import { attempt } from "./start.js";
import { t } from "./texts.js";

/** Called once. */
export function prepare() {
  $("gold-review").addEventListener("click", () => attempt(() => add({ source: "review" })));
  $("gold-csv").addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(async () => {
      const csv = await $("gold-file").files[0].text();
      await add({ source: "csv", csv });
      $("gold-csv").reset();
    });
  });
}

/** Ask the server and show how much gold there is. */
export async function show() {
  const { total, training, by_expression } = await get("v1/gold");
  $("gold-total").textContent = t("manage.gold.total", { total: amount(total), training: amount(training) });
  const heads = [t("manage.expression"), [t("manage.batches.faces"), "number"]];
  $("gold-table").replaceChildren(table(t("manage.gold.by_expression"), heads,
    Object.entries(by_expression).map(([name, n]) => [expressionName(name), [amount(n), "number"]]),
    t("manage.gold.none")));
}

async function add(body) {
  const { added, known, rejected } = await post("v1/gold", body);
  await attempt(show);
  $("gold-added-head").textContent = t("manage.gold.added", {
    added: amount(added), known: amount(known), rejected: amount(rejected.length),
  });
  const heads = [[t("manage.gold.row"), "number"], t("manage.gold.reason")];
  const reasons = rejected.map(({ row, reason }) =>
    [[amount(row), "number"], make("bdi", { lang: "en" }, reason)]);
  $("gold-rejected").replaceChildren(...(rejected.length > 0
    ? [table(t("manage.gold.rejected"), heads, reasons)] : []));
  $("gold-added").hidden = false;
  $("gold-added-head").focus();
}
