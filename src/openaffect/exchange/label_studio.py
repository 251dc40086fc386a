"""Label Studio's JSON tasks: one task per face, and beside them the labeling configuration.

The format is that of https://labelstud.io/guide/task_format: `annotations` with `completed_by`,
`was_cancelled`, `ground_truth`, `lead_time` and `result`; of the results, `choices` for the expression,
two `number` for valence and arousal, and a `rectangle` in percent. What Label Studio has no place for
stands under `openaffect` in an annotation, where it is lost once Label Studio has read the file.
"""

from __future__ import annotations

import datetime
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import pyarrow as pa

from openaffect.documents import convert, read_json
from openaffect.errors import FormatError, InputError, UnknownName
from openaffect.exchange._entries import Entry, ExportAnnotationsSummary, to_row
from openaffect.face_row import RejectRow
from openaffect.judgments import find_valid
from openaffect.labels import EXPRESSIONS, parse_expression, parse_labels
from openaffect.project import Project
from openaffect.project.judgments import read_pages
from openaffect.project.rows import name_annotation
from openaffect.schemas import ANNOTATIONS
from openaffect.texts import shorten_float32

FILES = "tasks-*.json"
CONFIG = "labeling_config.xml"

_TASKS = 10_000  # of one file: Label Studio takes 250,000 and 50 MB at once
_RESULTS = {"expression": "choices", "valence": "number", "arousal": "number"}
_NAMES = ("face_id", *_RESULTS)


def read(
    path: Path, notes: Counter[str], *, from_names: Mapping[str, str] | None = None
) -> Iterator[Entry]:
    """The annotations of all tasks of a file.

    Args:
        path: a JSON list of tasks, or one task.
        notes: counts what is not read.
        from_names: our name (expression, valence, arousal) to the `from_name` of the results that
            hold it, and `face_id` to the key of `data` that holds it; ours by default.

    Raises:
        FormatError: it is no JSON, or neither a list nor an object.
        UnknownName: a name of `from_names` that is none of ours.
    """
    names = {name: name for name in _NAMES}
    for name in from_names or {}:
        if name not in names:
            raise UnknownName("name", name, _NAMES, "the names of --from-name")
    names |= from_names or {}
    if len({*names.values()}) < len(names):
        raise InputError(f"expected four different names, but got {', '.join(names.values())}")
    content = read_json(path, Any, "tasks of Label Studio")
    tasks = [content] if isinstance(content, dict) else content
    if not isinstance(tasks, list):
        raise FormatError(f"expected a list of tasks in {path}, but got {str(content)[:60]}")
    for number, task in enumerate(tasks, 1):
        yield from _read_task(task, f"{path.name} task {number}", names, notes)


def _read_task(
    task: Any, place: str, names: Mapping[str, str], notes: Counter[str]
) -> Iterator[Entry]:
    if not isinstance(task, dict):
        yield place, RejectRow("task that is no object")
        return
    for key in ("predictions", "drafts"):
        found = task.get(key)
        if isinstance(found, list) and found:
            notes[f"{key} are not read"] += len(found)
    entries = task.get("annotations", [])
    if not isinstance(entries, list):
        yield place, RejectRow("annotations that are no list")
        return
    data = task.get("data")
    face_id = data.get(names["face_id"]) if isinstance(data, dict) else None
    for number, entry in enumerate(entries, 1):
        where = f"{place} annotation {number}"
        try:
            if not isinstance(face_id, str) or not face_id:
                raise RejectRow(f"no {names['face_id']} in the data of the task")
            yield f"{where}, face {face_id}", to_row(_read_entry(entry, face_id, names, notes))
        except RejectRow as error:
            yield where, error


def _read_entry(
    entry: Any, face_id: str, names: Mapping[str, str], notes: Counter[str]
) -> dict[str, Any]:
    """An annotation as columns.

    Raises:
        RejectRow: it cannot be used.
    """
    if not isinstance(entry, dict):
        raise RejectRow("annotation that is no object")
    if entry.get("was_cancelled") is True:
        raise RejectRow("skipped in Label Studio")
    ours = _read_ours(entry.get("openaffect"))
    if entry.get("ground_truth") is True and ours.get("kind") != "review":
        notes["ground truth is taken as a judgment like others"] += 1
    annotator = ours.get("annotator") or _read_person(entry.get("completed_by"))
    if not annotator:
        notes["annotations without completed_by: of each face the last one counts"] += 1
    made = {
        "seconds": _read_number(entry.get("lead_time"), "lead_time"),
        "at": _read_time(entry.get("created_at")),
        **_read_results(entry.get("result"), names, notes),
    }
    return (
        ours
        | made
        | {"face_id": face_id, "annotator": annotator, "at": ours.get("at") or made["at"]}
    )


