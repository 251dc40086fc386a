"""The page of the tables of Giguere 2020: ours, the printed, and what the printed must be."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from openaffect.labels import Expression
from openaffect.pages.text import METRIC_NAMES, number, wide
from openaffect.replication.experiment_page import (
    differences_section,
    failures,
    header,
    own,
    paragraphs,
    read_first,
    recipe_warnings,
    rows_section,
    settings_warning,
)
from openaffect.replication.experiments import Outcome
from openaffect.replication.giguere2020_tables import (
    FIVE,
    SIX,
    SPLITS,
    TABLE_4,
    TABLE_5,
    TABLE_6,
    TABLE_7,
    TOTALS,
    TRAINED,
    misprints,
    recompute,
    recompute_recall,
)
from openaffect.reports.markup import document, section, table
from openaffect.reports.published import TEST

if TYPE_CHECKING:
    from openaffect.replication.giguere2020 import Giguere2020

_METRICS = ("accuracy", "weighted_f1", "f1")
_BASELINE = "AlexNet, weighted loss"


def render_giguere2020(replication: Giguere2020) -> str:
    """The whole text of `giguere2020.html`."""
    title = f"The tables of Giguere 2020 on {replication.setup.dataset.info.name}"
    builders = {
        "3": _counts_section,
        "4": _transfer_section,
        "5": _vgg_section,
        "6": _recall_section,
        "7": _comparison_section,
    }
    sections = [
        _top(replication, title),
        *(builders[number](replication) for number in replication.tables),
        _misprints_section(),
        rows_section(replication.outcomes),
        _protocol_section(replication),
    ]
    return document(title, "".join(sections))


def _top(replication: Giguere2020, title: str) -> str:
    scored = sum(replication.counts.get(replication.setup.split, {}).values())
    learned = sum(replication.counts["train"].values())
    facts = [
        f"<b>{scored:,}</b> faces of the six expressions scored",
        f"split <b>{escape(replication.setup.split)}</b>",
        f"<b>{learned:,}</b> in the training split",
        f"fingerprint <code>{replication.setup.fingerprint[:12]}</code>",
    ]
    lines = [
        *failures(replication.outcomes),
        *settings_warning(replication.setup.settings),
        *recipe_warnings(replication.outcomes),
        *_differences(replication),
    ]
    return header("Giguere 2020", title, facts) + read_first(lines)


def _differences(replication: Giguere2020) -> list[str]:
    info = replication.setup.dataset.info
    found = []
    if "affectnet" not in f"{info.name} {info.source}".lower():
        found.append(f"another dataset ({info.name}, not AffectNet)")
    if (
        tuple(replication.counts["test"].values()) != SPLITS["test"]
        or replication.setup.split != "test"
    ):
        found.append("other scored faces")
    if tuple(replication.counts["train"].values()) != TRAINED:
        found.append("other numbers of training faces")
    if not found:
        return []
    return [f"The printed numbers do not compare with ours: {'; '.join(found)}."]


# ---- table 3 ----------------------------------------------------------------------------


def _counts_section(replication: Giguere2020) -> str:
    lines = []
    for split, printed in SPLITS.items():
        here = tuple(replication.counts[split].values())
        lines.append(_counts_line(f"{split.capitalize()}, printed", printed, TOTALS[split]))
        if split == "train":
            lines.append(_counts_line("Train, as it must be", TRAINED, sum(TRAINED)))
        lines.append(
            [
                f"<b>{split.capitalize()}, here</b>",
                *(f"<b>{n:,}</b>" for n in (*here, sum(here))),
            ]
        )
    return section(
        "table-3",
        "Table 3: faces of each expression",
        "Giguere kept 500 faces of each expression for validation and drew the test faces in "
        "proportion. Numbers of “here” are this dataset’s.",
        table(
            ["", *(wide(label).capitalize() for label in SIX), "Total"],
            lines,
            kinds="l" + "n" * (len(SIX) + 1),
            name="counts",
        ),
    )


def _counts_line(name: str, counts: Sequence[int], total: int) -> list[str]:
    return [name, *(f"{n:,}" for n in counts), f"{total:,}"]


# ---- tables 4 and 5 ---------------------------------------------------------------------


def _transfer_section(replication: Giguere2020) -> str:
    outcome = replication.outcome("transfer")
    body = _scores(TABLE_4, (0.57, 0.59, None), [outcome]) + _matrices(FIVE, TABLE_4, [outcome])
    return section(
        "table-4",
        "Table 4: ResNet-50 transfer, five expressions",
        "Rows of a matrix are true expressions, columns predicted ones. Recomputed: from the "
        "printed matrix.",
        body,
    )


def _vgg_section(replication: Giguere2020) -> str:
    outcomes = [replication.outcome("vgg"), replication.outcome("vgg-unweighted")]
    body = _scores(TABLE_5, (0.63, 0.62, None), outcomes) + _matrices(SIX, TABLE_5, outcomes)
    text = section(
        "table-5",
        "Table 5: VGG type, six expressions",
        "Giguere printed the model with the class-balanced loss; the unweighted one is its "
        "code’s other choice, for comparison. Recomputed: from the printed matrix.",
        body,
    )
    if replication.comparison is None:
        return text
    (group,) = replication.comparison.groups
    return text + differences_section(group, "differences")


def _scores(
    printed: Sequence[Sequence[int]],
    stated: Sequence[float | None],
    outcomes: Sequence[Outcome | None],
) -> str:
    right = recompute(printed)
    lines = [
        [
            METRIC_NAMES[metric],
            *(own(_score(o, metric)) for o in outcomes),
            f'<span class="their">{number(value, 2)}</span>',
            f'<span class="their">{number(right[metric])}</span>',
        ]
        for metric, value in zip(_METRICS, stated, strict=True)
    ]
    heads = ["Metric", *_titles(outcomes), "printed", "recomputed"]
    return table(heads, lines, kinds="l" + "n" * (len(heads) - 1), name="giguere2020")


def _titles(outcomes: Sequence[Outcome | None]) -> list[str]:
    if len(outcomes) == 1:
        return ["ours"]
    return [f"ours: {o.row.title}" if o is not None else "ours" for o in outcomes]


def _score(outcome: Outcome | None, metric: str) -> Any:
    if outcome is None or outcome.report is None or outcome.report["categorical"] is None:
        return None
    return outcome.report["categorical"][metric]["orig"]


def _matrices(
    labels: Sequence[Expression],
    printed: Sequence[Sequence[int]],
    outcomes: Sequence[Outcome | None],
) -> str:
    parts = [_matrix("Printed", labels, printed)]
    for outcome in outcomes:
        if outcome is None or outcome.report is None or outcome.report["confusion"] is None:
            continue
        confusion = outcome.report["confusion"]
        names = [Expression(name) for name in confusion["labels"]]
        counts = [row[: len(names)] for row in confusion["counts"]]
        parts.append(_matrix(f"Ours: {outcome.row.title}", names, counts))
    return "".join(parts)


def _matrix(title: str, labels: Sequence[Expression], counts: Sequence[Sequence[int]]) -> str:
    head = "".join(f'<th scope="col">{escape(wide(label))}</th>' for label in labels)
    body = "".join(
        f'<tr><th scope="row">{escape(wide(label))}</th>'
        + "".join(_cell(n, sum(row), i == j) for j, n in enumerate(row))
        + f'<td class="total">{sum(row):,}</td></tr>'
        for i, (label, row) in enumerate(zip(labels, counts, strict=True))
    )
    return (
        f'<h3 class="matrix">{escape(title)}</h3><div class="scroll"><table class="confusion">'
        f'<thead><tr><th class="corner">true ↓ predicted →</th>{head}<th class="total">faces</th>'
        f"</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(count: int, total: int, right: bool) -> str:
    if not total:
        return '<td class="empty">–</td>'
    share = count / total
    kinds = " ".join(kind for kind, on in (("right", right), ("strong", share > 0.5)) if on)
    return f'<td class="{kinds}" style="--s:{share:.3f}"><b>{count:,}</b><small>{share:.0%}</small></td>'


# ---- tables 6 and 7 ---------------------------------------------------------------------


def _recall_section(replication: Giguere2020) -> str:
    right = recompute_recall()
    outcome = replication.outcome("vgg")
    classes = outcome.report["per_class"] if outcome is not None and outcome.report else {}
    lines = []
    for name, printed in TABLE_6.items():
        ours = (classes or {}).get(name)
        lines.append(
            [
                f'<i class="swatch c-{name}"></i>{escape(wide(name))}',
                "–" if ours is None else f"<b>{number(ours['recall'])}</b>",
                "–" if ours is None else f"{ours['support']:,}",
                f'<span class="their">{number(printed, 2)}</span>',
                f'<span class="their">{number(right[name])}</span>',
            ]
        )
    return section(
        "table-6",
        "Table 6: recall of the VGG type",
        "Of the model with the class-balanced loss. Recomputed: from Table 5.",
        table(
            ["Expression", "ours", "faces", "printed", "recomputed"],
            lines,
            kinds="lnnnn",
            name="giguere2020",
        ),
    )


def _comparison_section(replication: Giguere2020) -> str:
    baseline = next(row for row in TEST.rows if row.name == _BASELINE)
    rights = {"transfer": recompute(TABLE_4), "vgg": recompute(TABLE_5)}
    lines = [
        [
            'Baseline<span class="about">AffectNet’s weighted loss, eight expressions</span>',
            *("–", "–", "–"),
            *(f'<span class="their">{number(v, 2)}</span>' for v in TABLE_7["baseline"]),
            "–",
            f'<span class="their">{number(baseline.scores["f1"][0], 2)}</span>',
        ]
    ]
    for key, name in (("transfer", "ResNet-50 transfer"), ("vgg", "VGG type")):
        outcome = replication.outcome(key)
        about = "five expressions" if key == "transfer" else "six expressions"
        lines.append(
            [
                f'{name}<span class="about">{about}</span>',
                *(own(_score(outcome, metric)) for metric in _METRICS),
                *(f'<span class="their">{number(v, 2)}</span>' for v in TABLE_7[key]),
                *(
                    f'<span class="their">{number(rights[key][m])}</span>'
                    for m in ("weighted_f1", "f1")
                ),
            ]
        )
    heads = [
        *("Model", "accuracy, ours", "weighted F1, ours", "macro F1, ours"),
        *("accuracy, printed", "F1, printed", "weighted F1, right", "macro F1, right"),
    ]
    return section(
        "table-7",
        "Table 7: the models beside AffectNet’s baseline",
        "The printed F1 of the baseline is macro, those of Giguere 2020 weighted: only the last "
        "column sets like beside like, and still over different expressions and different test "
        "faces. The baseline itself is a row of <code>openaffect replicate affectnet2017</code>.",
        table(heads, lines, kinds="lnnnnnnn", name="giguere2020"),
    )


# ---- misprints and protocol -------------------------------------------------------------


def _misprints_section() -> str:
    lines = [
        [escape(m.place), escape(m.printed), f"<b>{escape(m.right)}</b>", escape(m.reason)]
        for m in misprints()
    ]
    return section(
        "misprints",
        "What Giguere misprints",
        "None of our code was changed to match a slip.",
        table(["Place", "Printed", "Should be", "Why"], lines, kinds="llll", name="misprints"),
    )


def _protocol_section(replication: Giguere2020) -> str:
    words = [
        *replication.protocol,
        "Giguere watched the validation faces to stop; here a seeded share of the training faces "
        "(early_stopping_fraction of the recipe) serves for that, and no scored face is looked at.",
        "Giguere’s class weights were made from all training and validation faces (Appendix B), "
        "ours from those that are learned from: on AffectNet they differ by 6 % at most.",
        f"Intervals: 95 %, {replication.setup.rounds:,} bootstrap samples of the faces. Giguere prints "
        "none.",
        "The two models tell different sets of expressions, so they are scored on different faces "
        "and not ranked against each other.",
    ]
    return section("protocol", "Protocol", "", paragraphs(words))
