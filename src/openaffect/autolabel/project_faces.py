"""The faces of a project as a dataset: with the label of those who judged them, or without one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from openaffect import schemas
from openaffect.consensus import find_consensus
from openaffect.dataset_writer import write_dataset
from openaffect.face_row import FaceRow
from openaffect.judgments import COLUMNS, read_judgments
from openaffect.labels import EXPRESSIONS
from openaffect.progress import OnProgress
from openaffect.project import Project, open_project
from openaffect.project.judgments import read_annotations, read_pages
from openaffect.project.store import FolderStore

_PAGE = 4_096  # faces
_SOURCE = ("intended", "provider", "page_url", "author", "title", "width", "height", "sha256")


@dataclass(frozen=True, slots=True)
class _Label:
    """What people say of a face; `settled` is false where as many say another expression."""

    expression: int
    affect: tuple[float, float] | None
    settled: bool
    origin: str


def write_faces(
    path: Path, destination: Path, on_progress: OnProgress | None = None
) -> dict[str, int]:
    """Write the faces of a project as a dataset with images of its own.

    A face that people have judged has the expression that most of them say and their mean valence and
    arousal; one on whose expression they are divided is left out. Images are hard links into the
    store where that is a folder on the same file system, else copies.

    Args:
        path: the project.
        destination: the dataset folder to make.
        on_progress: called now and then with the number of faces done.

    Returns:
        The number of faces left out, by reason.
    """
    with open_project(path) as project:
        labels = _read_labels(project)
        left_out = 0
        with write_dataset(
            destination,
            name=project.settings.name,
            source=f"project: {project.settings.name}",
            legal=project.settings.legal,
            hard_links=True,
            check_images=False,
            on_progress=on_progress,
        ) as writer:
            writer.add_columns(_columns())
            for row in _rows(project):
                label = labels.get(row.face_id)
                if label is not None and not label.settled:
                    left_out += 1
                    continue
                picture = _picture(project, row)
                writer.add(_face(row, label), project.settings.name, picture=picture)
    found = {"on which people are divided": left_out, **writer.summary.rejected}
    return {reason: count for reason, count in found.items() if count}


def _columns() -> pa.Schema:
    return pa.schema([schemas.PROVENANCE.field(name) for name in _SOURCE])


def _read_labels(project: Project) -> dict[str, _Label]:
    with project.database.read() as connection:
        batches = list(read_annotations(connection, COLUMNS))
    schema = pa.schema([schemas.ANNOTATIONS.field(name) for name in COLUMNS])
    table = pa.Table.from_batches(batches, schema)
    judged = read_judgments(table, f"the project {project.settings.name}")
    found = find_consensus(judged)
    _, counted = judged.counted()
    simulated = pc.equal(judged.origin, "simulated").fill_null(False)
    invented = np.zeros(judged.n_faces, dtype=bool)
    invented[judged.face[counted & simulated.to_numpy(zero_copy_only=False)]] = True
    return {
        face_id: _Label(
            expression,
            None if np.isnan(affect).any() else (float(affect[0]), float(affect[1])),
            not by_chance,
            "simulated" if is_invented else "human",
        )
        for face_id, expression, affect, by_chance, is_invented in zip(
            found.face_ids.to_pylist(),
            found.expression.tolist(),
            found.affect,
            found.by_chance.tolist(),
            invented.tolist(),
            strict=True,
        )
    }


def _rows(project: Project) -> Iterator[Any]:
    with project.database.read() as connection:
        for page, _ in read_pages(connection, _PAGE, with_annotations=False):
            yield from page


def _picture(project: Project, row: Any) -> Path | bytes:
    if isinstance(project.store, FolderStore):
        return project.store.path(row.sha256, row.suffix)
    return project.store.read(row.sha256, row.suffix)


def _face(row: Any, label: _Label | None) -> FaceRow:
    face = FaceRow(
        row.face_id,
        f"{row.sha256}.{row.suffix}",
        box=None if row.x is None else (row.x, row.y, row.w, row.h),
        query=row.query,
        url=row.url,
        license=row.license,
        columns={name: getattr(row, name) for name in _SOURCE},
    )
    if label is not None and label.expression >= 0:
        face.expression, face.expression_origin = EXPRESSIONS[label.expression], label.origin
    if label is not None and label.affect is not None:
        face.valence, face.arousal = label.affect
        face.affect_origin = label.origin
    return face
