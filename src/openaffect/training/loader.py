"""From rows to batches of pixels.

Everything random is drawn from (seed, epoch, step), for the whole batch at once, so a batch is
the same whatever the number of threads and processes, and after a resume.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openaffect.dataset import Dataset
from openaffect.errors import InputError
from openaffect.faces.boxes import Box
from openaffect.faces.crops import crop
from openaffect.images import pixel_hash, read_image
from openaffect.parallel import map_in_order
from openaffect.progress import OnProgress
from openaffect.training.augmentation import augment, sample_changes
from openaffect.training.imbalance import sample_epoch
from openaffect.training.progress import tell_reading
from openaffect.training.recipe import Recipe
from openaffect.training.targets import Targets

MEMORY = 2_000_000_000
"""Crops that together take no more bytes than this are decoded once and kept."""


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

    def keep(self, rows: NDArray[np.int64], on_progress: OnProgress | None = None) -> None:
        """Decode rows once and keep them, if all of them fit into the memory that is allowed."""
        if len(rows) * self._size**2 * 3 > self._memory:
            return
        kept = np.zeros((len(rows), self._size, self._size, 3), np.uint8)
        for number, piece in enumerate(self._pool.map(self._read, rows)):
            if piece is not None:
                kept[number] = piece
            if on_progress is not None:
                on_progress(tell_reading(number + 1, len(rows)))
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
    rows = sample_epoch(recipe.strategy, targets.classes, recipe.max_per_class, rng)
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
