"""Inference over a dataset of any size, into a file: no table is in memory as a whole.

The faces are read twice, a portion at a time: once to know what they are (their number, order and
fingerprint), so that a run that was killed goes on only with the same faces, and once to predict
them. Predictions are kept in parts beside the file (`openaffect.unfinished`), which is written in
whole at the end.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from openaffect.dataset import Dataset, scan_dataset
from openaffect.errors import InputError
from openaffect.fingerprints import ROW_COLUMNS, RowsHash
from openaffect.inference import describe_model, open_worker_model, predict_faces
from openaffect.model import Model
from openaffect.parallel import check_engine, map_in_order
from openaffect.predictions import metadata_of, warn_of_learned
from openaffect.progress import OnProgress, Progress
from openaffect.storage import atomic_file
from openaffect.tables import parquet_writer
from openaffect.unfinished import Parts, open_parts

_PORTION = 4_096  # faces of a part: what a kill loses at most
_PIECE = 128  # faces that a worker gets at a time
_AHEAD = 4  # pieces that lie ready beyond those that are worked on
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


@dataclass(frozen=True, slots=True)
class FaceFilter:
    """Which faces of a dataset are predicted.

    Attributes:
        keep: gives the rows of a portion that are wanted, as a Dataset.
        columns: that it looks at.
    """

    keep: Callable[[Dataset], Dataset]
    columns: tuple[str, ...]


def predict_to_file(
    model: Model,
    dataset: str | Path,
    path: str | Path,
    *,
    split: str | None = None,
    faces: FaceFilter | None = None,
    detector: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    batch_size: int = 64,
    workers: int | None = None,
    engine: str = "threads",
    ray_address: str | None = None,
    on_progress: OnProgress | None = None,
) -> PredictionSummary:
    """Predict a dataset of any size into a file, portion by portion; a killed run can go on.

    Args:
        model: from `open_model`.
        dataset: its folder.
        path: the Parquet file to make; see `Predictions`.
        split: only the faces of this split.
        faces: only those that it keeps.
        detector: also look whether this one finds a face in each crop; see `Predictions.face_found`.
        resume: go on with the unfinished run for this path, if there is one.
        overwrite: replace the file, and drop an unfinished run.
        batch_size: faces that the model sees at once.
        workers: threads that decode and crop, or with another engine workers that predict, each
            with one thread; None for one per CPU core.
        engine, ray_address: see `parallel.map_in_order`. With threads the model itself takes all
            cores.
        on_progress: called now and then with the number of faces done, and of all.

    Raises:
        DestinationExists: the file is there, or an unfinished run without `resume`.
        MismatchError: the unfinished run is of another model, dataset or choice of faces; or a
            worker on another computer has another model under the same name.
        InputError: no face is chosen, or every face failed: no file is written then.
        FormatError: what `open_dataset` and `predict_dataset` raise.
        UnknownName, MissingExtra, WorkerError: of the engine.
    """
    check_engine(engine, ray_address)
    path, dataset = Path(path), Path(dataset)
    faces = faces or FaceFilter(lambda portion: portion, ())
    known = _look_through(dataset, split, faces)
    made_with = describe_model(model) | {
        "dataset": known.name,
        "dataset_fingerprint": known.fingerprint,
    }
    nothing = predict_faces(model, known.none, batch_size=batch_size, workers=1, detector=detector)
    schema = nothing.to_table().schema
    if detector is not None:
        made_with["detector"] = detector
    asked = {**made_with, "split": split, "order": known.order}
    parts = open_parts(path, schema, asked, _Done, resume=resume, overwrite=overwrite)
    done = parts.states[-1] if parts.states else _Done(0, 0)
    portions = _portions_after(dataset, done, split, faces)

    def report(event: Progress) -> None:
        if on_progress is not None:
            on_progress(dataclasses.replace(event, total=known.rows))

    if engine == "threads":
        predicted = _predict_here(model, portions, batch_size, workers, detector, report)
    else:
        predicted = _predict_by_workers(
            _FacePredictor.of(model, batch_size, detector),
            portions,
            nothing.to_table(),
            {"workers": workers, "engine": engine, "ray_address": ray_address},
            done.predicted,
            report,
        )
    for made, done in predicted:
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


def _predict_here(
    model: Model,
    portions: Iterator[tuple[Dataset, _Done]],
    batch_size: int,
    workers: int | None,
    detector: str | None,
    on_progress: OnProgress,
) -> Iterator[tuple[pa.Table, _Done]]:
    for chosen, done in portions:
        before = done.predicted - len(chosen)

        def add(event: Progress, before: int = before) -> None:
            on_progress(dataclasses.replace(event, done=before + event.done))

        made = predict_faces(
            model,
            chosen,
            batch_size=batch_size,
            workers=workers,
            detector=detector,
            on_progress=add,
        )
        yield made.to_table(), done


def _predict_by_workers(
    predict: _FacePredictor,
    portions: Iterator[tuple[Dataset, _Done]],
    none: pa.Table,
    crew: dict[str, Any],
    count: int,
    on_progress: OnProgress,
) -> Iterator[tuple[pa.Table, _Done]]:
    """The portions in order; workers take them in pieces, also of the next portion.

    `count` faces were predicted before.
    """
    under_way: deque[tuple[int, _Done]] = deque()  # number of pieces of each portion
    pieces: list[pa.Table] = []

    def share_out() -> Iterator[Dataset]:
        for chosen, done in portions:
            whole = dataclasses.replace(chosen, path=chosen.path.absolute())
            starts = range(0, len(whole), _PIECE)
            under_way.append((len(starts), done))
            for start in starts:
                yield whole.select(range(start, min(start + _PIECE, len(whole))))

    def finished() -> Iterator[tuple[pa.Table, _Done]]:
        while under_way and under_way[0][0] <= len(pieces):
            count, done = under_way.popleft()
            made, pieces[:count] = pieces[:count], []
            yield pa.concat_tables(made) if made else none, done

    answers = map_in_order(predict, share_out(), ahead=_AHEAD, **crew)
    for piece in answers:
        pieces.append(piece)
        count += len(piece)
        yield from finished()
        on_progress(Progress("predicting", count))
    yield from finished()


@dataclass(frozen=True, slots=True)
class _FacePredictor:
    """What a worker does with a piece of a dataset; a model is opened once in each process."""

    model: str
    sha256: str
    device: str
    batch_size: int
    detector: str | None

    @classmethod
    def of(cls, model: Model, batch_size: int, detector: str | None) -> _FacePredictor:
        sha256 = describe_model(model)["model_sha256"]
        return cls(str(model.path.absolute()), sha256, model.device, batch_size, detector)

    def __call__(self, piece: Dataset) -> pa.Table:
        model = open_worker_model(self.model, self.sha256, self.device)
        made = predict_faces(
            model, piece, batch_size=self.batch_size, workers=1, detector=self.detector
        )
        return made.to_table()


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


def _look_through(path: Path, split: str | None, faces: FaceFilter) -> _Known:
    prints, order, rows = RowsHash(), hashlib.sha256(), 0
    none: Dataset | None = None
    for portion in scan_dataset(path, columns={*ROW_COLUMNS, *faces.columns}, rows=_PORTION):
        chosen = _choose(portion, split, faces)
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


def _portions_after(
    path: Path, done: _Done, split: str | None, faces: FaceFilter
) -> Iterator[tuple[Dataset, _Done]]:
    """The faces that are left, in portions, each with how far the run has come behind it."""
    position, predicted = 0, done.predicted
    for portion in scan_dataset(path, columns={*_READ, *faces.columns}, rows=_PORTION):
        first = max(done.read - position, 0)
        position += len(portion)
        if position <= done.read:
            continue
        chosen = _choose(portion.select(range(first, len(portion))), split, faces)
        predicted += len(chosen)
        yield chosen, _Done(position, predicted)


def _choose(portion: Dataset, split: str | None, faces: FaceFilter) -> Dataset:
    return faces.keep(portion if split is None else portion.where(split=split))


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
