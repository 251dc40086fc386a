// How far the work is: numbers, tables, and two drawings that a table says again.

import { get } from "./api.js";
import { createCircumplex, svg, x, y } from "./circumplex.js";
import { $, amount, draw, expressionName, make, percent, shareBar, table } from "./elements.js";
import { personName } from "./people.js";
import { attempt } from "./start.js";
import { affect, language, nameOf, t } from "./texts.js";

/** Called once. */
export function prepare() {
  $("dashboard-again").addEventListener("click", () => attempt(show));
}

/** Ask the server and draw everything anew. */
export async function show() {
  const board = await get("v1/dashboard");
  $("figures").replaceChildren(...figures(board));
  $("dashboard-people").replaceChildren(peopleTable(board.people));
  $("dashboard-expressions").replaceChildren(expressionTable(board.by_expression));
  $("dashboard-density").replaceChildren(...density(board.density));
  $("dashboard-days").replaceChildren(...days(board.days));
}

function figures({ answers, faces, per_hour, hours_left, agreement, gold, repeats, review }) {
  const done = make("span", {}, percent(answers.done, answers.wanted), " ",
    shareBar(answers.done / answers.wanted));
  const [part, of] = [amount(answers.done), amount(answers.wanted)];
  const reviewed = make("a", { href: "review" }, t("manage.dashboard.review_open"));
  return [
    figure("done", done, t("manage.dashboard.part_of", { part, of })),
    figure("left", remaining(answers.left, hours_left), t("manage.dashboard.speed", {
      left: amount(answers.left), speed: amount(per_hour),
    })),
    figure("agreement", percent(agreement.agree, agreement.pairs),
      t("manage.dashboard.pairs", { pairs: amount(agreement.pairs) })),
    figure("gold", percent(gold.right, gold.answers),
      t("manage.dashboard.gold_of", { answers: amount(gold.answers) })),
    figure("repeats", percent(repeats.same, repeats.answers),
      t("manage.dashboard.repeats_of", { answers: amount(repeats.answers) })),
    figure("review", amount(review.open), reviewed),
    figure("faces", amount(faces.total),
      t("manage.dashboard.faces_of", { batched: amount(faces.in_batches) })),
  ];
}

function figure(name, value, more) {
  return make("div", { id: `figure-${name}` }, make("dt", {}, t(`manage.dashboard.${name}`)),
    make("dd", { class: "value" }, value), make("dd", { class: "muted" }, more));
}

function remaining(left, hours) {
  if (left === 0) return t("manage.dashboard.none_left");
  if (hours === null) return t("manage.dashboard.unknown");
  if (hours < 1) return t("manage.dashboard.minutes", { minutes: Math.ceil(60 * hours) });
  if (hours < 100) return t("manage.dashboard.hours", { hours: amount(hours, hours < 10 ? 1 : 0) });
  return t("manage.dashboard.hours", { hours: amount(hours) });
}

function peopleTable(people) {
  const most = Math.max(...people.map((one) => one.work), 1);
  const heads = [t("manage.people.person"), t("manage.people.state"),
    [t("manage.dashboard.answers"), "number"],
    [t("manage.dashboard.today"), "number"], [t("manage.dashboard.seconds"), "number"]];
  return table(t("manage.dashboard.people"), heads, people.map((one) => [
    personName(one), nameOf("manage.state", one.state), [barred(one.work, most), "number"],
    [amount(one.today), "number"], [amount(one.seconds, 1), "number"],
  ]), t("manage.dashboard.nobody"));
}

const barred = (value, most) =>
  make("span", { class: "barred" }, shareBar(value / most), make("b", {}, amount(value)));

function expressionTable(counts) {
  const entries = Object.entries(counts);
  const total = entries.reduce((sum, [, n]) => sum + n, 0);
  const most = Math.max(...entries.map(([, n]) => n), 1);
  const heads = [t("manage.expression"), [t("manage.dashboard.answers"), "number"],
    [t("manage.share"), "number"]];
  return table(t("manage.dashboard.expressions"), heads, entries.map(([name, n]) => [
    expressionName(name), [barred(n, most), "number"], [percent(n, total), "number"],
  ]), t("manage.dashboard.no_answers"));
}

function density({ bins, counts }) {
  const most = Math.max(...counts.flat());
  const total = counts.flat().reduce((sum, n) => sum + n, 0);
  const names = Object.fromEntries(["negative", "positive", "calm", "excited"]
    .map((end) => [end, t(`circumplex.${end}`)]));
  const label = t("manage.dashboard.density_label", { points: amount(total) });
  const chart = createCircumplex({ names: { ...names, label } });
  const edge = (n) => -1 + (2 * n) / bins;
  const span = (n) => `${affect(edge(n))} … ${affect(edge(n + 1))}`;
  const side = x(edge(1)) - x(edge(0));
  counts.forEach((row, up) => row.forEach((n, right) => {
    if (n === 0) return;
    // The root keeps rare cells visible beside a crowded one.
    const place = { x: x(edge(right)), y: y(edge(up + 1)), width: side, height: side };
    const cell = svg("rect", { class: "cell", ...place, "fill-opacity": 0.12 + 0.88 * Math.sqrt(n / most) });
    cell.append(svg("title", {}, `${span(right)}, ${span(up)}: ${amount(n)}`));
    chart.layer.append(cell);
  }));
  return [chart.element, make("details", {},
    make("summary", {}, t("manage.as_table")), densityTable(counts, span))];
}

/** Arousal downward from the top, valence to the right, as in the drawing. */
function densityTable(counts, span) {
  const heads = [t("manage.dashboard.arousal_valence"),
    ...counts[0].map((_, right) => [span(right), "number"])];
  const rows = counts.map((row, up) => [span(up), ...row.map((n) => [amount(n), "number"])]);
  return table(t("manage.dashboard.density"), heads, rows.reverse());
}

function days(all) {
  const date = new Intl.DateTimeFormat(language().code, { dateStyle: "medium", timeZone: "UTC" });
  const shown = (day) => date.format(new Date(`${day}T00:00:00Z`));
  const most = Math.max(...all.map((one) => one.work), 1);
  const total = all.reduce((sum, one) => sum + one.work, 0);
  const [width, height] = [600, 120];
  const step = width / Math.max(all.length, 1);
  const bars = all.map((one, n) => {
    const tall = (height * one.work) / most;
    const place = { x: n * step + 1, y: height - tall, width: Math.max(step - 2, 1), height: tall };
    return draw("rect", place, draw("title", {}, `${shown(one.day)}: ${amount(one.work)}`));
  });
  const label = total === 0
    ? t("manage.dashboard.no_answers_in_days")
    : t("manage.dashboard.days_label", { answers: amount(total), most: amount(most) });
  const line = draw("line", { class: "base", x1: 0, x2: width, y1: height, y2: height });
  const chart = draw("svg", {
    class: "days", viewBox: `0 0 ${width} ${height + 1}`, role: "img", "aria-label": label,
  }, ...bars, line);
  const ends = all.length === 0 ? [] : [all[0], all.at(-1)];
  const heads = [t("manage.dashboard.day"), [t("manage.dashboard.answers"), "number"]];
  const rows = all.map((one) => [shown(one.day), [amount(one.work), "number"]]);
  return [make("p", { class: "muted" }, label), chart,
    make("p", { class: "ends muted small", dir: "ltr" },
      ...ends.map((one) => make("bdi", {}, shown(one.day)))),
    make("details", {}, make("summary", {}, t("manage.as_table")),
      table(t("manage.dashboard.days"), heads, rows.reverse()))];
}
