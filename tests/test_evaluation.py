"""What is scored, how failures count, and what report.json holds."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from narrowing import known
from openaffect import metrics
from openaffect.dataset import Dataset, open_dataset
from openaffect.dataset_writer import write_dataset
from openaffect.errors import FormatError, InputError, MismatchError, NewerSchema, UnknownName
from openaffect.face_row import FaceRow
from openaffect.faces.crops import CropRule
from openaffect.labels import EMOTIONS, EXPRESSIONS, LABEL_SETS, Expression
from openaffect.predictions import Predictions, read_predictions
from openaffect.progress import Progress
from openaffect.reports import evaluate, open_report

N, H, S = EMOTIONS[:3]
NONE = Expression.NONE


def make_dataset(
    folder: Path,
    expressions: Sequence[Expression | None],
    affect: Sequence[tuple[float, float] | None] | None = None,
    splits: list[str | None] | None = None,
    **info: Any,
) -> Dataset:
    """A dataset of faces f0, f1 … without pictures."""
    affect = affect or [None] * len(expressions)
    splits = splits or [None] * len(expressions)
    with write_dataset(folder, check_images=False, overwrite=True, **info) as writer:
        for i, (expression, point, split) in enumerate(
            zip(expressions, affect, splits, strict=True)
        ):
            valence, arousal = point or (None, None)
            writer.add(
                FaceRow(
                    f"f{i}",
                    f"f{i}.png",
                    expression=expression,
                    valence=valence,
                    arousal=arousal,
                    split=split,
                    expression_origin="human" if expression else None,
                    affect_origin="derived" if point else None,
                )
            )
    return open_dataset(folder)


def predict(
    dataset: Dataset,
    answers: Sequence[Expression | None],
    labels: tuple[Expression, ...] = EMOTIONS,
    affect: list[tuple[float, float]] | None = None,
    confidence: float = 0.65,
    **made_with: Any,
) -> Predictions:
    """Predictions that give each answer one confidence, the rest in equal shares; None failed."""
    p = np.full((len(answers), len(labels)), (1 - confidence) / (len(labels) - 1))
    for row, answer in enumerate(answers):
        if answer is None:
            p[row] = np.nan
        else:
            p[row, labels.index(answer)] = confidence
    points = None if affect is None else np.array(affect, float)
    return Predictions(dataset.ids, labels, p, None, points, [], made_with)


def score(dataset: Dataset, predictions: Predictions, **options: Any) -> Any:
    return evaluate(dataset, predictions, **{"draws": 20, "rounds": 20, **options})


def value(report: Any, metric: str, way: str = "orig") -> float | None:
    found: float | None = report.categorical[metric][way].value
    return found


def test_a_case_that_can_be_counted_by_hand(tmp_path: Path) -> None:
    truth, answers = [N, N, H, H, H, S], [N, H, H, H, N, S]
    dataset = make_dataset(tmp_path / "d", truth)
    report = score(dataset, predict(dataset, answers))
    assert value(report, "accuracy") == pytest.approx(4 / 6, abs=1e-12)
    # F1 of neutral 2·1/(2+2), happy 2·2/(3+3), sad 1
    assert value(report, "f1") == pytest.approx((0.5 + 2 / 3 + 1) / 3, abs=1e-12)
    assert value(report, "balanced_accuracy") == pytest.approx((1 / 2 + 2 / 3 + 1) / 3, abs=1e-12)
    # κ = (p_o − p_e)/(1 − p_e), shares of truth 2/6 3/6 1/6 and the same of the answers
    chance = (4 + 9 + 1) / 36
    assert value(report, "kappa") == pytest.approx((4 / 6 - chance) / (1 - chance), abs=1e-12)
    assert report.confusion.counts[1][:3] == [1, 2, 0]
    assert report.per_class["happy"].support == 3
    assert report.per_class["happy"].precision == pytest.approx(2 / 3)
    assert report.categorical.accuracy.orig.n == 6
    assert report.categorical.accuracy.norm.n == 3  # one of each class
    # every confidence is .65, four of six are right
    assert report.reliability.ece == pytest.approx(4 / 6 - 0.65, abs=1e-9)


def test_affect_by_hand_with_its_floors(tmp_path: Path) -> None:
    dataset = make_dataset(
        tmp_path / "d",
        [N, H, S, H],
        [(0.0, 0.0), (0.5, 0.1), (-0.5, -0.1), (0.9, 0.3)],
        ["test", "test", "test", "train"],
    )
    points = [(0.3, 0.0), (0.5, -0.1), (-0.1, -0.1), (0.0, 0.0)]
    report = score(dataset, predict(dataset, [N, H, S, H], affect=points))
    valence = report.dimensional.valence
    assert valence.rmse.value == pytest.approx(math.sqrt((0.09 + 0 + 0.16) / 3), abs=1e-6)
    assert valence.sagr.value == pytest.approx(2 / 3)  # sign(0) matches only 0
    assert valence.rmse.n == 3
    floors = valence.floors
    assert floors.scored_mean.rmse == pytest.approx(math.sqrt(0.5 / 3), abs=1e-6)
    assert floors.train_mean.guess == pytest.approx(0.9, abs=1e-6)
    assert floors.train_mean.rmse == pytest.approx(math.sqrt((0.81 + 0.16 + 1.96) / 3), abs=1e-6)
    assert report.protocol.affect_origin == {"derived": 3}
    assert any("derived from other labels" in line for line in report.warnings)


def test_without_training_rows_there_is_no_training_floor(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", [N, H], [(0.0, 0.1), (0.5, 0.2)])
    report = score(dataset, predict(dataset, [N, H], affect=[(0.0, 0.0), (0.1, 0.1)]))
    assert report.dimensional.arousal.floors.train_mean is None


# ---- which rows -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("splits", "wanted", "expected", "rows"),
    [
        (["test", "validation", "train", "test"], None, "test", 2),
        (["validation", "validation", "train", "validation"], None, "validation", 3),
        ([None, None, None, None], None, "all", 4),
        (["test", "validation", "train", "test"], "train", "train", 1),
        (["test", "validation", "train", None], "all", "all", 4),
    ],
)
def test_the_split(
    tmp_path: Path, splits: list[str | None], wanted: str | None, expected: str, rows: int
) -> None:
    dataset = make_dataset(tmp_path / "d", [N, H, S, N], splits=splits)
    report = score(dataset, predict(dataset, [N, H, S, N]), split=wanted)
    assert (report.protocol.split, report.protocol.rows) == (expected, rows)
    says = " ".join(report.warnings)
    assert ("All rows of the dataset were scored" in says) == (expected == "all")
    assert ("training rows" in says) == (expected == "train")


def test_a_split_that_cannot_be_scored_is_refused(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", [N, H], splits=["train", "train"])
    predictions = predict(dataset, [N, H])
    with pytest.raises(InputError, match="--split"):
        score(dataset, predictions)
    with pytest.raises(InputError, match="no rows of the split 'test'; it has train"):
        score(dataset, predictions, split="test")
    with pytest.raises(UnknownName, match="did you mean 'test'"):
        score(dataset, predictions, split="tset")


def test_rows_outside_the_label_set_are_left_out_and_counted(tmp_path: Path) -> None:
    truth = [N, H, NONE, None, Expression.NO_FACE, NONE]
    dataset = make_dataset(tmp_path / "d", truth)
    report = score(dataset, predict(dataset, [N, N, N, N, N, N]))
    assert report.protocol.rows == 2
    assert report.protocol.left_out == {"none": 2, "no_face": 1, "unlabeled": 1}
    assert value(report, "accuracy") == 0.5


def test_rows_of_none_change_no_categorical_number(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    truth = [EMOTIONS[i] for i in rng.integers(0, 8, 60)]
    answers = [EMOTIONS[i] for i in rng.integers(0, 8, 60)]
    plain = make_dataset(tmp_path / "a", truth)
    more = make_dataset(tmp_path / "b", [*truth, NONE, NONE])
    first = score(plain, predict(plain, answers))
    second = score(more, predict(more, [*answers, H, N]))
    for part in ("categorical", "per_class", "confusion", "reliability"):
        assert getattr(first, part) == getattr(second, part)
    assert first.protocol.fingerprint == second.protocol.fingerprint


def test_affect_rows_all_adds_none(tmp_path: Path) -> None:
    dataset = make_dataset(
        tmp_path / "d",
        [N, H, NONE, None],
        [(0.1, 0.1), (0.5, 0.2), (-0.2, 0.4), (0.2, 0.0)],
    )
    predictions = predict(dataset, [N, H, H, H], affect=[(0.0, 0.1)] * 4)
    few = score(dataset, predictions)
    every = score(dataset, predictions, affect_rows="all")
    assert few.dimensional.valence.rmse.n == 2
    assert every.dimensional.valence.rmse.n == 4
    assert few.categorical == every.categorical
    assert few.protocol.fingerprint != every.protocol.fingerprint


# ---- which classes ----------------------------------------------------------------------


def test_a_model_of_seven_is_scored_on_seven(tmp_path: Path) -> None:
    seven = LABEL_SETS["7"]
    dataset = make_dataset(tmp_path / "d", [*EMOTIONS])
    report = score(dataset, predict(dataset, [*seven, N], seven))
    assert report.protocol.labels == [e.value for e in seven]
    assert report.protocol.left_out == {"contempt": 1}
    assert value(report, "accuracy") == 1.0


def test_a_label_set_that_the_model_lacks_is_refused(tmp_path: Path) -> None:
    seven = LABEL_SETS["7"]
    dataset = make_dataset(tmp_path / "d", [*EMOTIONS])
    with pytest.raises(MismatchError, match="the label set has contempt"):
        score(dataset, predict(dataset, [*seven, N], seven), labels=8)
    named = dataclasses.replace(
        predict(dataset, [N] * 8),
        probabilities=None,
        choices=np.zeros(8, np.int8),
        made_with={"labels": ["neutral", "happy"]},
    )
    with pytest.raises(MismatchError, match="the model has only neutral, happy"):
        score(dataset, named, labels=8)


def test_probabilities_outside_the_label_set_are_dropped_and_the_rest_renormalized(
    tmp_path: Path,
) -> None:
    dataset = make_dataset(tmp_path / "d", [N, H])
    p = np.zeros((2, 11))
    p[0, [0, 1, 8]] = 0.3, 0.1, 0.6  # none is highest, but is not in the label set
    p[1, [0, 1, 8]] = 0.2, 0.6, 0.2
    report = score(dataset, Predictions(dataset.ids, EXPRESSIONS, p))
    assert value(report, "accuracy") == 1.0
    table = report.table
    assert table["p_neutral"].to_pylist() == pytest.approx([0.75, 0.25])
    assert table["p_happy"].to_pylist() == pytest.approx([0.25, 0.75])
    assert any("none, uncertain, no_face were dropped" in line for line in report.warnings)


def test_a_row_with_nothing_inside_the_label_set_is_wrong_and_counted(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", [N, H])
    p = np.zeros((2, 11))
    p[0, 10] = 1.0  # all on no_face: the lowest id must not win by default
    p[1, 1] = 1.0
    report = score(dataset, Predictions(dataset.ids, EXPRESSIONS, p))
    assert value(report, "accuracy") == 0.5
    assert (report.protocol.n_outside, report.protocol.n_failed) == (1, 0)
    assert report.categorical.top2.orig.n == 1


def test_ties_go_to_the_lowest_id(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", [N, H])
    p = np.full((2, 8), 1 / 8)
    assert value(score(dataset, Predictions(dataset.ids, EMOTIONS, p)), "accuracy") == 0.5


def test_an_absent_class_leaves_macro_means_and_is_listed(tmp_path: Path) -> None:
    truth, answers = [N, N, H, H], [N, N, H, S]
    dataset = make_dataset(tmp_path / "d", truth)
    report = score(dataset, predict(dataset, answers))
    assert value(report, "f1") == pytest.approx((1 + 2 / 3) / 2)  # not over sad, which is absent
    assert report.per_class["sad"].f1 == 0.0  # predicted, so defined
    assert report.per_class["fear"].f1 is None  # neither there nor predicted
    assert report.per_class["sad"].recall is None
    assert report.protocol.absent == [e.value for e in EMOTIONS[2:]]
    assert any("No scored face is labeled sad" in line for line in report.warnings)


# ---- failed rows, ids -------------------------------------------------------------------


def test_failed_rows_count_as_wrong_and_are_left_out_of_score_metrics(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", [N, N, H, H], [(0.1, 0.1)] * 4)
    points = [(0.1, 0.1), (math.nan, math.nan), (0.2, 0.1), (0.1, 0.3)]
    report = score(dataset, predict(dataset, [N, None, H, N], affect=points))
    assert value(report, "accuracy") == 0.5
    assert report.categorical.accuracy.orig.n == 4
    assert report.categorical.auc.orig.n == 3
    assert report.protocol.n_failed == report.protocol.n_failed_affect == 1
    assert report.confusion.columns[-1] == "failed"
    assert report.confusion.counts[0][-1] == 1
    happy, neutral = report.per_class["happy"], report.per_class["neutral"]
    assert (happy.support, happy.predicted, happy.failed) == (2, 1, 0)
    assert (neutral.support, neutral.predicted, neutral.failed) == (2, 2, 1)
    assert report.dimensional.valence.rmse.n == 3
    assert any(line.startswith("1 of 4 faces have no prediction") for line in report.warnings)


@pytest.mark.parametrize("with_affect", [False, True])
def test_when_all_failed_nothing_is_scored(tmp_path: Path, with_affect: bool) -> None:
    dataset = make_dataset(tmp_path / "d", [N, H, S], [(0.1, 0.1)] * 3, ["test", "test", "train"])
    points = [(math.nan, math.nan)] * 2 + [(0.1, 0.1)] if with_affect else None
    failed = predict(dataset, [None, None, S], affect=points)
    failed = dataclasses.replace(failed, errors=[None, "no such file", None])
    with pytest.raises(InputError, match=r"all 2 scored faces failed.*: no such file"):
        score(dataset, failed)
    with pytest.raises(InputError, match="all 2 scored faces failed"):
        score(dataset, Predictions(dataset.ids, choices=np.array([-1, -1, 2], np.int8)))
    half = predict(dataset, [None, None, S], affect=[(0.1, 0.1), (math.nan, math.nan), (0, 0)])
    assert score(dataset, half).dimensional.valence.rmse.n == 1


def test_where_scores_cannot_be_computed_the_reasons_are_told(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", [N, N])
    report = score(dataset, predict(dataset, [N, None]))
    assert value(report, "auc") is None
    assert report.undefined["auc"]


def test_a_system_without_scores(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", [N, H, S, S])
    choices = np.array([0, 1, -1, 8], np.int8)  # failed, and none, which is outside
    report = score(dataset, Predictions(dataset.ids, choices=choices))
    assert value(report, "accuracy") == 0.5
    assert (report.protocol.n_failed, report.protocol.n_outside) == (1, 1)
    assert report.undefined["auc"] == "the system gives labels without scores"


def test_a_system_without_expressions_counts_its_failed_rows(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", [N, H, None], [(0.1, 0.1), (0.2, 0.2), (0.3, 0.3)])
    affect = np.array([[0.1, 0.1], [np.nan, np.nan], [np.nan, np.nan]])
    report = score(dataset, Predictions(dataset.ids, affect=affect))
    assert report.protocol.n_failed == report.protocol.n_failed_affect == 1
    every = score(dataset, Predictions(dataset.ids, affect=affect), affect_rows="all")
    assert every.protocol.n_failed == 2


def test_only_scored_rows_are_counted_as_outside(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", [N, H, NONE], [(0.1, 0.1)] * 3)
    choices = np.array([0, 8, 8], np.int8)  # the third row is of None itself, for affect alone
    affect = np.zeros((3, 2))
    report = score(dataset, Predictions(dataset.ids, (), None, choices, affect), affect_rows="all")
    assert (report.protocol.rows_affect, report.protocol.n_outside) == (3, 1)


def test_the_floor_is_of_the_rows_that_were_predicted(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", [N, H, S], [(0.2, 0.0), (0.6, 0.0), (-1.0, 0.0)])
    points = [(0.1, 0.1), (0.1, 0.1), (math.nan, math.nan)]
    report = score(dataset, predict(dataset, [N, H, None], affect=points))
    floor = report.dimensional.valence.floors.scored_mean
    assert (floor.guess, floor.rmse, floor.n) == pytest.approx((0.4, 0.2, 2))


def test_what_is_undefined_in_one_way_alone_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make_dataset(tmp_path / "d", [N, H])
    result = metrics.score_categorical([0, 1], [0, 1], 2, rounds=10)
    result["kappa"]["norm"] = dataclasses.replace(result["kappa"]["norm"], reason="one category")
    monkeypatch.setattr(metrics, "score_categorical", lambda *_, **__: result)
    report = score(dataset, predict(dataset, [N, H]))
    assert report.undefined["kappa.norm"] == "one category"
    assert "kappa" not in report.undefined


# ---- what a reader has to be told -------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "warned"),
    [
        ({N: 40, H: 19}, "happy, has 19 faces"),
        ({N: 20, H: 40}, ""),
        ({N: 30, S: 1}, "sad, has 1 face,"),
    ],
)
def test_norm_over_few_faces_of_a_class_is_warned_of(
    tmp_path: Path, counts: dict[Expression, int], warned: str
) -> None:
    truth: list[Expression | None] = [e for e, count in counts.items() for _ in range(count)]
    dataset = make_dataset(tmp_path / "d", truth)
    report = score(dataset, predict(dataset, truth))
    found = [line for line in report.warnings if line.startswith("The rarest class")]
    assert len(found) == bool(warned)
    assert warned in " ".join(found)


FER2013 = ["anger", "disgust", "fear", "happy", "sad", "surprise", "neutral"]


def test_labels_in_another_order_are_suspected(tmp_path: Path) -> None:
    truth: list[Expression | None] = [e for e in EMOTIONS[:7] for _ in range(6)]
    dataset = make_dataset(tmp_path / "d", truth)
    ids = [FER2013.index(e) for e in truth if e is not None]
    table = pa.table({"face_id": dataset.ids, "expression": ids})
    report = score(dataset, read_predictions(table), labels="7")
    assert value(report, "accuracy") == 0.0
    first, second = report.warnings[:2]
    assert "read as AffectNet's ids: 0 neutral" in first
    assert "would be 1.000" in second
    assert "neutral → anger, happy → disgust, sad → fear" in second

    def suspects(answers: list[Expression | None]) -> bool:
        lines = score(dataset, predict(dataset, answers)).warnings
        return any("another order" in line for line in lines)

    swapped = {N: H, H: N}
    assert suspects([swapped.get(e, e) if e else None for e in truth])
    rng = np.random.default_rng(0)
    assert not suspects([EMOTIONS[i] for i in rng.integers(0, 7, len(truth))])
    assert not suspects(truth)
    assert not suspects([N] * len(truth))


def test_few_rows_raise_no_suspicion(tmp_path: Path) -> None:
    truth: list[Expression | None] = [N, H] * 14
    dataset = make_dataset(tmp_path / "d", truth)
    report = score(dataset, predict(dataset, [H, N] * 14))
    assert not any("another order" in line for line in report.warnings)


def test_what_was_noted_at_reading_stands_in_the_report(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", [N, H], [(0.5, 0.5), (0.1, 0.1)])
    table = pa.table({"face_id": dataset.ids, "valence": [1.2, 0.0], "arousal": [0.0, -1.05]})
    report = score(dataset, read_predictions(table))
    assert "of 2 predictions lies outside [-1, 1], up to 1.2" in report.warnings[0]


def test_a_missing_prediction_is_named(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", [N, H, S])
    whole = predict(dataset, [N, H, S])
    part = dataclasses.replace(
        whole, ids=["f0", "f2"], probabilities=known(whole.probabilities)[:2]
    )
    with pytest.raises(MismatchError, match="lack 1: f1"):
        score(dataset, part)


def test_a_foreign_prediction_is_named(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", [N, H, S])
    other = make_dataset(tmp_path / "e", [N, H, S, S])
    with pytest.raises(MismatchError, match="f3"):
        score(dataset, predict(other, [N, H, S, S]))


def test_predictions_of_the_scored_split_alone_are_enough(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", [N, H, S], splits=["train", "test", "test"])
    part = dataset.where(split="test")
    assert value(score(dataset, predict(part, [H, S])), "accuracy") == 1.0


def test_nothing_in_common_is_an_error(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", [N, H])
    affect_only = Predictions(dataset.ids, affect=np.zeros((2, 2)))
    with pytest.raises(MismatchError, match="nothing to score"):
        score(dataset, affect_only)
    unlabeled = make_dataset(tmp_path / "e", [None, None])
    with pytest.raises(InputError, match="2 unlabeled"):
        score(unlabeled, predict(unlabeled, [N, H]))


def test_affect_alone_can_be_scored(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", [None, None, None], [(0.1, 0.1), (0.5, 0.2), (0.3, 0.3)])
    predictions = Predictions(dataset.ids, affect=np.array([[0.1, 0.1], [0.4, 0.2], [0.3, 0.0]]))
    report = score(dataset, predictions, affect_rows="all")
    assert report.categorical is None
    assert report.undefined["categorical"] == "the predictions tell no expression"
    assert report.dimensional.valence.mae.value == pytest.approx(0.1 / 3, abs=1e-6)


# ---- order, fingerprint -----------------------------------------------------------------


def test_no_order_matters(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    truth = [EMOTIONS[i] for i in rng.integers(0, 8, 80)]
    points = [(x, y) for x, y in rng.uniform(-0.6, 0.6, (80, 2)).tolist()]
    dataset = make_dataset(tmp_path / "d", truth, points)
    predictions = Predictions(
        dataset.ids, EMOTIONS, rng.dirichlet(np.ones(8), 80), None, rng.uniform(-1, 1, (80, 2))
    )
    shuffled = rng.permutation(80)
    assert predictions.probabilities is not None
    assert predictions.affect is not None
    mixed = Predictions(
        [predictions.ids[i] for i in shuffled],
        EMOTIONS,
        predictions.probabilities[shuffled],
        None,
        predictions.affect[shuffled],
    )
    first = score(dataset, predictions)
    second = score(dataset.select(rng.permutation(80)), mixed)
    assert first == second


def test_the_fingerprint_knows_rows_labels_and_rules_but_no_predictions(tmp_path: Path) -> None:
    truth, points = [N, H, S, N], [(0.1, 0.1), (0.5, 0.2), (-0.3, 0.3), None]
    splits = ["test"] * 4

    def mark(truth: list[Any], points: list[Any], splits: list[Any], **options: Any) -> str:
        crop = options.pop("crop", None)
        dataset = make_dataset(tmp_path / "d", truth, points, splits, crop=crop)
        answers = options.pop("answers", [N, N, N, N])
        report = score(dataset, predict(dataset, answers), **options)
        found: str = report.protocol.fingerprint
        return found

    marks = [
        mark(truth, points, splits),
        mark([N, H, S, H], points, splits),
        mark(truth, [(0.1, 0.1), (0.5, 0.2), (-0.3, 0.300002), None], splits),
        mark(truth, points, ["validation"] * 4),
        mark(truth, points, splits, labels="neutral happy sad"),
        mark(truth, points, splits, crop=CropRule(margin=0.3)),
    ]
    assert len(set(marks)) == 6
    assert mark(truth, points, splits, answers=[H, S, None, N]) == marks[0]
    assert mark(truth, [(0.1, 0.1), (0.5, 0.2), (-0.3, 0.3 + 1e-8), None], splits) == marks[0]


# ---- report.json ------------------------------------------------------------------------


def test_report_json_is_strict_and_comes_back(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", [N, N, H], [(0.1, 0.1), (0.5, 0.2), (-0.3, 0.3)])
    predictions = predict(
        dataset,
        [N, H, None],
        affect=[(0.2, 0.2)] * 3,
        model="tiny",
        recipe="plain",
        crop=CropRule().to_dict(),
        protocol_warning="chosen on the scored split",
    )
    report = score(dataset, predictions, seed=7)
    report.save(tmp_path / "r")

    def refuse(text: str) -> float:
        raise AssertionError(f"{text} is no strict JSON")

    text = (tmp_path / "r" / "report.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=refuse) == report.to_dict()
    assert open_report(tmp_path / "r") == report
    assert open_report(tmp_path / "r" / "report.json") == report
    assert known(open_report(tmp_path / "r").table).equals(report.table)

    protocol = report.protocol
    assert (protocol.draws, protocol.rounds, protocol.seed) == (20, 20, 7)
    assert (protocol.model, protocol.recipe) == ("tiny", "plain")
    assert protocol.crop_model == CropRule().to_dict()
    assert protocol.dataset_fingerprint == dataset.info.fingerprint
    assert any("chosen on the scored split" in line for line in report.warnings)
    # constant predictions have no correlation: null, with a reason
    assert report.dimensional.valence.corr.value is None
    assert report.undefined["valence.corr"] == "truth or prediction is constant"


def test_every_number_that_programs_read_is_there(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", [N, H, S] * 5, [(0.1, 0.1), (0.5, 0.2), (-0.3, 0.3)] * 5)
    report = score(
        dataset, predict(dataset, [N, H, H] * 5, affect=[(0.2, 0.1), (0.3, 0.2), (0, 0)] * 5)
    )
    data = json.loads(report.to_json())
    assert [*data] == [
        *("schema", "made_by", "protocol", "categorical", "per_class", "confusion"),
        *("human_ceiling", "reliability", "dimensional", "undefined", "warnings"),
    ]
    assert [*data["protocol"]] == [
        *("dataset", "dataset_source", "dataset_fingerprint", "license", "split", "labels"),
        *("rows", "rows_affect", "left_out", "affect_rows", "n_failed", "n_failed_affect"),
        *("n_outside", "absent", "crop_dataset", "crop_model", "model", "recipe", "made_with"),
        *("model_labels", "expression_origin", "affect_origin", "shareable", "fingerprint"),
        *("draws", "rounds", "seed", "learned"),
    ]
    names = [
        *("accuracy", "balanced_accuracy", "f1", "weighted_f1", "kappa", "kappa_ovr", "alpha"),
        *("alpha_ovr", "auc", "auc_pr", "top2", "ece", "cross_entropy"),
    ]
    assert [*data["categorical"]] == names == [*metrics.LABEL_METRICS, *metrics.SCORE_METRICS]
    ways = {metric: [*found] for metric, found in data["categorical"].items()}
    assert ways.pop("cross_entropy") == ["orig"]
    assert ways == {metric: ["orig", "norm"] for metric in names[:-1]}
    assert [*data["categorical"]["f1"]["norm"]] == ["value", "low", "high", "n"]
    assert [*data["per_class"]["sad"]] == [
        *("support", "predicted", "failed", "precision", "recall", "f1", "auc", "auc_pr")
    ]
    assert [*data["confusion"]] == ["labels", "columns", "counts"]
    assert [*data["reliability"]] == ["ece", "n", "bins"]
    assert [*data["reliability"]["bins"][0]] == ["low", "high", "count", "confidence", "accuracy"]
    assert [*data["dimensional"]] == ["valence", "arousal"]
    assert [*data["dimensional"]["arousal"]] == [*metrics.DIMENSIONAL_METRICS, "floors"]
    assert data["dimensional"]["valence"]["floors"]["train_mean"] is None
    assert [*data["dimensional"]["valence"]["floors"]["scored_mean"]] == ["guess", "rmse", "n"]
    scores = (report.categorical.accuracy.orig, report.dimensional.valence.ccc)
    assert [score.low <= score.value <= score.high for score in scores] == [True, True]


def test_soft_labels_are_scored_by_cross_entropy_alone(tmp_path: Path) -> None:
    hard = make_dataset(tmp_path / "a", [N, H])
    soft = hard.with_column("soft_label", [[0.5, 0.5, 0, 0, 0, 0, 0, 0], None])
    without, with_soft = (score(d, predict(d, [N, N])) for d in (hard, soft))
    # −(½ ln .65 + ½ ln .05) over the one row that has a soft label
    expected = -(math.log(0.65) + math.log(0.05)) / 2
    assert value(with_soft, "cross_entropy") == pytest.approx(expected, abs=1e-9)
    assert with_soft.categorical.cross_entropy.orig.n == 1
    assert value(without, "cross_entropy") is None
    same = dataclasses.replace(
        with_soft.categorical, cross_entropy=without.categorical.cross_entropy
    )
    assert same == without.categorical


def test_what_is_no_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="openaffect evaluate"):
        open_report(tmp_path / "nothing")
    path = tmp_path / "report.json"
    for text, error in (
        ("{", FormatError),
        ("[]", FormatError),
        ('{"protocol": {}}', FormatError),
        ('{"schema": 1, "protocol": {}}', FormatError),
        ('{"schema": 99, "protocol": {}}', NewerSchema),
    ):
        path.write_text(text)
        with pytest.raises(error):
            open_report(path)


def test_progress_is_told(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", [N, H])
    said: list[Progress] = []
    score(dataset, predict(dataset, [N, H]), on_progress=said.append)
    assert [event.phase for event in said] == ["expressions", "valence and arousal"]


def change(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """A change of one value of a report, such as `protocol.rows`; `...` deletes it."""

    def apply(data: dict[str, Any]) -> None:
        *parents, key = path.split(".")
        for parent in parents:
            data = data[parent]
        if value is ...:
            del data[key]
        else:
            data[key] = value

    return apply


@pytest.mark.parametrize(
    "damage",
    [
        change("protocol", 5),
        change("protocol", []),
        change("protocol", {}),
        change("protocol.labels", "neutral"),
        change("protocol.labels", ["neutral"]),
        change("protocol.labels", ["neutral", "hapy"]),
        change("protocol.labels", ["neutral", "sad"]),
        change("protocol.rows", "3"),
        change("protocol.rows", None),
        change("protocol.fingerprint", 5),
        change("protocol.dataset", None),
        change("protocol.crop_dataset", "x"),
        change("protocol.n_failed", 0.5),
        change("categorical", []),
        change("categorical.accuracy", ...),
        change("categorical.auc.orig", None),
        change("categorical.auc.norm", ...),
        change("categorical.f1.norm.value", "1"),
        change("dimensional.valence", None),
        change("dimensional.arousal.ccc", ...),
        change("dimensional.arousal.floors.scored_mean", {"rmse": 1}),
        change("per_class.happy.support", None),
        change("per_class.happy", ...),
        change("per_class", None),
        change("confusion.counts", [[1]]),
        change("confusion.counts", [[1, 2], [3, 4]]),
        change("reliability.bins", None),
        change("warnings", "none"),
        change("warnings", [1]),
        change("undefined", []),
    ],
)
def test_a_report_with_an_odd_value_is_refused(
    tmp_path: Path, damage: Callable[[dict[str, Any]], None]
) -> None:
    dataset = make_dataset(tmp_path / "d", [N, N, H], [(0.1, 0.1), (0.5, 0.2), (-0.3, 0.3)])
    predictions = predict(dataset, [N, H, H], (N, H), [(0.2, 0.2), (0.1, 0.1), (0.0, 0.5)])
    score(dataset, predictions).save(tmp_path / "r")
    assert open_report(tmp_path / "r")
    path = tmp_path / "r" / "report.json"
    data = json.loads(path.read_text())
    damage(data)
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match="report"):
        open_report(tmp_path / "r")


def test_a_report_of_an_older_openaffect_is_read(tmp_path: Path) -> None:
    """Facts that it did not state are unknown, keys that nobody knows are ignored."""
    dataset = make_dataset(tmp_path / "d", [N, N, H], [(0.1, 0.1), (0.5, 0.2), (-0.3, 0.3)])
    report = score(dataset, predict(dataset, [N, H, H], model="tiny"))
    report.save(tmp_path / "r")
    path = tmp_path / "r" / "report.json"
    data = json.loads(path.read_text())
    for key in ("model", "recipe", "crop_model", "learned"):
        del data["protocol"][key]
    data["protocol"]["rater"] = data["new"] = {"a": 1}
    path.write_text(json.dumps(data))
    found = open_report(path)
    assert found.protocol == dataclasses.replace(report.protocol, model=None)
    assert "A system on" in found.to_html()


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("face_id", [None, "b", "c"]),
        ("face_id", [[1], [2], [3]]),
        ("status", [None, "ok", "ok"]),
        ("valence", ["x", "y", "z"]),
        ("p_happy", [[1.0], [1.0], [1.0]]),
        ("predicted_arousal", [b"x", b"y", b"z"]),
        ("expression", [{"a": 1}] * 3),
    ],
)
def test_rows_of_odd_types_are_refused(tmp_path: Path, column: str, values: list[Any]) -> None:
    dataset = make_dataset(tmp_path / "d", [N, N, H], [(0.1, 0.1), (0.5, 0.2), (-0.3, 0.3)])
    predictions = predict(dataset, [N, H, H], (N, H), [(0.2, 0.2), (0.1, 0.1), (0.0, 0.5)])
    report = score(dataset, predictions)
    place = report.table.column_names.index(column)
    table = report.table.set_column(place, column, pa.array(values))
    with pytest.raises(FormatError, match=column):
        _ = dataclasses.replace(report, table=table).rows
