"""AffectNet's 8-label release: 224×224 crops, four small NumPy files each."""

from __future__ import annotations

import csv
import functools
import io
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openaffect.dataset import Dataset
from openaffect.dataset_writer import DatasetWriter
from openaffect.errors import ImageError, InputError, reason
from openaffect.face_row import FaceRow, RejectRow
from openaffect.faces.boxes import Box
from openaffect.faces.crops import CropRule, Window, crop, crop_window
from openaffect.formats import _affectnet
from openaffect.formats._affectnet import (
    ABSENT,
    SETS,
    annotation_stems,
    find_sets,
    notes_from_counts,
    null_if_missing,
    reject_unlabeled,
    sets_in,
)
from openaffect.formats._exports import (
    ExportSummary,
    note_origins,
    picture_path,
    rows_of,
    suffix_of,
)
from openaffect.formats._npy import Value, read_npy
from openaffect.formats._sources import (
    Source,
    choose,
    find_picture,
    not_found,
    read_expression,
    read_number,
    shorten,
)
from openaffect.images import encode_image, read_image
from openaffect.labels import EMOTIONS, Expression, parse_expression
from openaffect.storage import open_file
from openaffect.texts import counted

LAYOUT = "train_set/ or val_set/ with images/N.jpg and annotations/N_exp.npy, N_val, N_aro, N_lnd"
LICENSE: str | None = _affectnet.LICENSE
COLUMNS = frozenset(
    {
        *("face_id", "landmarks", "expression", "valence", "arousal", "split"),
        *("expression_origin", "affect_origin"),
    }
)
FIXED_SIZE: tuple[int, int] | None = (224, 224)

RULE = CropRule(margin=0.15)
"""How an export crops a face that has a box: AffectNet's 15 % on each side."""

_EXPRESSION = "_exp.npy"


def find(path: Path) -> Source:
    """The folder that holds `train_set/` or `val_set/`."""
    root = find_sets(path, _EXPRESSION)
    if root is None:
        raise not_found(LAYOUT, path)
    return Source(root, root)


def read(source: Source, writer: DatasetWriter) -> None:
    """Read every annotation of every set that is there, in the order of the numbers."""
    for split, folder in sets_in(source.root):
        start = SETS[split][1]
        for number in _in_order(annotation_stems(folder, _EXPRESSION)):
            face_id, where = f"{start}/{number}", f"{folder.name}/annotations/{number}"
            with writer.rejecting(face_id, where):
                row = _face(f"{folder}/annotations/{number}", face_id, split)
                listed = f"{folder.name}/images/{number}.jpg"
                row.image = find_picture(source.prefix, listed) or listed
                if row.image != listed:
                    writer.warn("picture found under another ending")
                if row.landmarks is None:
                    writer.warn("no landmarks")
                if row.valence is None:
                    writer.warn("no valence and arousal")
                writer.add(row, where)
        reject_unlabeled(writer, folder, _EXPRESSION)
    for note in notes_from_counts(writer.summary.classes):
        writer.note(note)


def _in_order(stems: Iterable[str]) -> Iterator[str]:
    """Whole numbers in their order, then the rest."""
    numbers, others = array("q"), []
    for stem in stems:
        if re.fullmatch(r"0|[1-9][0-9]{0,17}", stem):
            numbers.append(int(stem))
        else:
            others.append(stem)
    # One array of eight bytes a number; the order of a folder differs from disk to disk.
    yield from map(str, np.sort(np.frombuffer(numbers, np.int64)) if numbers else ())
    yield from sorted(others)


def _face(prefix: str, face_id: str, split: str) -> FaceRow:
    """The row of four files, without its picture."""
    try:
        label = read_npy(f"{prefix}_exp.npy")
        affect = _number(f"{prefix}_val.npy"), _number(f"{prefix}_aro.npy")
        landmarks = _landmarks(f"{prefix}_lnd.npy")
    except (ValueError, OSError, InputError) as error:
        raise RejectRow(f"annotation that cannot be read: {reason(error)}") from error
    valence, arousal = null_if_missing(*affect)
    return FaceRow(
        face_id=face_id,
        image="",
        landmarks=landmarks,
        expression=_label(label),
        valence=valence,
        arousal=arousal,
        expression_origin="human",
        affect_origin=None if valence is None else "human",
        split=split,
    )


@functools.lru_cache(maxsize=64)
def _label_of(text: str) -> Expression:
    return read_expression(text)


def _label(value: Value) -> Expression:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return _label_of(shorten(value))


def _number(path: str) -> float | None:
    try:
        value = read_npy(path)
    except FileNotFoundError:
        return None
    if isinstance(value, np.ndarray):
        raise ValueError(f"{value.size} values where one is expected")
    return value if isinstance(value, float) else read_number(value, "valence or arousal")


def _landmarks(path: str) -> NDArray[np.float64] | None:
    try:
        value = read_npy(path)
    except FileNotFoundError:
        return None
    # Any other shape with 136 values would say where x and y are otherwise.
    if not isinstance(value, np.ndarray) or value.shape not in ((136,), (68, 2)):
        raise ValueError("landmarks that are not 136 numbers, or 68 pairs")
    if value.dtype.kind not in "iuf":
        raise ValueError("landmarks that are not numbers")
    return value.astype(np.float64).reshape(-1)


# ---------------------------------------------------------------- the way back


@dataclass(frozen=True, slots=True)
class MadeFace:
    """A face as the release has it.

    Attributes:
        face_id: of the face.
        set: such as `train_set`.
        number: in its set.
        files: names below the set, and contents; the picture first, then its `.npy` files.
    """

    face_id: str
    set: str
    number: int
    files: tuple[tuple[str, bytes], ...]


