"""AffectNet+ (2024): one JSON file a face, with soft labels, a difficulty and attributes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from openaffect.dataset import Dataset
from openaffect.dataset_writer import DatasetWriter, FaceRow
from openaffect.errors import InputError
from openaffect.formats import _affectnet
from openaffect.formats._affectnet import (
    ABSENT,
    SETS,
    drop_minus_two,
    find_sets,
    notes_from_counts,
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
from openaffect.formats._sources import Source, find_picture, not_found, try_expression
from openaffect.labels import parse_expression

LAYOUT = "human_annotated/train_set/ or validation_set/ with images/ and annotations/<id>.json"
LICENCE: str | None = _affectnet.LICENCE
COLUMNS = frozenset(
    {
        *("face_id", "landmarks", "expression", "soft_label", "valence", "arousal", "split"),
        *("expression_origin", "affect_origin", "extra"),
    }
)
FIXED_SIZE: tuple[int, int] | None = None

_SET_NAMES = {"train": "train_set", "validation": "validation_set", "test": "test_set"}
_COLUMNS_OF_META = ("landmarks", "valence", "arousal")


def find(path: Path) -> Source:
    """The folder that holds `human_annotated/`, or its sets where that folder was given itself."""
    sets = find_sets(path, ".json")
    if sets is None:
        raise not_found(LAYOUT, path)
    return Source(sets.parent if sets.name == "human_annotated" else sets, sets)


def read(source: Source, writer: DatasetWriter) -> None:
    """Read every annotation of every set that is there, in the order of the file names."""
    for split, folder in sets_in(source.pictures):
        with os.scandir(folder / "annotations") as entries:
            names = sorted(e.name[:-5] for e in entries if e.name.lower().endswith(".json"))
        for name in names:
            face_id, where = f"{SETS[split][1]}/{name}", f"{folder.name}/annotations/{name}.json"
            try:
                row = _face(folder / "annotations" / f"{name}.json", face_id, split)
            except _BadAnnotation as error:
                writer.reject(str(error), face_id, where)
                continue
            listed = f"{folder.name}/images/{name}"
            row.image = find_picture(f"{source.pictures}/", listed) or f"{listed}.jpg"
            if "soft-label" in (row.extra or {}):
                writer.warn("soft label normalised to sum 1")
            writer.add(row, where)
    _note_unlabelled(source, writer)
    for note in notes_from_counts(writer.summary.classes):
        writer.note(note)


class _BadAnnotation(Exception):  # noqa: N818
    """A JSON file that cannot be used; the text is the reason of the rejection."""


def _note_unlabelled(source: Source, writer: DatasetWriter) -> None:
    folder = source.root / "no_human_annotated" / "images"
    if folder.is_dir():
        with os.scandir(folder) as entries:
            count = sum(1 for _ in entries)
        writer.note(f"no_human_annotated has {count:,} pictures without annotations: left out")


def _face(path: Path, face_id: str, split: str) -> FaceRow:
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise _BadAnnotation(f"annotation that is no JSON: {error}") from error
    if not isinstance(data, dict):
        raise _BadAnnotation("annotation that is no JSON object")
    top = {
        _key(name, ("human-label", "soft-label", "subset", "meta-data")): data[name]
        for name in data
    }
    if top.get("human-label") is None:
        raise _BadAnnotation("no human-label")
    meta = top.get("meta-data") or {}
    if not isinstance(meta, dict):
        raise _BadAnnotation("meta-data that is no JSON object")
    meta = {
        _key(name, (*_COLUMNS_OF_META, "age", "gender", "race", "pose")): meta[name]
        for name in meta
    }
    expression, reason = try_expression(_whole(top["human-label"]))
    if reason:
        raise _BadAnnotation(reason)
    soft, raw = _soft_label(top.get("soft-label"))
    valence, arousal = (_number(meta.get(name), name) for name in ("valence", "arousal"))
    valence, arousal = drop_minus_two(valence, arousal)
    extra = {
        name: value
        for name, value in top.items()
        if name not in ("human-label", "soft-label", "meta-data")
    }
    if raw is not None:
        extra["soft-label"] = raw
    rest = {name: value for name, value in meta.items() if name not in _COLUMNS_OF_META}
    if rest:
        extra["meta-data"] = rest
    return FaceRow(
        face_id=face_id,
        image="",
        landmarks=_landmarks(meta.get("landmarks")),
        expression=expression,
        soft_label=soft,
        valence=valence,
        arousal=arousal,
        expression_origin="human",
        affect_origin=None if valence is None else "human",
        split=split,
        extra=extra or None,
    )


def _key(name: str, known: tuple[str, ...]) -> str:
    """The one spelling of a key whose capitals and dashes vary; a foreign key stays as it is."""
    plain = name.lower().replace("_", "-").replace(" ", "-")
    plain = {"metadata": "meta-data", "humanlabel": "human-label", "softlabel": "soft-label"}.get(
        plain, plain
    )
    return plain if plain in known else name


def _whole(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _number(value: Any, name: str) -> float | None:
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        raise _BadAnnotation(f"{name} that is no number: {value}") from None


def _array(value: Any, name: str, size: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    try:
        numbers = np.array(value, float).reshape(-1)
    except (TypeError, ValueError):
        raise _BadAnnotation(f"{name} that are no numbers") from None
    if numbers.size != size or not np.isfinite(numbers).all():
        raise _BadAnnotation(f"{name} that are not {size} numbers: {numbers.size}")
    return numbers


def _soft_label(value: Any) -> tuple[list[float] | None, list[float] | None]:
    """Eight shares that sum to 1, and the numbers as they were where they did not."""
    if value is None:
        return None, None
    shares = _array(value, "soft labels", 8)
    if (shares < 0).any() or shares.sum() <= 0:
        raise _BadAnnotation("soft labels that are no shares")
    if abs(shares.sum() - 1) <= 1e-3:
        return shares.tolist(), None
    return (shares / shares.sum()).tolist(), shares.tolist()


def _landmarks(value: Any) -> np.ndarray[Any, np.dtype[np.float32]] | None:
    if value is None or value == []:
        return None
    return _array(value, "landmarks", 136).astype(np.float32)


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
        place = folder / "human_annotated" / _SET_NAMES[split]
        # A set is one flat folder.
        name = safe_path(row["face_id"].removeprefix(f"{SETS[split][1]}/")).replace("/", "_")
        target = place / "annotations" / f"{name}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        picture = place / "images" / (name + suffix_of(row["image"]))
        if target.exists():
            raise InputError(f"two faces of {split} want the name {name}; give them other face_ids")
        place_picture(dataset.images_folder / row["image"], picture, images)
        target.write_text(json.dumps(_annotation(row)), encoding="utf-8")
        summary.rows += 1
    if no_split:
        summary.notes.append(f"{no_split:,} rows without a split were written to train_set")


def _annotation(row: Mapping[str, Any]) -> dict[str, Any]:
    extra = json.loads(row["extra"]) if row["extra"] else {}
    meta = dict(extra.pop("meta-data", {}))
    if row["landmarks"] is not None:
        meta["landmarks"] = [_short(value) for value in row["landmarks"]]
    for name in ("valence", "arousal"):
        meta[name] = ABSENT if row[name] is None else _short(row[name])
    data: dict[str, Any] = {"human-label": parse_expression(row["expression"]).id}
    if row["soft_label"] is not None:
        data["soft-label"] = [_short(value) for value in row["soft_label"]]
    return {**data, **extra, "meta-data": meta}


def _short(value: float) -> float:
    """The number whose text is the shortest that gives the same float32."""
    return float(str(np.float32(value)))
