"""Freezing: a project becomes a dataset, with one label, one group and one split per face."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from openaffect import schemas, tables
from openaffect.annotation_row import AnnotationRow
from openaffect.dataset import Dataset, open_dataset
from openaffect.dataset_writer import DatasetWriter, ImportSummary, write_dataset
from openaffect.documents import convert, read_json
from openaffect.errors import FormatError, ImageError, InputError
from openaffect.face_row import FaceRow
from openaffect.freezing.labels import SOURCES
from openaffect.freezing.plan import FreezeOptions, FreezePlan, Taken, make_plan
from openaffect.image_headers import content_path
from openaffect.judgments import find_valid
from openaffect.labels import EXPRESSIONS
from openaffect.parallel import map_in_order
from openaffect.progress import OnProgress
from openaffect.project import Project, frozen, tombstones
from openaffect.project.database import Connection
from openaffect.project.frozen import FrozenDataset
from openaffect.project.judgments import read_annotations_of
from openaffect.project.rows import record_event
from openaffect.project.store import FolderStore, Store
from openaffect.withdrawals import FILE as WITHDRAWN
from openaffect.withdrawals import write_withdrawn

FILE = "freeze.json"
"""What the project recorded, beside the tables of a frozen dataset."""

COLUMNS = pa.schema(
    [
        *schemas.PROVENANCE,
        pa.field("label_source", pa.string()),
        pa.field("raters", pa.int32()),
        pa.field("agreement", pa.float32()),
        pa.field("flags", pa.string()),
        pa.field("occluded", pa.bool_()),
    ]
)
"""The columns of a frozen dataset beyond `schemas.FACES`.

