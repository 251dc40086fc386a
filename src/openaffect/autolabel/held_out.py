"""Held-out labels: which faces have them, what each is used for, and when they cannot be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from openaffect.dataset import Dataset, scan_dataset
from openaffect.errors import InputError, MismatchError
from openaffect.inference import sorted_labels
from openaffect.labels import EMOTIONS, EXPRESSIONS, Expression, parse_labels
from openaffect.metrics.arrays import Floats
from openaffect.model import Card
from openaffect.predictions import Predictions

USES = CALIBRATION, THRESHOLD, REPORT = "calibration", "threshold", "report"
"""What a held-out face is used for: one of these, and no other."""

COLUMNS = (
    *("face_id", "expression", "expression_origin", "valence", "arousal", "affect_origin"),
    *("split", "group"),
)
"""The columns of a dataset that are looked at."""

PORTION = 4_096
"""Faces of a dataset that are in memory at once."""

_MOST_LEARNED = 0.1  # share of faces in learned images beyond which the labels are not held out


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Faces with human labels, n of them, in the order of their dataset.

    Attributes:
        ids: face_id of each.
        expression: AffectNet's id, int8 (n,).
        affect: human valence and arousal, float64 (n, 2); NaN where there is none.
        groups: what must not be separated, see `Dataset.group_keys`.
        used_for: calibration, threshold or report.
        left_out: number of faces that are not used, by reason.
    """

    ids: list[str]
    expression: NDArray[np.int8]
    affect: Floats
    groups: list[str]
    used_for: list[str] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, keep: NDArray[np.bool_], reason: str) -> HeldOut:
        """The faces of a mask (n,); the others are counted under a reason."""
        rows = np.flatnonzero(keep)
        gone = len(keep) - len(rows)
        return HeldOut(
            [self.ids[row] for row in rows],
            self.expression[rows],
            self.affect[rows],
            [self.groups[row] for row in rows],
            [self.used_for[row] for row in rows] if self.used_for else [],
            self.left_out | ({reason: gone} if gone else {}),
        )

    def is_for(self, use: str) -> NDArray[np.bool_]:
        """Which faces are used for something, bool (n,)."""
        return np.array([one == use for one in self.used_for], dtype=bool)


def is_human(faces: Dataset) -> NDArray[np.bool_]:
    """Which faces have an expression that people gave, bool (n,)."""
    given = pc.and_(
        faces.column("expression").is_valid(),
        pc.equal(faces.column("expression_origin"), "human").fill_null(False),
    )
    return np.asarray(given.to_numpy(), dtype=bool)


def is_unlabeled(faces: Dataset) -> NDArray[np.bool_]:
    """Which faces a model may label: those without an expression, and those that one labeled before."""
    open_to = pc.or_(
        faces.column("expression").is_null(),
        pc.equal(faces.column("expression_origin"), "model").fill_null(False),
    )
    return np.asarray(open_to.to_numpy(), dtype=bool)


def keep_human(faces: Dataset) -> Dataset:
    """The faces with a human expression."""
    return faces.select(is_human(faces))


def keep_unlabeled(faces: Dataset) -> Dataset:
    """The faces that a model may label."""
    return faces.select(is_unlabeled(faces))


def choose_labels(card: Card, wish: str | None) -> tuple[Expression, ...]:
    """The expressions that count, in the order of their ids: those asked for, else the model's.

    Raises:
        MismatchError: expressions that the model does not know, or did not see in its training.
        InputError: the model tells no expression.
    """
    known = sorted_labels(card)
    if not known:
        raise InputError(f"the model {card.name} tells no expression, so it cannot label faces")
    labels = known if wish is None else parse_labels(wish)
    lacking = [label.value for label in labels if label not in known]
    if lacking:
        raise MismatchError(
            f"expected a model that knows {', '.join(lacking)}, but {card.name} knows "
            f"{', '.join(known)}; choose other --labels"
        )
    seen: Any = card.trained_on.get("classes")
    if isinstance(seen, dict):
        unseen = [label.value for label in labels if seen.get(label.value, 1) == 0]
        if unseen:
            raise MismatchError(
                f"{card.name} saw no face of {', '.join(unseen)} in its training (its card says so): "
                "what it says of that means nothing; leave it out by --labels"
            )
    return tuple(labels)


