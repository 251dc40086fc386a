"""From a dataset to batches: which rows are learned, what they should give, and their pixels.

Everything random is drawn from (seed, epoch, step), for the whole batch at once, so a batch is
the same whatever the number of threads and processes, and after a resume.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openaffect.dataset import Dataset
from openaffect.errors import InputError
from openaffect.faces.boxes import Box
from openaffect.faces.crops import crop
from openaffect.images import pixel_hash, read_image
from openaffect.labels import EMOTIONS, Expression, parse_labels
from openaffect.parallel import map_in_order
from openaffect.training.augmentation import augment, sample_changes
from openaffect.training.imbalance import epoch_rows
from openaffect.training.recipe import Recipe

MEMORY = 2_000_000_000
"""Crops that together take no more bytes than this are decoded once and kept."""


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


@dataclass(frozen=True, slots=True)
class Batch:
    """One process's share of one step's faces, those that could be read.

    Attributes:
        images: RGB uint8 (b, size, size, 3).
        targets: of the faces, in the same order.
    """

    images: NDArray[np.uint8]
    targets: Targets

    def __len__(self) -> int:
        return len(self.images)

    def divide(self, parts: int) -> list[Batch]:
        """The batch in at most `parts` pieces of nearly the same size, none of them empty.

        An empty batch is one empty piece.
        """
        count = max(1, min(parts, len(self)))
        if count == 1:
            return [self]
        places = np.array_split(np.arange(len(self)), count)
        return [Batch(self.images[part], self.targets.select(part)) for part in places]


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
        shares = _shares(dataset, recipe)
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


def _shares(dataset: Dataset, recipe: Recipe) -> NDArray[np.float32]:
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


def hold_out(
    dataset: Dataset, targets: Targets, share: float, seed: int
) -> tuple[Targets, Targets]:
    """Split targets into those to learn from and those that stopping looks at.

    Whole groups, as near to the share of each class as groups allow; which ones depends on the
    seed and the ids alone, not on the order of the rows.

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


