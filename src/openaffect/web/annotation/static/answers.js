// What several people said of one face: as a table, as one line, and as points with letters.

import { amount, expressionName, make, moment, table, words } from "./elements.js";
import { affect, nameOf, t } from "./texts.js";

const NEAR = 0.16; // letters of points nearer than this would lie over each other

/** How the n-th person is called on the drawing: A, B, … Z, A2, … */
export function letter(n) {
  const again = Math.floor(n / 26);
  return String.fromCharCode(65 + (n % 26)) + (again > 0 ? again + 1 : "");
}

const badge = (n) => make("b", { class: "letter" }, letter(n));

/** Letters and categories in one line. */
export function said(annotations) {
  return annotations.flatMap((one, n) =>
    [n > 0 ? " · " : "", make("bdi", { class: "one" }, badge(n), " ", expressionName(one.expression))]);
}

/** Whether an answer can go back to its person: reviews and imported labels came by no face given. */
export const canGoBack = ({ kind }) => ["work", "gold", "repeat"].includes(kind);

/** Everything that each of them said; `use` takes an answer over, `sendBack` asks its person again. */
export function answersTable(annotations, { use, sendBack }) {
  const heads = [t("review.person"), t("work.categories"), [t("circumplex.valence"), "number"],
    [t("circumplex.arousal"), "number"], t("review.marks"), t("review.comment"),
    [t("review.seconds"), "number"], t("review.at"), [t("review.act"), "act"]];
  const rows = annotations.map((one, n) => [
    make("span", {}, badge(n), " ", words(one.person)), expressionName(one.expression),
    [coordinate(one.valence), "number"], [coordinate(one.arousal), "number"], [marks(one), "wrap"],
    make("bdi", { class: "comment", dir: "auto" }, one.comment), [amount(one.seconds, 1), "number"],
    moment(one.at, { dateStyle: "short", timeStyle: "short" }), [make("span", { class: "row" },
      small(t("review.use"), n, () => use(one)),
      canGoBack(one) ? small(t("review.return"), n, () => sendBack(one)) : null), "act"],
  ]);
  return table(t("review.answers"), heads, rows);
}

const coordinate = (value) => (value === null ? "–" : affect(value));

function small(text, n, onclick) {
  const label = `${text}: ${letter(n)}`;
  return make("button", { type: "button", class: "quiet", "aria-label": label, onclick }, text);
}

function marks({ occluded, flag, outside_region, kind }) {
  const found = [
    flag && t("action.flag"), occluded && t("action.occluded"),
    outside_region && t("review.outside"), kind === "review" && t("review.by_reviewer"),
    kind === "imported" && t("review.imported"),
  ].filter(Boolean);
  return found.length > 0 ? found.join(", ") : "–";
}

/**
 * Points for the circumplex, each with its person's letter: beside the point, and away from its
 * neighbors, so that the letters of near points stay apart.
 */
export function toPoints(annotations) {
  const placed = annotations.map((one, n) => ({ ...one, n })).filter((one) => one.valence !== null);
  return placed.map((one) => {
    const { valence, arousal, expression, n, person } = one;
    const near = placed.filter((other) =>
      Math.hypot(other.valence - valence, other.arousal - arousal) < NEAR);
    const [right, up] = away(one, near);
    const point = `${affect(valence)}, ${affect(arousal)}`;
    const title = `${letter(n)} ${person}: ${nameOf("expression", expression)} (${point})`;
    return { valence, arousal, expression, text: letter(n), title, textAt: [13 * right, -13 * up] };
  });
}

/** A direction of length one, from the middle of the near ones; of equal points, around the clock. */
function away(one, near) {
  const mean = (key) => near.reduce((sum, other) => sum + other[key], 0) / near.length;
  const [right, up] = [one.valence - mean("valence"), one.arousal - mean("arousal")];
  const length = Math.hypot(right, up);
  if (length > 0.005) return [right / length, up / length];
  const angle = Math.PI / 4 + (2 * Math.PI * near.indexOf(one)) / near.length;
  return [Math.cos(angle), Math.sin(angle)];
}