def read_held_out(
    path: Path, split: str | None, labels: Sequence[Expression], *, asked: bool
) -> HeldOut:
    """The faces of a dataset that people have labeled.

    Args:
        path: the dataset.
        split: only the faces of this split.
        labels: the expressions that count.
        asked: whether these were asked for: emotions beyond them are then meant to be left out.

    Raises:
        InputError: there are none.
        MismatchError: people say emotions that are not among the labels.
    """
    ids: list[str] = []
    groups: list[str] = []
    expressions, affects = [], []
    origins: Counter[str] = Counter()
    for portion in scan_dataset(path, columns=COLUMNS, rows=PORTION):
        chosen = portion if split is None else portion.where(split=split)
        origins.update(str(o) for o in chosen.column("expression_origin").to_pylist() if o)
        human = keep_human(chosen)
        ids += human.ids
        groups += human.group_keys()
        expressions.append(human.expression_ids)
        affect = human.affect.astype(np.float64)
        given = pc.equal(human.column("affect_origin"), "human").fill_null(False)
        affect[~np.asarray(given.to_numpy(), dtype=bool)] = np.nan
        affects.append(affect)
    if not ids:
        where = f"{path}" + ("" if split is None else f", split '{split}'")
        has = ", ".join(f"{count:,} of origin {name}" for name, count in origins.most_common())
        raise InputError(
            f"expected human labels (expression_origin 'human') in {where}, by which a threshold "
            f"can be chosen, but it has {has or 'no label'}; name a dataset that has some by "
            "--held-out"
        )
    found = HeldOut(ids, np.concatenate(expressions), np.concatenate(affects), groups)
    if not asked:
        _check_labels(found, labels, path)
    return found


def _check_labels(found: HeldOut, labels: Sequence[Expression], path: Path) -> None:
    counts = Counter(EXPRESSIONS[number] for number in found.expression.tolist())
    lacking = [label for label in EMOTIONS if counts[label] and label not in labels]
    if lacking:
        said = ", ".join(f"{counts[label]:,} {label}" for label in lacking)
        raise MismatchError(
            f"people say expressions in {path} that the model does not know: {said}; choose a model "
            f"that does, or leave them out by --labels {','.join(labels)}"
        )


def drop_unusable(held: HeldOut, predictions: Predictions, labels: Sequence[Expression]) -> HeldOut:
    """The faces that can be used: the model did not learn from them, and could read them.

    Faces with other labels stay: `report` says what becomes of them.

    Raises:
        InputError: the model learned from more than a tenth of them.
        MismatchError: no face has one of the labels.
    """
    rows = predictions.align(held.ids)
    learned = predictions.learned_warning(rows)
    if learned is not None and predictions.learned is not None:
        marks = predictions.learned[rows]
        if marks.mean() > _MOST_LEARNED:
            raise InputError(
                f"{marks.sum():,} of the {len(held):,} faces with human labels lie in images that "
                "the model learned from, so their labels are not held out; name others by "
                "--held-out DATASET, or the split that it did not learn from by --split"
            )
        held = held.select(~marks, "in images that the model learned from")
        rows = predictions.align(held.ids)
    failed = np.array([predictions.errors[row] is not None for row in rows], dtype=bool)
    held = held.select(~failed, "that could not be read or predicted")
    if not np.isin(held.expression, [label.id for label in labels]).any():
        counts = Counter(EXPRESSIONS[number].value for number in held.expression.tolist())
        raise MismatchError(
            f"no face with a human label has one that counts ({', '.join(labels)}); they have "
            + (", ".join(f"{n:,} {name}" for name, n in counts.most_common()) or "none")
        )
    return held


def divide(held: HeldOut, seed: int, least: int) -> HeldOut:
    """Give each face its use: a quarter each for calibration and threshold, the rest for the report.

    Whole groups stay together.

    Args:
        held: the faces.
        seed: of the order of the groups.
        least: faces that each use needs.

    Raises:
        InputError: too few faces.
    """
    sizes = Counter(held.groups)
    names = sorted(sizes)
    np.random.default_rng(seed).shuffle(names)
    use_of: dict[str, str] = {}
    taken = 0
    for name in names:
        # By where the middle of the group lies among all faces.
        place = (taken + sizes[name] / 2) / len(held)
        use_of[name] = CALIBRATION if place < 0.25 else THRESHOLD if place < 0.5 else REPORT
        taken += sizes[name]
    used_for = [use_of[name] for name in held.groups]
    counts = Counter(used_for)
    if min(counts[use] for use in USES) < least:
        raise InputError(
            f"expected at least {least} held-out faces each for calibration, threshold and report, "
            f"but got {counts[CALIBRATION]}, {counts[THRESHOLD]} and {counts[REPORT]}: "
            f"{len(held):,} faces with human labels in {len(names):,} groups are too few"
        )
    return HeldOut(held.ids, held.expression, held.affect, held.groups, used_for, held.left_out)