def _read_ours(value: Any) -> dict[str, Any]:
    """What our own export has written beside the results."""
    if value is None:
        return {}
    try:
        found = convert(value, dict[str, Any], "openaffect")
        return {
            name: convert(found[name], _type_of(field) | None, name)
            for name, field in zip(ANNOTATIONS.names, ANNOTATIONS, strict=True)
            if name in found
        }
    except FormatError as error:
        raise RejectRow(f"openaffect that is not ours: {error}") from None


def _type_of(column: pa.Field) -> Any:
    if pa.types.is_boolean(column.type):
        return bool
    if pa.types.is_floating(column.type):
        return float
    if pa.types.is_timestamp(column.type):
        return datetime.datetime
    return int if pa.types.is_integer(column.type) else str


def _read_person(value: Any) -> str:
    """A name for whoever completed an annotation: the id, or a code in place of an address."""
    if isinstance(value, dict):
        value = value.get("id") if value.get("id") is not None else value.get("email")
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise RejectRow("completed_by that is no id and no person")
    name = str(value)
    return name_annotation("person", name.lower())[:13] if "@" in name else name


def _read_results(results: Any, names: Mapping[str, str], notes: Counter[str]) -> dict[str, Any]:
    """Expression, valence and arousal."""
    if not isinstance(results, list):
        raise RejectRow("no list of results")
    ours = {names[name]: name for name in _RESULTS}
    found: dict[str, Any] = {}
    for result in results:
        if not isinstance(result, dict):
            raise RejectRow("result that is no object")
        source, kind, value = (result.get(key) for key in ("from_name", "type", "value"))
        name = ours.get(source) if isinstance(source, str) else None
        if name is None:
            notes[f"results {kind} of {source} are not read"[:100]] += 1
            continue
        wanted = _RESULTS[name]
        if kind != wanted or not isinstance(value, dict):
            raise RejectRow(f"{name} that is no {wanted}: {kind}"[:100])
        if name in found:
            raise RejectRow(f"two results of {name}")
        found[name] = (
            _read_choice(value.get("choices"))
            if wanted == "choices"
            else _read_number(value.get("number"), name)
        )
    return {name: found.get(name) for name in _RESULTS}


def _read_choice(choices: Any) -> str:
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], str):
        raise RejectRow(f"expression that is not one choice: {choices}"[:100])
    try:
        return parse_expression(choices[0]).value
    except UnknownName:
        raise RejectRow(f"unknown expression: {choices[0][:40]}") from None