def write(dataset: Dataset, folder: Path, summary: ExportSummary, *, picture: str = "jpg") -> None:
    """Write the release's sets: 224×224 pictures, cropped where there is a box, and `.npy` files.

    An id such as `train/123` gives its number back; others are numbered after the highest one
    in use, and `ids.csv` says which is which.

    Args:
        dataset: what to write.
        folder: where to.
        summary: is filled in.
        picture: `jpg` or `png`, for pictures that must be cropped or resized; a JPEG or PNG
            that already is a 224×224 crop is copied as it is.
    """
    made: set[Path] = set()
    for face in make_faces(dataset, folder / "ids.csv", summary, picture=picture):
        place = folder / face.set
        if place not in made:
            made.add(place)
            for part in ("images", "annotations"):
                (place / part).mkdir(parents=True)
        for name, data in face.files:
            (place / name).write_bytes(data)


def make_faces(
    dataset: Dataset, ids: Path, summary: ExportSummary, *, picture: str = "jpg"
) -> Iterator[MadeFace]:
    """The faces that `write` writes, one after the other; what it writes beside them is `ids`.

    Args:
        dataset, summary, picture: see `write`.
        ids: the table of those whose id is no number; it is not there where nobody needs it.

    Raises:
        ImageError: a picture that cannot be read, with its face.
    """
    choose("picture", picture, ("jpg", "png"))
    note_origins(dataset, summary)
    numbering = _Numbering(dataset)
    no_split = 0
    with open(ids, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["set", "number", "face_id"])
        for row in rows_of(dataset, {*COLUMNS, "box"}):
            if row["expression"] not in EMOTIONS:
                summary.left_out[f"expression is not one of the eight: {row['expression']}"] += 1
                continue
            try:
                made = _make_picture(dataset, row, f".{picture}")
            except ImageError as error:
                raise ImageError(f"{error} (face {row['face_id']})") from error
            number, own = numbering.number(row["face_id"], row["split"])
            place = SETS[row["split"] or "train"][0]
            if not own:
                table.writerow([place, number, row["face_id"]])
            no_split += row["split"] is None
            files = ((f"images/{number}{made.suffix}", made.data), *_annotate(row, made, number))
            yield MadeFace(row["face_id"], place, number, files)
            summary.rows += 1
    if numbering.foreign:
        summary.notes.append(
            f"{numbering.foreign:,} ids are no numbers of their set and got new ones; see ids.csv"
        )
    else:
        ids.unlink()
    if no_split:
        summary.notes.append(f"{counted(no_split, 'row')} without a split went to train_set")


@dataclass(frozen=True, slots=True)
class _Picture:
    """A picture as the release has it, and where its pixels were in the whole picture."""

    data: bytes
    window: Window
    suffix: str


class _Numbering:
    """Gives ids of the release their own numbers, and others the next free one of their set."""

    def __init__(self, dataset: Dataset) -> None:
        self.foreign = 0
        self._next = dict.fromkeys(SETS, 0)
        for row in rows_of(dataset, {"split"}):
            own = _own_number(row["face_id"], row["split"])
            if own is not None:
                self._next[row["split"]] = max(self._next[row["split"]], own + 1)

    def number(self, face_id: str, split: str | None) -> tuple[int, bool]:
        """The number, and whether it is the one that the id states."""
        own = _own_number(face_id, split)
        if own is not None:
            return own, True
        split = split or "train"
        self._next[split] += 1
        self.foreign += 1
        return self._next[split] - 1, False


def _own_number(face_id: str, split: str | None) -> int | None:
    match = re.fullmatch(r"(train|val|test)/(0|[1-9]\d{0,17})", face_id)
    own = match is not None and split is not None and SETS[split][1] == match.group(1)
    return int(match.group(2)) if match is not None and own else None


def _make_picture(dataset: Dataset, row: Mapping[str, Any], suffix: str) -> _Picture:
    path = picture_path(dataset, row["image"])
    pixels = read_image(path)
    height, width = pixels.shape[:2]
    size = FIXED_SIZE or (224, 224)
    whole = Window(0, 0, width, height)
    if (
        row["box"] is None
        and (width, height) == size
        and suffix_of(row["image"]).lower()
        in (
            ".jpg",
            ".jpeg",
            ".png",
        )
    ):
        with open_file(path, "a picture") as file:
            return _Picture(file.read(), whole, suffix_of(row["image"]))
    box = None if row["box"] is None else Box(*row["box"])
    window = whole if box is None else crop_window(box, RULE)
    return _Picture(encode_image(crop(pixels, box, RULE, size), suffix), window, suffix)


def _annotate(row: Mapping[str, Any], made: _Picture, number: int) -> Iterator[tuple[str, bytes]]:
    """The `.npy` files of a face."""
    yield _save(number, "exp", np.array(str(parse_expression(row["expression"]).id)))
    for name, column in (("val", "valence"), ("aro", "arousal")):
        value = ABSENT if row[column] is None else row[column]
        yield _save(number, name, np.array(str(np.float32(value))))
    if row["landmarks"] is not None:
        points = np.array(row["landmarks"], np.float32).reshape(-1, 2)
        points = made.window.to_crop(points, *(FIXED_SIZE or (224, 224))).astype(float)
        yield _save(number, "lnd", points.reshape(-1))


def _save(number: int, name: str, value: NDArray[Any]) -> tuple[str, bytes]:
    buffer = io.BytesIO()
    np.save(buffer, value)
    return f"annotations/{number}_{name}.npy", buffer.getvalue()
