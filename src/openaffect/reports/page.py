"""The page of a report: one HTML file that needs no network and no script.

The text is built here from the numbers of `report.json` and the scored rows; drawings are in
`plots`, sections that need them in `figures`, colors and type in `page.css`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from openaffect.dataset import Dataset
from openaffect.reports import beside, figures, plots
from openaffect.reports.markup import (
    CAN_BE_NEGATIVE,
    METRIC_NAMES,
    bounds,
    document,
    number,
    section,
    table,
    wide,
)
from openaffect.reports.rows import ScoredRows

_ABOUT = {
    "f1": "mean over classes",
    "balanced_accuracy": "mean recall over classes",
    "weighted_f1": "mean weighted by support",
    "kappa": "multi-class",
    "kappa_ovr": "mean over one-against-rest",
    "alpha": "nominal, multi-class",
    "alpha_ovr": "mean over one-against-rest",
    "auc": "mean over one-against-rest",
    "auc_pr": "mean over one-against-rest",
    "top2": "truth among the two most likely",
    "ece": "15 bins; 0 is best",
    "cross_entropy": "against soft labels, in nats; 0 is best",
}


def render_page(
    data: Mapping[str, Any], rows: ScoredRows, dataset: Dataset | None, pictures: bool | None
) -> str:
    """The whole text of `report.html`.

    Args:
        data: what `report.json` holds.
        rows: the scored rows.
        dataset: where pictures of mistakes come from, or None.
        pictures: show them; None asks the dataset whether it may be shared.
    """
    sections = [
        _warnings(data),
        _scores(data),
        _per_class(data),
        _confusion(data),
        figures.curves(data, rows),
        _affect(data),
        figures.circumplex(data, rows),
        figures.reliability(data),
        figures.mistakes(data, rows, dataset, pictures),
        beside.published(data),
        _protocol(data),
        _undefined(data),
    ]
    body = _headline(data) + "\n".join(text for text in sections if text)
    foot = (
        f"Made by {escape(str(data['made_by']))}. Every number is in <code>report.json</code>, "
        "every scored row in <code>rows.parquet</code>."
    )
    return document(_title(data), body, foot)


# ---- top --------------------------------------------------------------------------------


def _title(data: Mapping[str, Any]) -> str:
    protocol = data["protocol"]
    return f"{protocol['model'] or 'A system'} on {protocol['dataset']}"


def _headline(data: Mapping[str, Any]) -> str:
    protocol = data["protocol"]
    split = "all rows" if protocol["split"] == "all" else f"{protocol['split']} split"
    facts = [
        f"<b>{protocol['rows']:,}</b> faces",
        f"<b>{escape(split)}</b>",
        f"<b>{len(protocol['labels'])}</b> expressions",
    ]
    if data["dimensional"] is not None:
        facts.append(f"<b>{protocol['rows_affect']:,}</b> with valence and arousal")
    facts.append(f"<b>{protocol['n_failed']:,}</b> failed")
    return (
        f'<header>\n<p class="kicker">Evaluation report</p>\n<h1>{escape(_title(data))}</h1>\n'
        f'<ul class="facts">{"".join(f"<li>{fact}</li>" for fact in facts)}</ul>\n'
        f'<div class="cards">{"".join(_cards(data))}</div>\n</header>\n'
    )


def _cards(data: Mapping[str, Any]) -> list[str]:
    cards = []
    if data["categorical"] is not None:
        for metric in ("accuracy", "f1"):
            for way, what in (("orig", "as is"), ("norm", "classes balanced")):
                scores = data["categorical"][metric][way]
                cards.append(_card(METRIC_NAMES[metric], f"{way.capitalize()}, {what}", scores, 0))
    if data["dimensional"] is not None:
        cards += [
            _card("CCC", axis, data["dimensional"][axis]["ccc"], -1)
            for axis in ("valence", "arousal")
        ]
    return cards


def _card(name: str, what: str, scores: Mapping[str, Any], floor: float) -> str:
    return (
        f'<div class="card"><p class="card-name">{escape(name)} <span>{escape(what)}</span></p>'
        f'<p class="card-value">{number(scores["value"])}</p>'
        f"{plots.interval_bar(scores['value'], scores['low'], scores['high'], floor)}"
        f'<p class="card-range">{bounds(scores)}</p></div>'
    )


def _warnings(data: Mapping[str, Any]) -> str:
    if not data["warnings"]:
        return ""
    lines = "".join(f"<li>{escape(line)}</li>" for line in data["warnings"])
    return f'<aside class="warnings"><h2>Read this first</h2><ul>{lines}</ul></aside>\n'


# ---- scores -----------------------------------------------------------------------------


def _scores(data: Mapping[str, Any]) -> str:
    if data["categorical"] is None:
        return ""
    lines = []
    for metric, ways in data["categorical"].items():
        floor = -1.0 if metric in CAN_BE_NEGATIVE else 0.0
        cells = [f"{METRIC_NAMES[metric]}{_about(metric)}"]
        for way in ("orig", "norm"):
            scores = ways.get(way, dict.fromkeys(("value", "low", "high", "n")))
            bar = scores["value"] is not None and metric != "cross_entropy"
            cells += [
                f"<b>{number(scores['value'])}</b>",
                bounds(scores),
                plots.interval_bar(scores["value"], scores["low"], scores["high"], floor)
                if bar
                else "",
            ]
        lines.append(cells)
    size = data["categorical"]["accuracy"]["norm"]["n"]
    draws = data["protocol"]["draws"]
    return section(
        "scores",
        "Expressions: all scores",
        f"<b>Orig</b> is the rows as they are. <b>Norm</b> takes the skew out: the mean over "
        f"{draws:,} random draws of {size:,} faces in which all classes have the size of the "
        "smallest. Brackets are 95 % bootstrap intervals.",
        table(
            ["Metric", "Orig", "95 %", "", "Norm", "95 %", ""],
            lines,
            kinds="lnibnib",
            name="scores",
        ),
    )


def _about(metric: str) -> str:
    return f'<span class="about">{escape(_ABOUT[metric])}</span>' if metric in _ABOUT else ""


def _per_class(data: Mapping[str, Any]) -> str:
    if data["per_class"] is None:
        return ""
    classes: Mapping[str, Mapping[str, Any]] = data["per_class"]
    most = max(1, *(max(c["support"], c["predicted"]) for c in classes.values()))
    lines = [
        [
            f'<i class="swatch c-{name}"></i>{escape(wide(name))}',
            _bar(f"{c['support']:,}", c["support"] / most, "quiet"),
            _bar(f"{c['predicted']:,}", c["predicted"] / most, "quiet"),
            *(
                _bar(number(c[metric]), c[metric] or 0.0, f"c-{name}")
                for metric in ("precision", "recall", "f1")
            ),
            number(c["auc"]),
            number(c["auc_pr"]),
        ]
        for name, c in classes.items()
    ]
    heads = ["Expression", "Faces", "Predicted", "Precision", "Recall", "F1", "AUC", "AUC-PR"]
    return section(
        "classes",
        "Expressions: each class",
        "F1 is 0 when a class that is there is never predicted, and undefined only when it is "
        "neither there nor predicted. AUC and AUC-PR are of the class against the rest.",
        table(heads, lines, kinds="lwwwwwnn", name="classes"),
    )


def _bar(text: str, share: float, kind: str) -> str:
    return (
        f'<span class="bar"><span class="fill {kind}" style="width:{share:.1%}"></span></span>'
        f"<span>{text}</span>"
    )


def _confusion(data: Mapping[str, Any]) -> str:
    if data["confusion"] is None:
        return ""
    labels, columns = data["confusion"]["labels"], data["confusion"]["columns"]
    counts: Sequence[Sequence[int]] = data["confusion"]["counts"]
    if not any(row[-1] for row in counts):
        columns, counts = columns[:-1], [row[:-1] for row in counts]
    head = "".join(f'<th scope="col">{escape(wide(name))}</th>' for name in columns)
    body = []
    for i, (label, row) in enumerate(zip(labels, counts, strict=True)):
        total = sum(row)
        cells = "".join(_cell(count, total, i == j) for j, count in enumerate(row))
        body.append(
            f'<tr><th scope="row">{escape(wide(label))}</th>{cells}<td class="total">{total:,}</td></tr>'
        )
    return section(
        "confusion",
        "Expressions: confusion",
        "A row is a true expression, a column what was predicted; shade and percentage are "
        "shares of the row, small numbers are faces.",
        '<div class="scroll"><table class="confusion"><thead><tr><th class="corner">true ↓ '
        f'predicted →</th>{head}<th class="total">faces</th></tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>",
    )


def _cell(count: int, total: int, right: bool) -> str:
    if not total:
        return '<td class="empty">–</td>'
    share = count / total
    kinds = " ".join(
        kind for kind, on in (("right", right), ("strong", share > 0.5), ("zero", not count)) if on
    )
    return f'<td class="{kinds}" style="--s:{share:.3f}"><b>{share:.0%}</b><small>{count:,}</small></td>'


def _affect(data: Mapping[str, Any]) -> str:
    if data["dimensional"] is None:
        return ""
    lines = []
    for metric in ("rmse", "mae", "corr", "sagr", "ccc"):
        cells = [f"{METRIC_NAMES[metric]}{_AFFECT_ABOUT[metric]}"]
        for axis in ("valence", "arousal"):
            scores = data["dimensional"][axis][metric]
            floor = -1.0 if metric in CAN_BE_NEGATIVE else 0.0
            bar = plots.interval_bar(scores["value"], scores["low"], scores["high"], floor)
            cells += [f"<b>{number(scores['value'])}</b>", bounds(scores), bar]
        lines.append(cells)
    for key, what in (("scored_mean", "the scored rows"), ("train_mean", "the training rows")):
        floors = [data["dimensional"][axis]["floors"][key] for axis in ("valence", "arousal")]
        if None in floors:
            continue
        cells = [f'Floor: RMSE of one guess<span class="about">the mean of {what}</span>']
        for f in floors:
            cells += [f"<b>{number(f['rmse'])}</b>", f"guess {number(f['guess'], sign=True)}", ""]
        lines.append(cells)
    return section(
        "affect",
        "Valence and arousal: all scores",
        "An RMSE above a floor is worse than saying the same number for every face.",
        table(
            ["Metric", "Valence", "95 %", "", "Arousal", "95 %", ""],
            lines,
            kinds="lnibnib",
            name="scores",
        ),
    )


_AFFECT_ABOUT = {
    metric: f'<span class="about">{text}</span>'
    for metric, text in (
        ("rmse", "root mean squared error; 0 is best"),
        ("mae", "mean absolute error; 0 is best"),
        ("corr", "Pearson’s correlation"),
        ("sagr", "share of faces with the right sign"),
        ("ccc", "concordance: agreement, not only correlation"),
    )
}


# ---- bottom -----------------------------------------------------------------------------


def _protocol(data: Mapping[str, Any]) -> str:
    p = data["protocol"]
    made_with = {k: v for k, v in p["made_with"].items() if k not in ("model", "recipe", "crop")}
    lines = [
        ("Dataset", p["dataset"]),
        ("Source", p["dataset_source"]),
        ("License", p["license"]),
        ("Split", p["split"]),
        ("Label set", ", ".join(wide(name) for name in p["labels"])),
        ("Rows scored for expression", f"{p['rows']:,}"),
        ("Rows scored for valence and arousal", f"{p['rows_affect']:,}"),
        ("Rows of the split left out", _counts(p["left_out"]) or "no row"),
        ("Affect rows", p["affect_rows"]),
        ("Failed", f"{p['n_failed']:,}"),
        ("Nothing said inside the label set", f"{p['n_outside']:,}"),
        ("Origin of expressions", _counts(p["expression_origin"])),
        ("Origin of valence and arousal", _counts(p["affect_origin"])),
        ("Crop of the dataset", _settings(p["crop_dataset"])),
        ("Crop of the model", _settings(p["crop_model"])),
        ("Model", p["model"]),
        ("Recipe", _settings(p["recipe"])),
        *((f"Model: {key}", _settings(value)) for key, value in made_with.items()),
        ("Balanced draws", f"{p['draws']:,}"),
        ("Bootstrap rounds", f"{p['rounds']:,}"),
        ("Seed", str(p["seed"])),
        ("Fingerprint of the scored rows", p["fingerprint"]),
        ("Fingerprint of the dataset", p["dataset_fingerprint"]),
    ]
    body = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(str(value)) if value else '<i>not stated</i>'}</dd>"
        for name, value in lines
    )
    return section(
        "protocol",
        "Protocol",
        "Two reports may be ranked against each other only if their fingerprints of the scored "
        "rows are equal.",
        f'<dl class="protocol">{body}</dl>',
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {wide(name)}" for name, count in counts.items())


def _settings(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_settings(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_settings(item) for item in value)
    return "" if value is None else str(value)


def _undefined(data: Mapping[str, Any]) -> str:
    if not data["undefined"]:
        return section("undefined", "Undefined", "Every metric could be computed.", "")
    lines = [[escape(name), escape(reason)] for name, reason in data["undefined"].items()]
    return section(
        "undefined",
        "Undefined",
        "What could not be computed, and why. In report.json these are null, never 0.",
        table(["Metric", "Reason"], lines, kinds="ll", name="undefined"),
    )
