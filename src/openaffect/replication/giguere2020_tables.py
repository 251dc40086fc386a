"""The printed tables of Giguere 2020, and what follows from them by arithmetic.

Jonathan Giguere, "Emotion Classification Using AffectNet: A Database for Facial Expression
Computing in the Wild": a ResNet-50 with its last layers trained on five expressions, and a
VGG-type net with a class-balanced loss on six. Numbers stand here as printed, slips included;
`MISPRINTS` says what cannot be right, and every right value is computed from the other numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from openaffect import metrics
from openaffect.labels import Expression, parse_labels

SIX: tuple[Expression, ...] = parse_labels("neutral,happy,sad,surprise,fear,anger")
"""The expressions of the better model, in the order of every table's columns."""

FIVE: tuple[Expression, ...] = parse_labels("neutral,happy,sad,surprise,anger")
"""The expressions of the transfer model."""

COUNTS = (75_374, 134_915, 25_959, 14_590, 6_878, 25_382)
"""Appendix B: AffectNet's published training and validation faces of the six."""

SPLITS: Mapping[str, tuple[int, ...]] = {
    "train": (74_070, 132_972, 25_816, 13_939, 6_310, 24_652),
    "validation": (500, 500, 500, 500, 500, 500),
    "test": (804, 1_443, 273, 151, 68, 267),
}
"""Table 3 as printed."""

TOTALS: Mapping[str, int] = {"train": 277_092, "validation": 3_000, "test": 3_006}
"""Table 3's column of totals as printed."""

TABLE_4 = (
    (217, 78, 175, 28, 188),
    (54, 902, 118, 15, 135),
    (27, 8, 134, 6, 56),
    (15, 23, 33, 27, 31),
    (25, 15, 46, 3, 137),
)
"""Confusion of the transfer model; rows are the truth, both in the order of `FIVE`."""

TABLE_5 = (
    (561, 130, 27, 13, 10, 58),
    (266, 1126, 15, 11, 2, 23),
    (137, 46, 55, 4, 8, 22),
    (73, 24, 3, 33, 11, 4),
    (30, 5, 5, 8, 16, 5),
    (90, 39, 19, 6, 7, 108),
)
"""Confusion of the VGG-type model; rows are the truth, both in the order of `SIX`."""

TABLE_6: Mapping[str, float] = {
    "happy": 0.78,
    "neutral": 0.70,
    "anger": 0.40,
    "fear": 0.23,
    "surprise": 0.22,
    "sad": 0.20,
}
"""Recall of the VGG-type model."""

TABLE_7: Mapping[str, tuple[float, float]] = {
    "baseline": (0.64, 0.55),
    "transfer": (0.57, 0.59),
    "vgg": (0.63, 0.62),
}
"""Accuracy and "F1-Score"; the baseline's are AffectNet's weighted loss, test set as is."""

TRAINED = tuple(
    count - validation - test
    for count, validation, test in zip(COUNTS, SPLITS["validation"], SPLITS["test"], strict=True)
)
"""Table 3's training faces as they must be: what validation and test leave of the database."""


def recompute(table: Sequence[Sequence[int]]) -> dict[str, float]:
    """Accuracy, weighted and macro F1 of a printed confusion matrix.

    >>> {name: round(value, 3) for name, value in recompute(TABLE_5).items()}
    {'accuracy': 0.633, 'weighted_f1': 0.623, 'f1': 0.442}
    """
    matrix = metrics.with_failed_column([list(row) for row in table])
    return {
        "accuracy": float(metrics.accuracy(matrix)),
        "weighted_f1": float(metrics.weighted_f1(matrix)),
        "f1": float(metrics.macro_f1(matrix)),
    }


def recompute_recall() -> dict[str, float]:
    """Recall of each expression by Table 5.

    >>> round(recompute_recall()["happy"], 3)
    0.78
    """
    recall = metrics.recall(metrics.with_failed_column([list(row) for row in TABLE_5]))
    return {label.value: float(value) for label, value in zip(SIX, recall, strict=True)}


@dataclass(frozen=True, slots=True)
class Misprint:
    """A printed number or word that cannot be right.

    Attributes:
        place: where it stands.
        printed: what it says.
        right: what follows from the other numbers.
        reason: how.
    """

    place: str
    printed: str
    right: str
    reason: str


def misprints() -> tuple[Misprint, ...]:
    """What of Giguere 2020 cannot be right, with the value that follows from its other numbers."""
    four, five = recompute(TABLE_4), recompute(TABLE_5)
    printed = sum(SPLITS["train"])
    return (
        Misprint(
            "Table 3, training faces",
            f"Sad {SPLITS['train'][2]:,}, Anger {SPLITS['train'][5]:,}",
            f"Sad {TRAINED[2]:,}, Anger {TRAINED[5]:,}",
            f"What 500 and the test faces leave of the database’s counts. With these the row sums "
            f"to its printed total, {sum(TRAINED):,}; as printed it sums to {printed:,}.",
        ),
        Misprint(
            "Table 5, faces of each expression",
            _sums(TABLE_5),
            _listed(SPLITS["test"]),
            "The rows of the confusion matrix should sum to Table 3’s test faces. The matrix is "
            "kept as printed: all scores are computed from it.",
        ),
        Misprint(
            "Table 4, faces of each expression",
            _sums(TABLE_4),
            _listed([n for n, e in zip(SPLITS["test"], SIX, strict=True) if e in FIVE]),
            "Another test set than Table 3’s, which is that of the best model; how it was drawn "
            "is not said.",
        ),
        Misprint(
            "Table 7, F1",
            "55 % beside 59 % and 62 %",
            f"macro F1: 55% beside {four['f1']:.1%} and {five['f1']:.1%}".replace("%", " %"),
            "The baseline’s is a macro F1 over eight expressions, Giguere’s own are weighted by "
            "the skewed classes of five and six. By the same mean they are below the baseline, "
            "so the conclusion that F1 rose does not follow.",
        ),
        Misprint(
            "Text below Table 7",
            "the baseline was trained with all eleven labels",
            "eight",
            "AffectNet’s categorical baselines have the eight expressions as outputs.",
        ),
        Misprint(
            "Text and code, input",
            "(224, 224, 3) and (256, 256, 3)",
            "256 × 256",
            "The code is what ran; the text differs from it.",
        ),
        Misprint(
            "Text, manually annotated faces",
            "420,299",
            "456,349",
            "What Table 1 sums to. 420,299 are those of training and validation, which were "
            "released; the rest is the test set.",
        ),
    )


def _sums(table: Sequence[Sequence[int]]) -> str:
    return _listed([sum(row) for row in table])


def _listed(numbers: Sequence[int]) -> str:
    return f"{', '.join(f'{n:,}' for n in numbers)} (in all {sum(numbers):,})"
