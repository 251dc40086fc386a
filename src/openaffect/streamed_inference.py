"""Inference over a dataset of any size, into a file: no table is in memory as a whole.

The faces are read twice, a portion at a time: once to know what they are (their number, order and
fingerprint), so that a run that was killed goes on only with the same faces, and once to predict
them. Predictions are kept in parts beside the file (`openaffect.unfinished`), which is written in
whole at the end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from openaffect.dataset import Dataset, scan_dataset
from openaffect.errors import InputError
from openaffect.fingerprints import ROW_COLUMNS, RowsHash
from openaffect.inference import describe_model, predict_faces
from openaffect.model import Model
from openaffect.predictions import metadata_of, warn_of_learned
from openaffect.storage import atomic_file
from openaffect.tables import parquet_writer
from openaffect.unfinished import Parts, open_parts

_PORTION = 4_096  # faces of a part: what a kill loses at most
_READ = ("face_id", "image", "box", "split")


@dataclass(frozen=True, slots=True)
class PredictionSummary:
    """What came of predicting a dataset.

    Attributes:
        rows: faces.
        failed: how many of them failed.
        first_failure: face_id of the first that failed and why, or None.
        warning: what to say of faces in images that the model learned from, or None.
        lost: parts of an earlier run that were damaged, and whose faces were predicted again.
    """

    rows: int
    failed: int
    first_failure: tuple[str, str] | None
    warning: str | None
    lost: int


def predict_to_file(
    model: Model,
    dataset: str | Path,
    path: str | Path,
    *,
    split: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    batch_size: int = 64,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PredictionSummary:
    """Predict a dataset of any size into a file, portion by portion; a killed run can go on.

    Args:
        model: from `open_model`.
        dataset: its folder.
        path: the Parquet file to make; see `Predictions`.
        split: only the faces of this split.
        resume: go on with the unfinished run for this path, if there is one.
        overwrite: replace the file, and drop an unfinished run.
        batch_size, workers: see `predict_dataset`.
        progress: called now and then with the number of faces done, and of all.

    Raises:
        DestinationExists: the file is there, or an unfinished run without `resume`.
        MismatchError: the unfinished run is of another model, dataset or split.
        InputError: no face in the split, or every face failed: no file is written then.
        FormatError: what `open_dataset` and `predict_dataset` raise.
    """
    path, dataset = Path(path), Path(dataset)
    known = _look_through(dataset, split)
    made_with = describe_model(model) | {
        "dataset": known.name,
        "dataset_fingerprint": known.fingerprint,
    }
    nothing = predict_faces(model, known.none, batch_size=batch_size, workers=workers)
    schema = nothing.to_table().schema
    asked = {**made_with, "split": split, "order": known.order}
    parts = open_parts(path, schema, asked, _Done, resume=resume, overwrite=overwrite)
    done = parts.states[-1] if parts.states else _Done(0, 0)
    position = 0
    for portion in scan_dataset(dataset, columns=_READ, rows=_PORTION):
        first = max(done.read - position, 0)
        position += len(portion)
        if position <= done.read:
            continue
        chosen = _choose(portion.select(range(first, len(portion))), split)
        before = done.predicted

        def report(count: int, before: int = before) -> None:
            if progress is not None:
                progress(before + count, known.rows)

        made = predict_faces(
            model, chosen, batch_size=batch_size, workers=workers, progress=report
        ).to_table()
        done = _Done(position, before + len(chosen))
        batches = made.combine_chunks().to_batches()
        parts.append(batches[0] if batches else _no_rows(schema), done)
    summary = _summarize(parts, made_with)
    if summary.first_failure is not None and summary.failed == summary.rows:
        parts.remove()
        face_id, why = summary.first_failure
        raise InputError(
            f"all {summary.rows:,} faces failed, so nothing is written; first {face_id}: {why}"
        )
    _write(parts, path, schema.with_metadata(metadata_of(made_with)), overwrite or resume)
    parts.remove()
    return summary


@dataclass(frozen=True, slots=True)
class _Done:
    """How far a run has come: rows of the table that were read, and faces predicted."""

    read: int
    predicted: int


@dataclass(frozen=True, slots=True)
class _Known:
    """What a first look through a dataset tells.

    Attributes:
        name: of the dataset.
        rows: faces that are to be predicted.
        fingerprint: of these faces, see `RowsHash`.
        order: SHA-256 over their ids, in order.
        none: the dataset without a face.
    """

    name: str
    rows: int
    fingerprint: str
    order: str
    none: Dataset


def _look_through(path: Path, split: str | None) -> _Known:
    prints, order, rows = RowsHash(), hashlib.sha256(), 0
    none: Dataset | None = None
    for portion in scan_dataset(path, columns=ROW_COLUMNS):
        chosen = _choose(portion, split)
        for batch in chosen.faces.to_batches():
            prints.update(batch)
        order.update("".join(f"{face_id}\0" for face_id in chosen.ids).encode())
        rows += len(chosen)
        if none is None:  # not `or`: a dataset without a face is false
            none = portion.select([])
    if none is None or not rows:
        raise InputError(
            f"{path} has no face" + ("" if split is None else f" in the split '{split}'")
        )
    return _Known(none.info.name, rows, prints.hexdigest(), order.hexdigest(), none)


def _choose(portion: Dataset, split: str | None) -> Dataset:
    return portion if split is None else portion.where(split=split)


def _no_rows(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=schema)


def _summarize(parts: Parts[_Done], made_with: dict[str, Any]) -> PredictionSummary:
    rows = failed = learned = 0
    first: tuple[str, str] | None = None
    for part in parts:
        wrong = part.filter(part["error"].is_valid())
        rows += len(part)
        failed += len(wrong)
        if first is None and len(wrong):
            first = wrong["face_id"][0].as_py(), wrong["error"][0].as_py()
        if "learned" in part.column_names:
            learned += pc.sum(part["learned"]).as_py() or 0
    return PredictionSummary(
        rows, failed, first, warn_of_learned(learned, rows, made_with), parts.lost
    )


def _write(parts: Parts[_Done], path: Path, schema: pa.Schema, overwrite: bool) -> None:
    with (
        atomic_file(path, overwrite=overwrite) as temporary,
        parquet_writer(temporary, schema) as writer,
    ):
        for part in parts:
            if len(part):
                writer.write_table(part.replace_schema_metadata(schema.metadata))