def _read_number(value: Any, name: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise RejectRow(f"{name} that is no number: {value}"[:100])
    return float(value)


def _read_time(value: Any) -> datetime.datetime | None:
    if value is None:
        return None
    try:
        at = datetime.datetime.fromisoformat(value)
        return at if at.tzinfo else at.replace(tzinfo=datetime.UTC)
    except (TypeError, ValueError):
        raise RejectRow(f"created_at that is no time: {value}"[:100]) from None


# ---- writing ------------------------------------------------------------------------------


@dataclass(slots=True)
class _Export:
    """What goes into every task, and what was seen on the way."""

    prefix: str
    summary: ExportAnnotationsSummary
    seen: set[str] = field(default_factory=set)

    def write_page(self, file: Path, page: Sequence[Any], table: pa.Table) -> None:
        """One file of tasks."""
        stands = find_valid(table)
        gone = int((~stands).sum())
        if gone:
            reason = "void, replaced, or followed by the same person's later answer"
            self.summary.left_out[reason] += gone
        of_face: dict[str, list[dict[str, Any]]] = {}
        for row in table.filter(pa.array(stands)).to_pylist():
            of_face.setdefault(row["face_id"], []).append(row)
            self.seen.add(row["expression"])
        tasks = [self.make_task(face, of_face.get(face.face_id, [])) for face in page]
        with file.open("w", encoding="utf-8") as out:
            lines = (json.dumps(task, ensure_ascii=False, allow_nan=False) for task in tasks)
            out.write("[" + ",\n".join(lines) + "]\n")
        self.summary.faces += len(tasks)
        self.summary.advance(int(stands.sum()))

    def make_task(self, face: Any, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """A face with its annotations."""
        sha256, suffix = face.sha256, face.suffix
        box = self._box_of(face)
        image = f"{self.prefix}{sha256[:2]}/{sha256[2:4]}/{sha256}.{suffix}"
        task: dict[str, Any] = {
            "data": {"image": image, "face_id": face.face_id},
            "annotations": [_make_entry(row, box) for row in rows],
        }
        if box and not rows:  # else nobody would see which face is meant
            task["predictions"] = [{"model_version": face.detector or "box", "result": box}]
        return task

    def _box_of(self, face: Any) -> list[dict[str, Any]]:
        if face.x is None:
            return []
        if not face.width or not face.height:
            self.summary.left_out["boxes of images that `detect` has not measured"] += 1
            return []
        percent = {
            "x": face.x / face.width * 100,
            "y": face.y / face.height * 100,
            "width": face.w / face.width * 100,
            "height": face.h / face.height * 100,
        }
        size = {"original_width": face.width, "original_height": face.height, "image_rotation": 0}
        return [_result("face", "rectangle", percent | {"rotation": 0}) | size]


def write(
    project: Project, folder: Path, summary: ExportAnnotationsSummary, *, image_prefix: str = ""
) -> None:
    """All faces as tasks, 10,000 in a file, with the annotations that stand, and the configuration.

    Args:
        project: what to write.
        folder: where to.
        summary: counts what is written.
        image_prefix: put before the place of each image in the store, `ab/cd/<sha256>.jpg`; such as
            `https://example.org/store/`.
    """
    export = _Export(image_prefix, summary)
    with project.database.read() as connection:
        for number, (page, table) in enumerate(read_pages(connection, _TASKS), start=1):
            export.write_page(folder / f"tasks-{number:03}.json", page, table)
    names = {str(e) for e in parse_labels(project.settings.labels)} | export.seen
    labels = [str(e) for e in EXPRESSIONS if e in names]
    (folder / CONFIG).write_text(make_config(labels), encoding="utf-8")


def make_config(labels: list[str]) -> str:
    """The labeling configuration for some expressions, as XML."""
    choices = "\n".join(f"    <Choice value={quoteattr(label)}/>" for label in labels)
    # No `step`: Label Studio refuses a number whose remainder by it is not 0, and of binary
    # fractions, such as 1.3 by 0.01, hardly any is.
    return f"""<View>
  <Image name="image" value="$image"/>
  <Rectangle name="face" toName="image"/>
  <Choices name="expression" toName="image" choice="single" required="true" showInline="true">
{choices}
  </Choices>
  <Header value="Valence: how positive, from -1 to 1"/>
  <Number name="valence" toName="image" min="-1" max="1"/>
  <Header value="Arousal: how excited, from -1 to 1"/>
  <Number name="arousal" toName="image" min="-1" max="1"/>
</View>
"""


def _make_entry(row: dict[str, Any], box: list[dict[str, Any]]) -> dict[str, Any]:
    results = list(box)
    if row["expression"] is not None:
        results.append(_result("expression", "choices", {"choices": [row["expression"]]}))
    for axis in ("valence", "arousal"):
        if row[axis] is not None:
            results.append(_result(axis, "number", {"number": shorten_float32(row[axis])}))
    at = row["at"].isoformat()
    beside = {"face_id", "expression", "valence", "arousal", "seconds"}
    ours = {name: v for name, v in row.items() if v is not None and name not in beside}
    seconds = row["seconds"]
    return {
        "result": results,
        "was_cancelled": False,
        "ground_truth": row["kind"]
        == "review",  # Label Studio takes it for true where it is missing
        "lead_time": None if seconds is None else shorten_float32(seconds),
        "created_at": at,
        "openaffect": ours | {"at": at},
    }


def _result(name: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"from_name": name, "to_name": "image", "type": kind, "value": value}