`label_source`: review, gold, annotators or import. `raters`: who say an expression, and `agreement`
the share of them who say the label's. `flags`: why annotators flagged the face. `occluded`: whether
at least half of those who judged the face found it occluded.
"""

_PAGE = 1_000  # faces that are read at a time


@dataclass(frozen=True, slots=True, eq=False)
class FreezeSummary:
    """What a freeze brought.

    Attributes:
        plan: what was planned.
        dataset: what was written.
        written: rows, and what was rejected for its image.
        earlier: when the last freeze with the same options was, or None for the first.
        changed: whether the project has changed since; None for the first.
    """

    plan: FreezePlan
    dataset: Dataset
    written: ImportSummary
    earlier: str | None
    changed: bool | None


def plan_freeze(project: Project, options: FreezeOptions | None = None) -> FreezePlan:
    """What `freeze_project` would write, without writing it.

    Args:
        project: what is frozen.
        options: how; see `FreezeOptions`.

    Raises:
        InputError: images that `detect` has not looked at, no face with a label, or a split that
            cannot be filled.
        UnknownName: no such consensus rule or expression.
        DatabaseError: the database does not answer.
    """
    with project.database.read() as connection:
        return make_plan(project, connection, options or FreezeOptions())


def freeze_project(
    project: Project,
    path: str | Path,
    options: FreezeOptions | None = None,
    *,
    name: str | None = None,
    hard_links: bool = True,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
) -> FreezeSummary:
    """Write one state of a project as a dataset; the same state gives the same bytes.

    Args:
        project: what is frozen; it may be in use.
        path: the dataset folder to make.
        options: how; see `FreezeOptions`.
        name: of the dataset; the project's by default.
        hard_links: share the files of images with the store where the file system can.
        overwrite: replace an existing dataset.
        on_progress: called with the number of faces done so far.

    Raises:
        DestinationExists: `path` exists and `overwrite` is false.
        StoreError: the store cannot be reached.
        InputError, UnknownName, DatabaseError: as `plan_freeze`.
    """
    options = options or FreezeOptions()
    path = Path(path)
    _record_earlier(project, path)
    with project.database.read() as connection:
        plan = make_plan(project, connection, options)
        taken = _taken(plan)
        with write_dataset(
            path,
            name=name or project.settings.name,
            source=f"project {project.settings.name}",
            license=_license(connection, taken),
            legal=project.settings.legal,
            overwrite=overwrite,
            on_progress=on_progress,
        ) as writer:
            _write(writer, project, connection, plan, link=hard_links)
            about = json.dumps(_describe(project, plan), indent=2, ensure_ascii=False)
            (writer.folder / FILE).write_text(about + "\n", encoding="utf-8")
            withdrawn = tombstones.read_tombstones(connection)
            if len(withdrawn):
                write_withdrawn(withdrawn, writer.folder / WITHDRAWN)
    dataset = open_dataset(path)
    same = _record(project, dataset, options)
    earlier = same[-1] if same else None
    return FreezeSummary(
        plan,
        dataset,
        writer.summary,
        earlier.at.isoformat(timespec="seconds") if earlier else None,
        earlier.content != dataset.info.content if earlier else None,
    )


def _record(project: Project, dataset: Dataset, options: FreezeOptions) -> list[FrozenDataset]:
    """Note in the project which faces a dataset holds; the earlier ones with the same options."""
    described = {"name": dataset.info.name, **dataclasses.asdict(options)}
    people: set[str] = set()
    if dataset.annotations is not None:
        people = set(dataset.annotations["annotator"].to_pylist())
    path = str(dataset.path.absolute())
    with project.database.write() as connection:
        same = [one for one in frozen.list_datasets(connection) if one.options == described]
        frozen.record_dataset(
            connection,
            name=dataset.info.name,
            path=path,
            content=dataset.info.content,
            options=described,
            numbers=frozen.find_numbers(connection, dataset.ids),
            people=people,
        )
        details = {"content": dataset.info.content, "faces": len(dataset), **described}
        record_event(connection, "freeze", path, details)
    return same


def _record_earlier(project: Project, path: Path) -> None:
    """Note a dataset that a killed call had written and not noted, so that `forget` knows of it."""
    if not (path / FILE).is_file():
        return
    with contextlib.suppress(InputError):  # not ours, or damaged
        dataset = open_dataset(path)
        options = read_options(project, dataset)
        with project.database.read() as connection:
            known = frozen.list_datasets(connection)
        place = str(path.absolute())
        if not any((one.path, one.content) == (place, dataset.info.content) for one in known):
            _record(project, dataset, options)


def has_changed(project: Project, dataset: Dataset) -> bool:
    """Whether a project would now give another dataset than the one that was frozen of it.

    The `content` hashes are compared: a new label, a corrected box, a forgotten face or another
    text under `[legal]` changes it.

    Args:
        project: that was frozen.
        dataset: what was written then; its `freeze.json` says how.

    Raises:
        FormatError: the dataset was not frozen of this project.
        InputError, DatabaseError: as `plan_freeze`.
    """
    options = read_options(project, dataset)
    with (
        tempfile.TemporaryDirectory(prefix="openaffect-") as folder,
        project.database.read() as connection,
    ):
        plan = make_plan(project, connection, options)
        with write_dataset(
            Path(folder) / "again",
            name=dataset.info.name,
            source=f"project {project.settings.name}",
            license=_license(connection, _taken(plan)),
            legal=project.settings.legal,
            check_images=False,
        ) as writer:
            _write(writer, project, connection, plan, link=None)
        again = open_dataset(Path(folder) / "again", columns=())
    return again.info.content != dataset.info.content


def read_options(project: Project, dataset: Dataset) -> FreezeOptions:
    """How a dataset was frozen.

    Raises:
        FormatError: it was not frozen, or of another project.
    """
    path = dataset.path / FILE
    if not path.is_file():
        raise FormatError(
            f"expected a dataset that was frozen at {dataset.path}, but it has no {FILE}"
        )
    about = read_json(path, dict[str, Any])
    of = about.get("project", {}).get("id")
    if of != project.settings.id:
        raise FormatError(f"{dataset.path} was frozen of another project than {project.path}: {of}")
    return convert(about.get("options"), FreezeOptions, str(path))


def _taken(plan: FreezePlan) -> Taken:
    assert plan.rows is not None  # `make_plan` has set it
    return plan.rows


def _write(
    writer: DatasetWriter,
    project: Project,
    connection: Connection,
    plan: FreezePlan,
    *,
    link: bool | None,
) -> None:
    """Write the rows; `link` says how images are placed, None that they are not."""
    taken = _taken(plan)
    gone = frozen.find_withdrawn_people(connection)
    writer.add_columns(COLUMNS)
    for start in range(0, len(taken.numbers), _PAGE):
        numbers = taken.numbers[start : start + _PAGE]
        found = frozen.read_faces(connection, numbers)
        judged = _judgments(connection, numbers, gone)
        names = [(found[number]["sha256"], found[number]["suffix"]) for number in numbers]
        placed: dict[tuple[str, str], str | None] = dict.fromkeys(names)
        if link is not None:
            place = functools.partial(_place, project.store, writer.images_folder, link)
            missing = map_in_order(place, list(placed), workers=project.store.workers)
            placed = dict(zip(placed, missing, strict=True))
        for offset, number in enumerate(numbers):
            row, name = found[number], names[offset]
            face_id = row["face_id"]
            if placed[name] is not None:
                writer.reject(str(placed[name]), face_id, "the store")
                continue
            rows = judged.get(face_id, [])
            if writer.add(_face_row(row, taken, start + offset, rows), "the project"):
                for one in rows:
                    plan.people.add(one.annotator)
                    writer.add_annotation(one, "the project")


def _place(store: Store, folder: Path, link: bool, name: tuple[str, str]) -> str | None:
    """Put an image of the store into a dataset; why it cannot be, or None."""
    target = folder / content_path(*name)
    if target.exists():
        return None
    try:
        data = store.read(*name)
    except ImageError as error:
        return str(error)
    target.parent.mkdir(parents=True, exist_ok=True)
    if link and isinstance(store, FolderStore):
        try:
            os.link(store.path(*name), target)
            return None
        except OSError:  # another file system, or one without links
            pass
    target.write_bytes(data)
    return None


def _face_row(
    row: dict[str, Any], taken: Taken, place: int, judged: list[AnnotationRow]
) -> FaceRow:
    labels = taken.labels
    extra = dict(row["extra"] or {})
    expression = int(labels.expression[place])
    valence, arousal = (_number(value) for value in labels.affect[place])
    affect_origin = labels.affect_origin[place]
    other = extra.pop("affect", None)  # of another origin than the expression
    if valence is None and isinstance(other, dict) and SOURCES[labels.source[place]] == "import":
        valence, arousal = other.get("valence"), other.get("arousal")
        affect_origin = other.get("affect_origin")
    votes: list[int] | None = row["votes"]
    soft_label: list[float] | None = row["soft_label"]
    if labels.votes[place].any():
        votes = labels.votes[place].tolist()
        soft = labels.soft_label[place]
        soft_label = None if np.isnan(soft[0]) else soft.tolist()
    said = [one.occluded for one in judged if one.occluded is not None and not one.void]
    flags = sorted({one.flag for one in judged if one.flag and not one.void})
    points = row["landmarks"]
    return FaceRow(
        row["face_id"],
        content_path(row["sha256"], row["suffix"]),
        box=None if row["x"] is None else [row[name] for name in "xywh"],
        landmarks=None if points is None else np.frombuffer(points, "<f4"),
        expression=None if expression < 0 else EXPRESSIONS[expression],
        votes=votes,
        soft_label=soft_label,
        valence=valence,
        arousal=arousal,
        expression_origin=labels.expression_origin[place],
        affect_origin=affect_origin if valence is not None else None,
        split=taken.splits[place],
        group=taken.groups[place],
        query=row["query"],
        url=row["url"],
        license=row["license"],
        extra=extra or None,
        columns={
            **{name: row[name] for name in schemas.PROVENANCE.names},
            "label_source": SOURCES[labels.source[place]],
            "raters": int(labels.raters[place]),
            "agreement": _number(labels.share[place]),
            "flags": ", ".join(flags) or None,
            "occluded": sum(said) * 2 >= len(said) if said else None,
        },
    )


def _judgments(
    connection: Connection, numbers: list[int], gone: set[str]
) -> dict[str, list[AnnotationRow]]:
    """The annotations of faces, by face_id, as they go into a dataset.

    Of people who have withdrawn only what stands, and nothing of an import that names no raters: its
    labels are columns of the faces.
    """
    table = pa.Table.from_batches(read_annotations_of(connection, numbers), schemas.ANNOTATIONS)
    valid = find_valid(table)
    found: dict[str, list[AnnotationRow]] = {}
    for stands, row in zip(valid, tables.iterate_rows(table, table.column_names), strict=True):
        annotator = row["annotator"]
        anonymous = annotator.startswith("import:") and "/" not in annotator
        if anonymous or (annotator in gone and not stands):
            continue
        found.setdefault(row["face_id"], []).append(AnnotationRow(**row))
    return found


def _number(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)


def _license(connection: Connection, taken: Taken) -> str | None:
    """The license that all images have, or None."""
    licenses = frozen.find_licenses(connection, taken.numbers)
    return next(iter(licenses)) if len(licenses) == 1 else None


def _describe(project: Project, plan: FreezePlan) -> dict[str, Any]:
    """What `freeze.json` holds."""
    settings = project.settings
    facts = plan.to_dict()
    return {
        "project": {
            "name": settings.name,
            "id": settings.id,
            "contact": settings.contact,
        },
        "options": facts["options"],
        "rule": plan.options.rule,
        "affect_rule": plan.options.affect_rule,
        "seed": plan.options.seed,
        "labels": [str(label) for label in settings.label_set],
        "faces": facts["faces"],
        "splits": facts["splits"],
        "left_out": facts["left_out"],
        "label_sources": facts["label_sources"],
        "groups": facts["groups"],
        "labeled_by_several": facts["labeled_by_several"],
        "open_reviews": facts["open_reviews"],
        "annotators": len(plan.people),
    }


__all__ = [
    "COLUMNS",
    "FreezeOptions",
    "FreezePlan",
    "FreezeSummary",
    "freeze_project",
    "has_changed",
    "plan_freeze",
    "read_options",
]
