"""What agreement is measured on, from a dataset or from a project."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from openaffect.dataset import Dataset, open_dataset
from openaffect.errors import FormatError
from openaffect.judgments import COLUMNS, Judgments, count_votes, read_judgments
from openaffect.labels import EXPRESSIONS

if TYPE_CHECKING:
    from openaffect.project import Project


@contextlib.contextmanager
def open_source(path: str | Path) -> Iterator[Dataset | Project]:
    """A dataset or a project, whichever the folder is; open while the block runs.

    Raises:
        FormatError: it is neither.
    """
    path = Path(path)
    if (path / "dataset.json").is_file():
        yield open_dataset(path)
        return
    if not (path / "project.toml").is_file():
        raise FormatError(
            f"expected a project or a dataset at {path}, but "
            + ("it has neither project.toml nor dataset.json" if path.is_dir() else "there is none")
            + "; make one with `openaffect new` or `openaffect import`"
        )
    from openaffect.project import open_project

    with open_project(path) as project:
        yield project


class DatasetReader:
    """Judgments and votes of a dataset; `name` for titles, `place` for messages."""

    kind = "dataset"

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self.name, self.place = dataset.info.name, str(dataset.path)

    def judgments(self) -> Judgments | None:
        """The rows of its annotations, or None where it has none."""
        table = self._dataset.annotations
        place = str(self._dataset.path / "annotations.parquet")
        return None if table is None or not len(table) else read_judgments(table, place)

    def votes(self) -> NDArray[np.int64]:
        """How many raters chose each expression, (faces, 11)."""
        faces_alone = Dataset(self._dataset.path, self._dataset.info, self._dataset.faces)
        return count_votes(faces_alone)


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
            batches = [_encode(batch) for batch in read_annotations(connection, COLUMNS)]
        return read_judgments(pa.Table.from_batches(batches), self.place) if batches else None

    def votes(self) -> NDArray[np.int64]:
        """How many raters chose each expression, (faces, 11)."""
        from openaffect.project.judgments import read_votes

        with self._project.database.read() as connection:
            votes = [np.array(one, np.uint16) for one in read_votes(connection)]
        return np.array(votes, np.int64).reshape(-1, len(EXPRESSIONS))


def _encode(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with texts as numbers of texts, but for those that differ in every row."""
    arrays = [
        column.dictionary_encode()
        if field.type == pa.string() and field.name not in ("id", "replaces")
        else column
        for field, column in zip(batch.schema, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)
