"""AffectNet+ (2024): one JSON file a face, with soft labels, a difficulty and attributes."""

from __future__ import annotations

import codecs
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from openaffect.dataset import Dataset
from openaffect.dataset_writer import DatasetWriter
from openaffect.documents import decode_json
from openaffect.errors import InputError
from openaffect.face_row import FaceRow, RejectRow
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
    check_images_option,
    note_origins,
    place_picture,
    rows_of,
    safe_path,
    suffix_of,
)
from openaffect.formats._sources import (
    Source,
    find_picture,
    not_found,
    read_expression,
    read_number,
    shorten,
)
from openaffect.labels import parse_expression
from openaffect.storage import open_file
from openaffect.texts import counted, shorten_float32

LAYOUT = "human_annotated/train_set/ or validation_set/ with images/ and annotations/<id>.json"
LICENSE: str | None = _affectnet.LICENSE
COLUMNS = frozenset(
    {
        *("face_id", "landmarks", "expression", "soft_label", "valence", "arousal", "split"),
        *("expression_origin", "affect_origin", "extra"),
    }
)
FIXED_SIZE: tuple[int, int] | None = None

_SET_NAMES = {"train": "train_set", "validation": "validation_set", "test": "test_set"}
_FIELDS = {
    "human-label": "human_label",
    "soft-label": "soft_label",
    "meta-data": "meta_data",
}
_NAMES = {name.replace("-", ""): name for name in (*_FIELDS, "subset")}
_COLUMNS_OF_META = ("landmarks", "valence", "arousal")
_META_NAMES = {
    **{name: name for name in (*_COLUMNS_OF_META, "age", "gender", "race", "pose")},
    "landmark": "landmarks",
}
_MAX_BYTES = 1 << 20
"""More than any annotation holds."""


def find(path: Path) -> Source:
    """The folder that holds `human_annotated/`, or its sets where that folder was given itself."""
    sets = find_sets(path, ".json")
    if sets is None:
        raise not_found(LAYOUT, path)
    return Source(sets.parent if sets.name == "human_annotated" else sets, sets)


def read(source: Source, writer: DatasetWriter) -> None:
    """Read every annotation of every set that is there, in the order of the file names."""
    for split, folder in sets_in(Path(source.prefix)):
        for name in sorted(annotation_stems(folder, ".json")):
            face_id, where = f"{SETS[split][1]}/{name}", f"{folder.name}/annotations/{name}.json"
            with writer.rejecting(face_id, where):
                row = _face(folder / "annotations" / f"{name}.json", face_id, split)
                listed = f"{folder.name}/images/{name}"
                row.image = find_picture(source.prefix, listed) or f"{listed}.jpg"
                writer.add(row, where)
        reject_unlabeled(writer, folder, ".json")
    _note_unlabeled(source, writer)
    for note in notes_from_counts(writer.summary.classes):
        writer.note(note)


def _note_unlabeled(source: Source, writer: DatasetWriter) -> None:
    folder = source.root / "no_human_annotated" / "images"
    if folder.is_dir():
        with os.scandir(folder) as entries:
            count = sum(1 for _ in entries)
        writer.note(
            f"no_human_annotated has {counted(count, 'picture')} without annotations: left out"
        )


@dataclass(frozen=True, slots=True)
class _Annotation:
    """The keys of a file that have columns; a number may be written as text."""

    human_label: int | float | str
    soft_label: list[float | str] | None = None
    meta_data: dict[str, Any] | None = None


def _face(path: Path, face_id: str, split: str) -> FaceRow:
    try:
        top = _rename(_read_object(path), _NAMES)
        fields = {key: top[name] for name, key in _FIELDS.items() if name in top}
        data = msgspec.convert(fields, _Annotation)
    except (InputError, msgspec.ValidationError) as error:
        raise RejectRow(f"annotation that cannot be read: {error}") from error
    meta = _rename(data.meta_data or {}, _META_NAMES)
    valence, arousal = null_if_missing(*(_number(meta, name) for name in ("valence", "arousal")))
    extra = {name: value for name, value in top.items() if name not in _FIELDS}
    rest = {name: value for name, value in meta.items() if name not in _COLUMNS_OF_META}
    if rest:
        extra["meta-data"] = rest
    return FaceRow(
        face_id=face_id,
        image="",
        landmarks=_landmarks(meta.get("landmarks")),
        expression=read_expression(_whole(data.human_label)),
        soft_label=_soft_label(data.soft_label),
        valence=valence,
        arousal=arousal,
        expression_origin="human",
        affect_origin=None if valence is None else "human",
        split=split,
        extra=extra or None,
    )


