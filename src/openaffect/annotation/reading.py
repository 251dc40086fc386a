"""What agreement is measured on, from a dataset or from a project."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from openaffect import schemas, tables
from openaffect.dataset import Dataset, DatasetInfo
from openaffect.documents import read_bytes
from openaffect.judgments import COLUMNS, Judgments, count_votes, read_counts, read_judgments
from openaffect.labels import EXPRESSIONS

if TYPE_CHECKING:
    from openaffect.project import Project


class DatasetReader:
    """Judgments and votes of a dataset; `name` for titles, `place` for messages.

    Of a dataset that is given by its folder no more is read than is needed.
    """

    kind = "dataset"

    def __init__(self, dataset: Dataset | Path) -> None:
        self._dataset = dataset if isinstance(dataset, Dataset) else None
        self._path = dataset.path if isinstance(dataset, Dataset) else dataset
        self.place = str(self._path)
        if self._dataset is not None:
            self.name = self._dataset.info.name
        else:
            where = str(self._path / "dataset.json")
            self.name = DatasetInfo.from_json(read_bytes(where, "a dataset.json"), where).name

    def judgments(self) -> Judgments | None:
        """The rows of its annotations, or None where it has none."""
        place = str(self._path / "annotations.parquet")
        if self._dataset is not None:
            table = self._dataset.annotations
        elif os.path.exists(place):
            table = tables.read_parquet(
                place, "the annotations of a dataset", lambda name: name in COLUMNS
            )
        else:
            table = None
        if table is None or not len(table):
            return None
        return read_judgments(table, place)

    def votes(self) -> NDArray[np.int64]:
        """How many raters chose each expression, (faces, 11)."""
        if self._dataset is not None:
            return count_votes(dataclasses.replace(self._dataset, annotations=None))
        place = str(self._path / "faces.parquet")
        field = schemas.FACES.field("votes")
        faces = tables.read_parquet(
            place, "the faces of a dataset", lambda name: name in ("face_id", "votes")
        )
        return read_counts(tables.conform(faces, pa.schema([field]), place)["votes"])


class ProjectReader:
    """Judgments and votes of a project; `name` for titles, `place` for messages."""

    kind = "project"

    def __init__(self, project: Project) -> None:
        self._project = project
        self.name, self.place = project.settings.name, str(project.path)

    def judgments(self) -> Judgments | None:
        """The rows of its annotations, or None where it has none."""
        from openaffect.project.judgments import read_annotations

        with self._project.database.read() as connection:
            batches = list(read_annotations(connection, COLUMNS))
        return read_judgments(pa.Table.from_batches(batches), self.place) if batches else None

    def votes(self) -> NDArray[np.int64]:
        """How many raters chose each expression, (faces, 11)."""
        from openaffect.project.judgments import read_votes

        with self._project.database.read() as connection:
            votes = [np.array(one, np.uint16) for one in read_votes(connection)]
        return np.array(votes, np.int64).reshape(-1, len(EXPRESSIONS))