class CropReader:
    """Reads the crops of rows, `resize` × `resize`, and counts those that cannot be read.

    Small sets are decoded once and kept; large ones are decoded on threads when they are needed
    (the decoders release the interpreter's lock).

    Attributes:
        broken: why a picture could not be read, by face_id.
    """

    def __init__(
        self, dataset: Dataset, recipe: Recipe, threads: int = 4, memory: int = MEMORY
    ) -> None:
        self.broken: dict[str, str] = {}
        self._ids = dataset.ids
        self._paths = dataset.image_paths
        self._boxes = dataset.lists("box")
        # Where the picture already is the crop.
        self._whole: NDArray[np.bool_] = np.asarray(np.isnan(self._boxes).all(axis=1))
        self._rule = recipe.crop_rule
        self._size = recipe.resize
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads)
        self._kept: NDArray[np.uint8] | None = None
        self._place: dict[int, int] = {}
        self._memory = memory
        self._hashes = np.zeros(len(dataset), np.uint32)
        self._hashed = np.zeros(len(dataset), dtype=bool)

    def face_id(self, row: int) -> str:
        """The id of a row."""
        return self._ids[row]

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def keep(self, rows: NDArray[np.int64], progress: Callable[[int], None] | None = None) -> None:
        """Decode rows once and keep them, if all of them fit into the memory that is allowed."""
        if len(rows) * self._size**2 * 3 > self._memory:
            return
        kept = np.zeros((len(rows), self._size, self._size, 3), np.uint8)
        for number, piece in enumerate(self._pool.map(self._read, rows)):
            if piece is not None:
                kept[number] = piece
            if progress is not None:
                progress(1)
        self._kept = kept
        self._place = {int(row): number for number, row in enumerate(rows)}

    def read(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Crops uint8 (n, resize, resize, 3), and which of the rows could be read, bool (n,)."""
        images = np.zeros((len(rows), self._size, self._size, 3), np.uint8)

        def put(number: int, piece: NDArray[np.uint8]) -> None:
            images[number] = piece

        return images, self.visit(rows, put)

    def visit(
        self, rows: NDArray[np.int64], use: Callable[[int, NDArray[np.uint8]], None]
    ) -> NDArray[np.bool_]:
        """Call `use(number, crop)` for each row that can be read, on several threads.

        Args:
            rows: of the dataset.
            use: gets the position in `rows` and the crop, uint8 (resize, resize, 3), which it
                must not change.

        Returns:
            Which of the rows could be read, bool (n,).
        """

        def visit_part(numbers: range) -> None:
            for number in numbers:
                piece = self._get(int(rows[number]))
                if piece is not None:
                    use(number, piece)

        # A few parts a thread: even work, and little of the pool's own.
        length = max(1, -(-len(rows) // (4 * self._threads)))
        parts = [range(i, min(i + length, len(rows))) for i in range(0, len(rows), length)]
        for _ in self._pool.map(visit_part, parts):
            pass
        return np.array([self._ids[row] not in self.broken for row in rows], dtype=bool)

    def hash_images(self, rows: NDArray[np.int64]) -> NDArray[np.uint32]:
        """The `pixel_hash` of the image of each row that can be read, uint32 (at most len(rows),).

        Images that were read are not read again; those that another process read, or that were
        read before a resume, are.
        """
        for _ in self._pool.map(self._read, rows[~self._hashed[rows]]):
            pass
        found: NDArray[np.uint32] = self._hashes[rows[self._hashed[rows]]]
        return found

    def _get(self, row: int) -> NDArray[np.uint8] | None:
        place = self._place.get(row)
        if self._kept is None or place is None:
            return self._read(row)
        return None if self._ids[row] in self.broken else self._kept[place]

    def _read(self, row: int) -> NDArray[np.uint8] | None:
        try:
            box = None if self._whole[row] else Box(*self._boxes[row].tolist())
            image = read_image(self._paths[row])
            if not self._hashed[row]:
                self._hashes[row], self._hashed[row] = pixel_hash(image), True
            return crop(image, box, self._rule, (self._size, self._size))
        except (InputError, ValueError) as error:  # ValueError: numbers that are no box
            self.broken[self._ids[row]] = str(error)
            return None


def plan_epoch(recipe: Recipe, targets: Targets, epoch: int) -> list[NDArray[np.int64]]:
    """The steps of an epoch, each the positions of its faces in `targets`.

    A last step of a single face joins the one before: batch normalization cannot do with one.
    """
    rng = np.random.default_rng((recipe.seed, epoch))
    rows = epoch_rows(recipe.strategy, targets.classes, recipe.max_per_class, rng)
    steps = [rows[i : i + recipe.batch_size] for i in range(0, len(rows), recipe.batch_size)]
    if len(steps) > 1 and len(steps[-1]) == 1:
        last = steps.pop()
        steps[-1] = np.concatenate([steps[-1], last])
    return steps


def iterate_batches(
    recipe: Recipe,
    targets: Targets,
    reader: CropReader,
    *,
    epoch: int,
    start: int = 0,
    rank: int = 0,
    world: int = 1,
) -> Iterator[Batch]:
    """The batches of an epoch from step `start` on, for one process of several.

    The next batch is read while the last one is learned.
    """
    steps = plan_epoch(recipe, targets, epoch)[start:]

    def make(number: int) -> Batch:
        return _make_batch(
            recipe, targets, reader, steps[number], (epoch, start + number), rank, world
        )

    yield from map_in_order(make, range(len(steps)), workers=1, ahead=1)


def _make_batch(
    recipe: Recipe,
    targets: Targets,
    reader: CropReader,
    positions: NDArray[np.int64],
    place: tuple[int, int],
    rank: int,
    world: int,
) -> Batch:
    rng = np.random.default_rng((recipe.seed, *place, 1))
    changes = sample_changes(recipe, len(positions), rng)
    mine = slice(rank, None, world)
    chosen = targets.select(positions[mine])
    own = {key: values[mine] for key, values in changes.items()}
    images = np.empty((len(chosen), recipe.size, recipe.size, 3), np.uint8)

    def put(number: int, piece: NDArray[np.uint8]) -> None:
        change = {key: values[number] for key, values in own.items()}
        augment(recipe, piece, change, images[number])

    good = reader.visit(chosen.rows, put)
    if good.all():
        return Batch(images, chosen)
    return Batch(images[good], chosen.select(good))


def count_classes(targets: Targets, labels: Sequence[Expression]) -> dict[str, int]:
    """Number of faces by the name of their likeliest expression, in the order of the ids."""
    counts = np.bincount(targets.classes, minlength=len(labels))
    return {
        label.value: int(count)
        for label, count in sorted(zip(labels, counts, strict=False), key=lambda p: p[0].id)
    }


__all__ = [
    "Batch",
    "CropReader",
    "Targets",
    "choose_targets",
    "count_classes",
    "hold_out",
    "iterate_batches",
    "own_labels",
    "plan_epoch",
]
