"""Projects of small pictures with labels, groups and annotators, for the tests of freezing."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from openaffect import schemas
from openaffect.collection import add_dataset, detect_faces
from openaffect.dataset import Dataset, open_dataset
from openaffect.dataset_writer import write_dataset
from openaffect.face_row import FaceRow
from openaffect.images import Pixels, encode_image
from openaffect.labels import Expression
from openaffect.project import Project, rows
from openaffect.project.rows import StoredAnnotation

_START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def draw_picture(seed: int, side: int = 64) -> Pixels:
    """A picture like no other one: smooth noise, in color."""
    noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return np.ascontiguousarray(
        cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8
    )


def make_dataset(
    path: Path,
    expressions: Sequence[str | None],
    *,
    pictures: Mapping[int, bytes] | None = None,
    **columns: Mapping[int, Any],
) -> Dataset:
    """A dataset of faces `f00`, `f01`, …; `columns` give a few of them other values."""
    with write_dataset(path, name="source") as writer:
        writer.add_columns(schemas.PROVENANCE)
        for number, name in enumerate(expressions):
            values = {key: given[number] for key, given in columns.items() if number in given}
            known = {key: values.pop(key) for key in [*values] if key in schemas.FACES.names}
            row = FaceRow(
                f"f{number:02}",
                "",
                expression=None if name is None else Expression(name),
                expression_origin=None if name is None else "human",
                columns=values,
            )
            for key, value in known.items():
                setattr(row, key, value)
            data = (pictures or {}).get(number) or encode_image(draw_picture(number))
            writer.add(row, picture=data)
    return open_dataset(path)


def fill(project: Project, dataset: Dataset) -> None:
    """Add a dataset and have its images measured."""
    add_dataset(project, dataset)
    detect_faces(project, workers=1)


def annotate(
    project: Project,
    answers: Mapping[int, Sequence[str]] | Sequence[tuple[int, str, str]],
    **values: Any,
) -> None:
    """Answers of people: by face the expressions of `p0`, `p1`, …, or (face, person, expression)."""
    if isinstance(answers, Mapping):
        given = [
            (face, f"p{person}", said)
            for face, all_said in answers.items()
            for person, said in enumerate(all_said)
        ]
    else:
        given = list(answers)
    kind = values.pop("kind", "work")
    found = [
        StoredAnnotation(
            f"f{face:02}",
            person,
            expression=said,
            kind=kind,
            at=_START + datetime.timedelta(seconds=number),
            counted=True,
            **values,
        )
        for number, (face, person, said) in enumerate(given)
    ]
    with project.database.write() as connection:
        rows.insert_annotations(connection, found)


def read_rows(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """The rows of a dataset by face_id."""
    found: list[dict[str, Any]] = dataset.faces.to_pylist()
    return {row["face_id"]: row for row in found}
