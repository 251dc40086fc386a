"""Simulated raters: annotation tables whose agreement is known beforehand."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from openaffect import schemas, tables
from openaffect.dataset import Dataset, DatasetInfo
from openaffect.labels import EXPRESSIONS

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
TYPES = {
    **dict.fromkeys(("id", "face_id", "annotator", "kind", "expression", "batch"), pa.string()),
    **dict.fromkeys(("replaces", "origin"), pa.string()),
    **dict.fromkeys(("valence", "arousal", "seconds"), pa.float32()),
    **dict.fromkeys(("void", "region_shown", "prelabel_shown"), pa.bool_()),
    "at": pa.timestamp("us", tz="UTC"),
}


def row(face: str, annotator: str, expression: str | None, **more: Any) -> dict[str, Any]:
    """One annotation, a second after the row before it if `at` is a number of seconds."""
    found = {"face_id": face, "annotator": annotator, "expression": expression, **more}
    if isinstance(found.get("at"), int | float):
        found["at"] = START + datetime.timedelta(seconds=found["at"])
    return found


def to_table(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as a table with all columns; what a row does not say is null."""
    return pa.Table.from_pylist(
        [{name: one.get(name) for name in TYPES} for one in rows], pa.schema(TYPES)
    )


def to_dataset(
    annotations: pa.Table | None, votes: dict[str, list[int]] | None = None, name: str = "simulated"
) -> Dataset:
    """A dataset of the annotated faces, in memory alone."""
    ids = [*(votes or {})]
    if annotations is not None:
        ids += [one for one in annotations["face_id"].unique().to_pylist() if one not in ids]
    faces = pa.table({"face_id": ids, "image": [f"{one}.png" for one in ids]})
    if votes:
        column = pa.array([votes.get(one) for one in ids], schemas.FACES.field("votes").type)
        faces = faces.append_column("votes", column)
    faces = tables.conform(faces, schemas.FACES, "the test")
    return Dataset(Path("nowhere"), DatasetInfo(name), faces, annotations)


def simulate(
    faces: int,
    people: dict[str, dict[str, float]],
    *,
    each: int = 2,
    seed: int = 0,
    tired: str = "",
) -> list[dict[str, Any]]:
    """Annotations of raters with known bias and noise, in the order of time.

    Args:
        faces: how many.
        people: for each rater `right`, the chance of the true category (else any other), and the
            bias and `noise` of valence and arousal.
        each: raters per face, drawn at random.
        seed: of it.
        tired: a rater who guesses in the second half of the faces.
    """
    rng = np.random.default_rng(seed)
    names = list(people)
    rows: list[dict[str, Any]] = []
    for face in range(faces):
        true, point = int(rng.integers(0, 11)), rng.uniform(-0.6, 0.6, 2)
        for person in rng.permutation(len(names))[:each]:
            name = names[person]
            about = people[name]
            right = 0.0 if name == tired and face >= faces / 2 else about["right"]
            said = true if rng.random() < right else int(rng.integers(0, 11))
            given = point + rng.normal(about.get("bias", 0.0), about.get("noise", 0.1), 2)
            affect = [None, None] if said > 8 else given.clip(-1, 1).tolist()
            rows.append(
                row(
                    f"f{face}",
                    name,
                    EXPRESSIONS[said].value,
                    id=f"{face}-{name}",
                    kind="work",
                    valence=affect[0],
                    arousal=affect[1],
                    seconds=float(rng.gamma(4, 1)),
                    origin="simulated",
                    at=len(rows),
                )
            )
    return rows
