"""From a dataset and predictions to a report: every number, its interval, and how it was made."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from openaffect import metrics
from openaffect.dataset import Dataset
from openaffect.errors import InputError, MismatchError
from openaffect.judgments import count_votes
from openaffect.labels import EMOTIONS
from openaffect.metrics import Estimate
from openaffect.predictions import Predictions
from openaffect.progress import OnProgress, Progress
from openaffect.reports.contents import (
    Axis,
    Bin,
    Categorical,
    ClassScores,
    Confusion,
    Dimensional,
    Floor,
    Floors,
    HumanCeiling,
    Protocol,
    Reliability,
    Score,
    Ways,
    defined,
    to_json_value,
)
from openaffect.reports.report import Report, made_by
from openaffect.reports.rows import (
    ALL,
    FAILED,
    OUTSIDE,
    AffectRows,
    Floats,
    ScoredRows,
    Selection,
    choose_labels,
    fingerprint,
    join_rows,
    select_rows,
)

AXES = ("valence", "arousal")

_FEW = 20  # faces of the rarest class, below which Norm is warned of
# When another order of the labels is suspected: so many rows, so much more accuracy, such a κ.
_ENOUGH, _GAIN, _AGREEMENT = 30, 0.15, 0.4


def evaluate(
    dataset: Dataset,
    predictions: Predictions,
    *,
    split: str | None = None,
    labels: str | int | Sequence[str] | None = None,
    affect_rows: AffectRows = "labels",
    draws: int = 200,
    rounds: int = 1000,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Report:
    """Judge predictions against the labels of a dataset.

    Args:
        dataset: the faces with their labels.
        predictions: of these faces, in any order; other faces are an error.
        split: `train`, `validation`, `test` or `all`; by default `test` if the dataset has it,
            else `validation`, else all rows of a dataset without splits.
        labels: `7`, `8`, `11` or names; by default 8, fewer if the model has fewer.
        affect_rows: which rows count for valence and arousal: those of the label set, or `all`
            that have them, which adds None.
        draws: balanced draws behind each Norm value.
        rounds: bootstrap samples behind each interval.
        seed: the same seed gives the same numbers.
        on_progress: called with a word on what is being done.

    Raises:
        MismatchError: a face without a prediction or a prediction of another face, a label set
            that the model lacks, or nothing that both the rows and the predictions have.
        InputError: no row to score, or all of them failed.
    """
    on_progress = on_progress or (lambda _: None)
    chosen = choose_labels(predictions, labels)
    selection = select_rows(dataset, chosen, split, affect_rows)
    rows = join_rows(dataset, predictions, selection)
    _reject_all_failed(rows, predictions)
    undefined: dict[str, str] = {}
    protocol = _protocol(dataset, predictions, selection, rows, (draws, rounds, seed))
    on_progress(Progress("expressions"))
    expressions = _expressions(rows, draws, rounds, seed, undefined)
    ceiling = _human_ceiling(dataset, selection, rows, expressions, (rounds, seed), undefined)
    on_progress(Progress("valence and arousal"))
    dimensional = _dimensional(dataset, selection, rows, rounds, seed, undefined)
    if expressions.categorical is None and dimensional is None:
        raise MismatchError(f"nothing to score in {dataset.path}: " + "; ".join(undefined.values()))
    return Report(
        made_by=made_by(),
        protocol=protocol,
        categorical=expressions.categorical,
        per_class=expressions.per_class,
        confusion=expressions.confusion,
        human_ceiling=ceiling,
        reliability=expressions.reliability,
        dimensional=dimensional,
        undefined=undefined,
        warnings=_warnings(protocol, predictions, expressions, dimensional),
        table=rows.to_table(),
    )


def _reject_all_failed(rows: ScoredRows, predictions: Predictions) -> None:
    """Raise an InputError if no scored row has any prediction: accuracy 0 would say nothing."""
    tells = np.full(len(rows), rows.answers is not None)
    placed = np.zeros(len(rows), bool) if rows.affect is None else ~np.isnan(rows.affect[:, 0])
    scored = (rows.categorical & tells) | (rows.dimensional & (rows.affect is not None))
    said = (rows.categorical & tells & (rows.status != FAILED)) | (rows.dimensional & placed)
    if not scored.any() or said.any():
        return
    why = next((error for error in predictions.errors if error is not None), "no reason is given")
    raise InputError(f"all {len(rows):,} scored faces failed, nothing is predicted; first: {why}")


# ---- expressions ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Expressions:
    """The parts of a report that judge expressions; None where there is nothing to judge."""

    categorical: Categorical | None = None
    per_class: dict[str, ClassScores] | None = None
    confusion: Confusion | None = None
    reliability: Reliability | None = None


def _expressions(
    rows: ScoredRows, draws: int, rounds: int, seed: int, undefined: dict[str, str]
) -> _Expressions:
    picked = rows.categorical
    answers, predicted = rows.answers, rows.predicted
    if answers is None or predicted is None:
        undefined["categorical"] = "the predictions tell no expression"
        return _Expressions()
    if not picked.any():
        undefined["categorical"] = "no scored row has an expression of the label set"
        return _Expressions()
    truth, k = rows.truth[picked], len(rows.labels)
    soft = None
    if rows.soft_labels is not None:
        ids = [label.id for label in rows.labels]
        soft = metrics.restrict_soft_labels(rows.soft_labels[picked], ids)
    scores = metrics.score_categorical(
        truth, answers[picked], k, soft_labels=soft, draws=draws, rounds=rounds, seed=seed
    )
    _note_undefined(scores, undefined)
    matrix = metrics.confusion_matrix(truth, predicted[picked], k)
    readable = picked & (predicted >= 0)
    probabilities = None if rows.probabilities is None else rows.probabilities[readable]
    labels = [label.value for label in rows.labels]
    ways = {
        metric: Ways(**{way: _score(estimate) for way, estimate in found.items()})
        for metric, found in scores.items()
    }
    return _Expressions(
        Categorical(**ways),
        _per_class(rows, matrix, rows.truth[readable], probabilities),
        Confusion(labels, [*labels, "failed"], matrix.tolist()),
        _reliability(rows.truth[readable], probabilities),
    )


def _human_ceiling(
    dataset: Dataset,
    selection: Selection,
    rows: ScoredRows,
    expressions: _Expressions,
    sampling: tuple[int, int],
    undefined: dict[str, str],
) -> HumanCeiling | None:
    """One rater against the others, and the system's accuracy, on the scored faces with raters.

    None where nothing is scored, or the dataset knows no raters.
    """
    if expressions.categorical is None or rows.predicted is None:
        return None
    picked = rows.categorical
    counts = count_votes(dataset)[selection.rows[picked]]
    if not counts.any():
        return None
    rounds, seed = sampling
    found = metrics.score_raters(counts, rounds=rounds, seed=seed).human_ceiling
    if found.reason is not None:
        undefined["human_ceiling"] = "no scored face has two raters"
        return None
    accuracy = expressions.categorical.accuracy.orig
    if found.n < len(counts):
        rated = counts.sum(axis=1) >= 2
        right = (rows.predicted[picked] == rows.truth[picked])[rated]
        accuracy = _score(metrics.score_mean(right, rounds=rounds, seed=seed))
    ceiling = _score(found)
    return HumanCeiling(ceiling.value, ceiling.low, ceiling.high, ceiling.n, accuracy)


def _per_class(
    rows: ScoredRows, matrix: NDArray[np.int64], truth: Any, probabilities: Floats | None
) -> dict[str, ClassScores]:
    k = len(rows.labels)
    auc = auc_pr = np.full(k, np.nan)
    if probabilities is not None and len(probabilities):
        auc = metrics.roc_auc(truth, probabilities)
        auc_pr = metrics.average_precision(truth, probabilities)
    counts = (metrics.support(matrix), matrix.sum(axis=0)[:k], matrix[:, k])
    scores = (metrics.precision(matrix), metrics.recall(matrix), metrics.f1(matrix), auc, auc_pr)
    return {
        label.value: ClassScores(
            *(int(values[i]) for values in counts), *(defined(float(s[i])) for s in scores)
        )
        for i, label in enumerate(rows.labels)
    }


def _reliability(truth: Any, probabilities: Floats | None) -> Reliability | None:
    if probabilities is None or not len(probabilities):
        return None
    bins = [
        Bin(b.low, b.high, b.count, defined(b.confidence), defined(b.accuracy))
        for b in metrics.reliability(truth, probabilities)
    ]
    return Reliability(defined(metrics.ece(truth, probabilities)), len(truth), bins)


def _note_undefined(scores: dict[str, dict[str, Estimate]], undefined: dict[str, str]) -> None:
    for metric, ways in scores.items():
        reasons = {way: e.reason for way, e in ways.items() if e.reason is not None}
        if len(reasons) == len(ways) and len(set(reasons.values())) == 1:
            undefined[metric] = next(iter(reasons.values()))
        else:
            undefined.update({f"{metric}.{way}": reason for way, reason in reasons.items()})


# ---- valence and arousal ----------------------------------------------------------------


def _dimensional(
    dataset: Dataset,
    selection: Selection,
    rows: ScoredRows,
    rounds: int,
    seed: int,
    undefined: dict[str, str],
) -> Dimensional | None:
    if rows.affect is None:
        undefined["dimensional"] = "the predictions have no valence and arousal"
        return None
    picked = rows.dimensional
    if not picked.any():
        hint = "" if selection.affect_rows == "all" else " (--affect-rows all takes every row)"
        undefined["dimensional"] = f"no scored row has valence and arousal{hint}"
        return None
    axes = []
    for column, axis in enumerate(AXES):
        truth, prediction = rows.affect_truth[picked, column], rows.affect[picked, column]
        scores = metrics.score_dimensional(truth, prediction, rounds=rounds, seed=seed)
        undefined.update(
            {f"{axis}.{m}": e.reason for m, e in scores.items() if e.reason is not None}
        )
        given = truth[~np.isnan(prediction)]
        train = dataset.affect[selection.train, column].astype(np.float64)
        floors = Floors(_floor(given, given), _floor(given, train))
        axes.append(Axis(**{metric: _score(e) for metric, e in scores.items()}, floors=floors))
    return Dimensional(*axes)


def _floor(truth: Floats, source: Floats) -> Floor | None:
    """What guessing the mean of `source` for every row scores: the RMSE that a model must beat."""
    if not truth.size or not source.size:
        return None
    guess = float(source.mean())
    return Floor(guess, metrics.constant_guess_rmse(truth, guess), len(source))


def _score(e: Estimate) -> Score:
    return Score(defined(e.value), defined(e.low), defined(e.high), e.n)


# ---- protocol ---------------------------------------------------------------------------


def _protocol(
    dataset: Dataset,
    predictions: Predictions,
    selection: Selection,
    rows: ScoredRows,
    sampling: tuple[int, int, int],
) -> Protocol:
    info, made_with = dataset.info, to_json_value(predictions.made_with)
    crop = info.crop.to_dict() if info.crop else None
    picked, for_affect = rows.categorical, rows.dimensional
    tells = rows.answers is not None
    no_affect = np.zeros(len(rows), bool) if rows.affect is None else np.isnan(rows.affect[:, 0])
    n_failed_affect = int((for_affect & no_affect).sum())
    absent = [e.value for i, e in enumerate(rows.labels) if not (rows.truth == i).any()]
    scored = dataset.faces["face_id"].take(pa.array(selection.rows)).to_pylist()
    draws, rounds, seed = sampling
    return Protocol(
        dataset=info.name,
        dataset_source=info.source,
        dataset_fingerprint=info.fingerprint,
        license=info.license,
        split=selection.split,
        labels=[label.value for label in rows.labels],
        rows=int(picked.sum()),
        rows_affect=int(for_affect.sum()),
        left_out=selection.left_out,
        affect_rows=selection.affect_rows,
        n_failed=int((picked & (rows.status == FAILED)).sum()) if tells else n_failed_affect,
        n_failed_affect=n_failed_affect,
        n_outside=int((picked & (rows.status == OUTSIDE)).sum()),
        absent=absent,
        crop_dataset=to_json_value(crop),
        crop_model=made_with.get("crop"),
        model=made_with.get("model"),
        recipe=made_with.get("recipe"),
        made_with=made_with,
        model_labels=[label.value for label in predictions.labels],
        expression_origin=_origins(dataset, "expression_origin", selection, picked),
        affect_origin=_origins(dataset, "affect_origin", selection, for_affect),
        shareable=info.shareable,
        fingerprint=fingerprint(rows, selection.split, crop),
        draws=draws,
        rounds=rounds,
        seed=seed,
        learned=predictions.learned_warning(predictions.align(scored)),
    )


def _origins(dataset: Dataset, column: str, selection: Selection, picked: Any) -> dict[str, int]:
    values = dataset.faces[column].take(pa.array(selection.rows[picked])).to_pylist()
    return dict(sorted(collections.Counter(value or "not stated" for value in values).items()))


def _warnings(
    protocol: Protocol,
    predictions: Predictions,
    expressions: _Expressions,
    dimensional: Dimensional | None,
) -> list[str]:
    """One plain line for everything that a reader of the numbers has to know."""
    found: list[str] = list(predictions.notes)
    found += _renaming_warnings(expressions.confusion)
    if protocol.learned:
        found.append(f"{protocol.learned[0].upper()}{protocol.learned[1:]}.")
    if protocol.split == ALL:
        found.append(
            "All rows of the dataset were scored, whatever their split: they may hold faces "
            "that the model was trained on."
        )
    if protocol.split == "train":
        found.append("The scored rows are training rows: the model may have seen them.")
    if protocol.n_failed:
        found.append(
            f"{protocol.n_failed:,} of {protocol.rows or protocol.rows_affect:,} faces "
            "have no prediction: they count as wrong in label metrics and are left out of score "
            "metrics (AUC, AUC-PR, top 2, ECE) and of valence and arousal."
        )
    if protocol.n_outside:
        found.append(
            f"{protocol.n_outside:,} faces have no probability inside the label "
            "set: they count as wrong in label metrics and are left out of score metrics."
        )
    if expressions.categorical is not None and protocol.absent:
        found.append(
            f"No scored face is labeled {', '.join(protocol.absent)}: macro means run over "
            "the other classes, and what is predicted so counts as wrong."
        )
    found += _few_warnings(expressions.per_class or {})
    dropped = [name for name in protocol.model_labels if name not in protocol.labels]
    if dropped:
        found.append(
            f"Probabilities of {', '.join(dropped)} were dropped and the rest made to sum to 1."
        )
    if expressions.categorical is not None:
        found += _origin_warnings(protocol.expression_origin, "expressions")
    if dimensional is not None:
        found += _origin_warnings(protocol.affect_origin, "valence and arousal values")
    for key, value in predictions.made_with.items():
        if "warning" in key and value:
            lines = value if isinstance(value, list) else [value]
            found += [f"The model's makers say: {line}" for line in lines]
    return found


def _renaming_warnings(confusion: Confusion | None) -> list[str]:
    """Whether another order of the labels would explain the answers far better."""
    if confusion is None:
        return []
    matrix = np.array(confusion.counts)
    names, n = metrics.best_renaming(matrix), int(matrix.sum())
    renamed = np.zeros_like(matrix)
    renamed[:, names] = matrix[:, :-1]
    renamed[:, -1] = matrix[:, -1]
    now, then = (float(metrics.accuracy(m)) for m in (matrix, renamed))
    if n < _ENOUGH or then - now < _GAIN or not float(metrics.kappa(renamed)) >= _AGREEMENT:
        return []
    labels, predicted = confusion.labels, matrix.sum(axis=0)
    changes = [
        f"{labels[i]} → {labels[name]}"
        for i, name in enumerate(names)
        if i != name and predicted[i]
    ]
    return [
        f"The labels may be in another order: accuracy is {now:.3f}, but would be {then:.3f} if the "
        f"predictions were renamed: {', '.join(changes)}. AffectNet's order is "
        f"{', '.join(EMOTIONS)}."
    ]


def _few_warnings(per_class: dict[str, ClassScores]) -> list[str]:
    """Whether Norm rests on so few faces of a class that it says little."""
    present = {name: c.support for name, c in per_class.items() if c.support}
    if not present or min(present.values()) >= _FEW:
        return []
    name = min(present, key=lambda key: present[key])
    faces = f"{present[name]} face" + "s" * (present[name] != 1)
    return [
        f"The rarest class, {name}, has {faces}, and Norm draws no more of each class: its values "
        f"and intervals say little below {_FEW}, and so do the scores of that class."
    ]


def _origin_warnings(counts: dict[str, int], what: str) -> list[str]:
    """Whose labels were scored, where they are not people's."""
    says = {
        "derived": "were derived from other labels, not rated by people",
        "model": "were given by a model, not by people",
        "synthetic": "are those that the faces were synthesized with, not anyone's judgment",
    }
    return [
        f"{counts[origin]:,} of {sum(counts.values()):,} {what} {text}: the scores say how "
        "well that is repeated."
        for origin, text in says.items()
        if origin in counts
    ]