def _read_object(path: Path) -> dict[str, Any]:
    with open_file(path, "an annotation") as file:
        text = file.read(_MAX_BYTES + 1)
    if len(text) > _MAX_BYTES:
        raise InputError(f"it has more than {_MAX_BYTES:,} bytes")
    return decode_json(text.removeprefix(codecs.BOM_UTF8), dict[str, Any], "it")


def _rename(data: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, Any]:
    """The keys in our spelling, since capitals and dashes vary; a foreign key stays as it is."""
    renamed: dict[str, Any] = {}
    for name, value in data.items():
        key = known.get(re.sub(r"[-_ ]", "", name.lower()), name)
        if key in renamed and renamed[key] != value:
            raise RejectRow(f"two keys mean {key}, and differ")
        renamed[key] = value
    return renamed


def _whole(value: float | str) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _number(meta: Mapping[str, Any], name: str) -> float | None:
    value = meta.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float | str | None):
        raise RejectRow(f"{name} that is no number: {shorten(value)}")
    return None if value is None else read_number(str(value), name)


def _soft_label(values: Sequence[float | str] | None) -> list[float] | None:
    if values is None:
        return None
    return [read_number(str(value), "soft label") for value in values]


def _landmarks(value: Any) -> NDArray[np.float64] | None:
    if value is None or value == []:
        return None
    try:
        points = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise RejectRow("landmarks that are no numbers") from None
    if points.shape not in ((136,), (68, 2)):
        raise RejectRow(f"landmarks that are not 136 numbers: {points.size}")
    return points.reshape(-1)


def write(dataset: Dataset, folder: Path, summary: ExportSummary, *, images: str = "copy") -> None:
    """Write `human_annotated/<set>/images/` and `annotations/`, with `extra` back in its place.

    Args:
        dataset: what to write.
        folder: where to.
        summary: is filled in.
        images: `copy`, `link` (symbolic links) or `none`.
    """
    check_images_option(images)
    note_origins(dataset, summary)
    no_split = 0
    for row in rows_of(dataset, COLUMNS):
        if row["expression"] is None:
            summary.left_out["no expression"] += 1
            continue
        no_split += row["split"] is None
        split = row["split"] or "train"
        picture = folder / place_of(row)
        name = picture.name.removesuffix(suffix_of(row["image"]))
        target = picture.parent.parent / "annotations" / f"{name}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            raise InputError(f"two faces of {split} want the name {name}; give them other face_ids")
        place_picture(dataset, row["image"], picture, images)
        target.write_text(json.dumps(_annotation(row)), encoding="utf-8")
        summary.rows += 1
    if no_split:
        summary.notes.append(f"{counted(no_split, 'row')} without a split went to train_set")


def place_of(row: Mapping[str, Any]) -> str:
    """Where `write` puts the picture of a row, by `face_id`, `image` and `split`."""
    split = row["split"] or "train"
    # A set is one flat folder.
    name = safe_path(row["face_id"].removeprefix(f"{SETS[split][1]}/")).replace("/", "_")
    return f"human_annotated/{_SET_NAMES[split]}/images/{name}{suffix_of(row['image'])}"


def _annotation(row: Mapping[str, Any]) -> dict[str, Any]:
    extra = decode_json(row["extra"] or "{}", dict[str, Any], f"extra of {row['face_id']}")
    meta = extra.pop("meta-data", {})
    if not isinstance(meta, dict):  # as a table of other people may have it
        raise InputError(f"meta-data in extra of {row['face_id']} is not an object")
    if row["landmarks"] is not None:
        meta["landmarks"] = [shorten_float32(value) for value in row["landmarks"]]
    for name in ("valence", "arousal"):
        meta[name] = ABSENT if row[name] is None else shorten_float32(row[name])
    data: dict[str, Any] = {"human-label": parse_expression(row["expression"]).id}
    if row["soft_label"] is not None:
        data["soft-label"] = [shorten_float32(value) for value in row["soft_label"]]
    return {**data, **extra, "meta-data": meta}
