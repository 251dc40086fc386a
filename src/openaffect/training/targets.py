"""Which faces are learned and what they should give; whole groups are held out for stopping."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openaffect.dataset import Dataset
from openaffect.errors import InputError
from openaffect.labels import EMOTIONS, Expression, parse_labels
from openaffect.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Targets:
    """What the rows of a training should give.

    Attributes:
        rows: positions in the dataset, int64 (n,).
        classes: position in the label set of the likeliest expression, int64 (n,); the number of
            labels where a face is learned for its affect alone, a class of its own for the
            strategies; zeros if the recipe learns no expression.
        shares: float32 (n, classes), one-hot or the raters' shares; zeros in a face without.
        affect: float32 (n, 2), NaN where unknown.
    """

    rows: NDArray[np.int64]
    classes: NDArray[np.int64]
    shares: NDArray[np.float32]
    affect: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, picked: NDArray[np.bool_] | NDArray[np.integer]) -> Targets:
        """Some of them, in the order of `picked`."""
        return Targets(
            self.rows[picked], self.classes[picked], self.shares[picked], self.affect[picked]
        )


def choose_targets(dataset: Dataset, recipe: Recipe) -> Targets:
    """The faces of a dataset that a recipe can learn from.

    Those of the split `train` (all, if no row has a split) whose expression is in the label set,
    and, with soft labels, uncertain ones whose raters chose something in it; for a recipe of
    affect alone, those of the label set that have valence and arousal, and faces without an
    expression. With `none_faces` = `affect`, faces labeled none are added for their affect.

    Raises:
        InputError: there are none; the message says why.
    """
    splits = np.array(dataset.faces["split"].to_pylist(), dtype=object)
    has_splits = any(split is not None for split in splits)
    in_train = splits == "train" if has_splits else np.ones(len(dataset), dtype=bool)
    affect = dataset.affect
    if recipe.label_set:
        shares = _soft_targets(dataset, recipe)
        usable = in_train & (shares.sum(axis=1) > 0)
    else:
        shares = np.zeros((len(dataset), 0), np.float32)
        wanted = [-1, *(label.id for label in parse_labels(recipe.labels))]
        usable = in_train & np.isin(dataset.expression_ids, wanted) & ~np.isnan(affect[:, 0])
    if recipe.none_faces == "affect":
        none = dataset.expression_ids == Expression.NONE.id
        usable |= in_train & none & ~np.isnan(affect[:, 0])
    if not usable.any():
        lack = f"a label among {', '.join(recipe.label_set)}" if recipe.label_set else "affect"
        raise InputError(
            f"no face of {dataset.path} can be learned from: of {len(dataset)} faces "
            f"{int(in_train.sum())} are in the split train, none of these with {lack}"
        )
    if recipe.learns_affect and np.isnan(affect[usable, 0]).all():
        raise InputError(
            f"recipe {recipe.name} learns valence and arousal, but no usable face of "
            f"{dataset.path} has them"
        )
    classes = np.zeros(len(dataset), np.int64)
    if recipe.label_set:
        classes = np.where(shares.sum(axis=1) > 0, shares.argmax(axis=1), len(recipe.label_set))
    everything = Targets(np.arange(len(dataset)), classes.astype(np.int64), shares, affect)
    return everything.select(usable)


def own_labels(dataset: Dataset, labels: Sequence[Expression]) -> NDArray[np.float32]:
    """One-hot of each row's own expression, whatever its raters' shares.

    Returns:
        float32 (n, classes); zeros where the expression is not one of `labels`.
    """
    wanted = np.array([label.id for label in labels])
    shares: NDArray[np.float32] = (dataset.expression_ids[:, None] == wanted).astype(np.float32)
    return shares


def _soft_targets(dataset: Dataset, recipe: Recipe) -> NDArray[np.float32]:
    labels = recipe.label_set
    ids = dataset.expression_ids
    shares = own_labels(dataset, labels)
    if not recipe.soft_labels:
        return shares
    emotions = [label for label in labels if label in EMOTIONS]
    soft = np.zeros_like(shares)
    columns = [labels.index(label) for label in emotions]
    soft[:, columns] = np.nan_to_num(dataset.lists("soft_label"))[:, [e.id for e in emotions]]
    total = soft.sum(axis=1)
    # A label of none or no_face stands: raters' shares are only of the eight emotions.
    emotional = (ids >= 0) & (ids < len(EMOTIONS)) & (shares.sum(axis=1) > 0)
    uncertain = (ids == Expression.UNCERTAIN.id) & (Expression.UNCERTAIN not in labels)
    use = (total > 0) & (emotional | uncertain)
    shares[use] = soft[use] / total[use, None]
    return shares


def train_val_split(
    dataset: Dataset, targets: Targets, share: float, seed: int
) -> tuple[Targets, Targets]:
    """Split targets into those to learn from and those that stopping looks at.

    Whole groups, as near to the share of each class as groups allow, from either side and at least
    one; which ones depends on the seed and the ids alone, not on the order of the rows. (`curation`
    splits from below, for a split must not hold more than was asked for.)

    Raises:
        InputError: too few faces to hold any out.
    """
    of_rows = dataset.group_keys()
    keys = [of_rows[row] for row in targets.rows]
    classes: dict[str, Counter[int]] = {}
    for key, label in zip(keys, targets.classes.tolist(), strict=True):
        classes.setdefault(key, Counter())[label] += 1
    counts = np.bincount(targets.classes)
    lacking = [round(float(count) * share) for count in counts]

    def change(key: str) -> int:
        """By how many faces a group more brings the held ones away from the wanted counts."""
        return sum(abs(lacking[c] - n) - abs(lacking[c]) for c, n in classes[key].items())

    order = sorted(classes, key=lambda key: (_hash(key, seed), key))
    held: set[str] = set()
    for key in order:
        if change(key) < 0:
            held.add(key)
            for label, number in classes[key].items():
                lacking[label] -= number
    if not held and any(lacking):  # every group is too large: the least bad one
        held.add(min(order, key=change))
    mask = np.array([key in held for key in keys])
    if not mask.any() or mask.all():
        raise InputError(
            f"cannot hold out {share:.0%} of {len(targets)} faces for stopping; "
            "train on more faces or set another share: --set early_stopping_fraction=0.2"
        )
    return targets.select(~mask), targets.select(mask)


def _hash(key: str, seed: int) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=8, salt=seed.to_bytes(8, "big")).digest()


def count_classes(targets: Targets, labels: Sequence[Expression]) -> dict[str, int]:
    """Number of faces by the name of their likeliest expression, in the order of the ids."""
    counts = np.bincount(targets.classes, minlength=len(labels))
    return {
        label.value: int(count)
        for label, count in sorted(zip(labels, counts, strict=False), key=lambda p: p[0].id)
    }
