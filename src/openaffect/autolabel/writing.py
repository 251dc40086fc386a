"""A labeled dataset on its way to disk: tables, predictions, images, report and page."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from openaffect import schemas, tables
from openaffect.autolabel.columns import FaceCounts, label_portion
from openaffect.autolabel.held_out import PORTION, HeldOut, is_unlabeled
from openaffect.autolabel.outcome import LabelReport, to_data
from openaffect.autolabel.page import render_page
from openaffect.autolabel.rules import LabelRule, decide
from openaffect.dataset import Dataset, DatasetInfo, scan_dataset
from openaffect.dataset_portions import PortionWriter, write_portions
from openaffect.errors import MismatchError
from openaffect.labels import EXPRESSIONS
from openaffect.predictions import Predictions, read_predictions

HELD_OUT = "held-out.parquet"


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What is known of labels before they are written.

    Attributes:
        rule: that decides them.
        held: the held-out faces.
        given: predictions of these.
        protocol, measured: parts of `label.json`.
        knows_learned: whether the model says which images it learned from.
    """

    rule: LabelRule
    held: HeldOut
    given: Predictions
    protocol: dict[str, Any]
    measured: dict[str, Any]
    knows_learned: bool


def read_info(path: Path) -> Dataset:
    """A dataset without a face: its `dataset.json`, and where its images lie."""
    return next(iter(scan_dataset(path, columns=("face_id",), rows=1))).select([])


def write_labels(
    dataset: Path,
    destination: Path,
    predicted: Path,
    outcome: Outcome,
    *,
    only_new: bool,
    own_images: bool,
    overwrite: bool,
) -> LabelReport:
    """Write the dataset with its labels, predictions, report and page.

    Args:
        dataset: whose faces are labeled.
        destination: the folder to make.
        predicted: the file of predictions of the faces that may get a label, in their order.
        outcome: decides the labels.
        only_new: leave out faces whose label stays.
        own_images: give the result images of its own instead of a link to those of the dataset.
        overwrite: replace what is there.

    Raises:
        MismatchError: the dataset has changed since it was predicted.
        DestinationExists, InputError: see `write_portions`.
    """
    first = read_info(dataset)
    images = "images" if own_images else str(first.images_folder)
    info = dataclasses.replace(
        first.info,
        name=destination.absolute().name,
        images=images,
        source=f"label: {outcome.protocol['name']} by {outcome.protocol['model']}",
        rejected=0,
        made_by=DatasetInfo("").made_by,
    )
    counts = FaceCounts()
    with write_portions(destination, info, overwrite=overwrite) as writer:
        _write_faces(
            dataset,
            predicted,
            writer,
            outcome.rule,
            counts,
            only_new=only_new,
            images=first.images_folder if own_images else None,
        )
        if not only_new:
            _copy_annotations(dataset, writer)
        _write_held_out(outcome, writer.folder / HELD_OUT)
        data = to_data(
            outcome.protocol,
            outcome.rule,
            outcome.measured,
            counts.to_dict(),
            knows_learned=outcome.knows_learned,
        )
        text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        (writer.folder / "label.json").write_text(text, encoding="utf-8")
        (writer.folder / "label.html").write_text(render_page(data), encoding="utf-8")
    return LabelReport(destination, data)


def _write_faces(
    dataset: Path,
    predicted: Path,
    writer: PortionWriter,
    rule: LabelRule,
    counts: FaceCounts,
    *,
    only_new: bool,
    images: Path | None,
) -> None:
    """The faces with their labels, beside them the calibrated predictions, and images from a folder."""
    rest = _PredictionReader(predicted)
    with contextlib.ExitStack() as stack:
        file: pq.ParquetWriter | None = None
        for portion in scan_dataset(dataset, rows=PORTION):
            unlabeled = is_unlabeled(portion)
            found = rest.take(int(unlabeled.sum()))
            faces, shares = label_portion(portion, found, rule, counts)
            if only_new:
                faces = faces.filter(pa.array(unlabeled))
            writer.add(faces)
            if file is None:
                path = writer.folder / "predictions.parquet"
                file = stack.enter_context(tables.parquet_writer(path, shares.schema))
            file.write_table(shares)
            if images is not None:
                _place_images(faces["image"].unique().to_pylist(), images, writer.folder)


class _PredictionReader:
    """The rows of a predictions file, taken in their order; two portions are in memory at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rest = tables.scan_parquet(path, "predictions", rows=PORTION)
        self._rows: pa.Table | None = None

    def take(self, count: int) -> Predictions:
        """The next predictions."""
        while self._rows is None or len(self._rows) < count:
            more = next(self._rest, None)
            if more is None:
                raise MismatchError(
                    f"{self._path} has too few predictions: the dataset has changed since it was "
                    "made; start again with --overwrite"
                )
            self._rows = more if self._rows is None else pa.concat_tables([self._rows, more])
        taken, self._rows = self._rows.slice(0, count), self._rows.slice(count)
        return read_predictions(taken, str(self._path))


def _place_images(names: list[str], images: Path, folder: Path) -> None:
    """Make hard links to images, or copies where the file system cannot."""
    for name in names:
        target = folder / "images" / name
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(images / name, target)
        except OSError:
            shutil.copyfile(images / name, target)


def _copy_annotations(dataset: Path, writer: PortionWriter) -> None:
    path = dataset / "annotations.parquet"
    if path.is_file():
        for portion in tables.scan_parquet(path, "the annotations of a dataset"):
            writer.add_annotations(tables.conform(portion, schemas.ANNOTATIONS, str(path)))


def _write_held_out(outcome: Outcome, path: Path) -> None:
    """Which held-out face was used for what, what people say of it, and what the rule does."""
    rule, held, given = outcome.rule, outcome.held, outcome.given
    made = decide(rule, given, given.align(held.ids))
    said = [None if number < 0 else EXPRESSIONS[number].value for number in made.expression]
    confidence = pa.array(made.confidence.astype("f4"), mask=np.isnan(made.confidence))
    columns = {
        "face_id": pa.array(held.ids, pa.string()),
        "used_for": pa.array(held.used_for, pa.string()),
        "human": pa.array([EXPRESSIONS[number].value for number in held.expression], pa.string()),
        "model": pa.array(said, pa.string()),
        "confidence": confidence,
        "labeled": pa.array(made.labeled, pa.bool_()),
    }
    tables.write_table(pa.table(columns), path)
