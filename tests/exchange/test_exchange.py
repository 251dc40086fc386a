"""Annotations out of a project and into another, on both databases, in every format."""

from __future__ import annotations

import csv
import datetime
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openaffect import lookup, measure_agreement
from openaffect.cli import main
from openaffect.collection import add_dataset
from openaffect.dataset import Dataset
from openaffect.errors import FormatError, InputError, OpenAffectError, UnknownName
from openaffect.exchange import (
    PACKAGE,
    AddAnnotationsSummary,
    add_annotations,
    exchange_formats,
    export_annotations,
    label_studio,
)
from openaffect.project import Project, create_project, schema
from openaffect.project.judgments import read_annotations
from openaffect.project.rows import StoredAnnotation, insert_annotations
from openaffect.project.schema import annotators, faces, images
from openaffect.schemas import ANNOTATIONS

AT = datetime.datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=datetime.UTC)
FORMATS = exchange_formats()


def rows_of(project: Project) -> list[dict[str, Any]]:
    with project.database.read() as connection:
        table = pa.Table.from_batches(read_annotations(connection, in_order=True), ANNOTATIONS)
    return sorted(table.to_pylist(), key=lambda row: row["id"])


def face_ids(project: Project) -> list[str]:
    with project.database.read() as connection:
        return list(connection.execute(sa.select(faces.c.face_id).order_by(faces.c.id)).scalars())


def rejected(project: Project) -> list[tuple[str, str]]:
    path = project.path / "rejected.csv"
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["name"], row["reason"]) for row in csv.DictReader(file)]


def fill(project: Project, drawn: Dataset, *, judge: bool = True) -> list[str]:
    """The eight synthetic faces, and judgments of them of every kind; the ids of the faces."""
    add_dataset(project, drawn, name="drawn")
    ids = face_ids(project)
    if not judge:
        return ids
    full = StoredAnnotation(
        ids[0], "p1", "happy", 0.73, 0.1, "work", True, "flagged", 'said "so", 1;2\nß مرحبا', 3.25,
        True, False, "2", "page 1", "first", 3, None, False, True, "human", AT, "id-1",
    )  # fmt: skip
    plain = StoredAnnotation(ids[0], "p2", expression="sad", kind="work", at=AT, id="id-2")
    later = AT + datetime.timedelta(seconds=5)
    made = [
        full,
        plain,
        replace(plain, face_id=ids[1], id="id-3", kind="gold"),
        replace(plain, face_id=ids[1], id="id-4", kind="review", valence=-0.5, arousal=0.25),
        replace(full, id="id-5", expression="fear", replaces="id-1", at=later),
        replace(plain, face_id=ids[2], id="id-6"),
        replace(plain, face_id=ids[2], id="id-7", replaces="id-6", void=True, expression=None),
    ]
    with project.database.write() as connection:
        insert_annotations(connection, made)
    return ids


@pytest.fixture
def other(tmp_path: Path, drawn: Dataset) -> Iterator[Project]:
    """Another project with the same faces and nobody's judgments."""
    with create_project(tmp_path / "other") as made:
        fill(made, drawn, judge=False)
        with made.database.write() as connection:
            connection.execute(sa.delete(schema.annotations))
        yield made


def as_imported(rows: list[dict[str, Any]], source: str) -> list[dict[str, Any]]:
    """What becomes of rows in another project."""
    return [
        row
        | {"kind": "imported" if row["kind"] == "work" else row["kind"]}
        | {
            "annotator": row["annotator"]
            if row["annotator"].startswith("import:")
            else f"import:{source}/{row['annotator']}"
        }
        for row in rows
    ]


# ---- out and in again ---------------------------------------------------------------------


def test_the_formats_are_files() -> None:
    assert FORMATS == ("annotations", "csv", "label-studio")


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_file_holds_its_parts(name: str) -> None:
    module = lookup.load(PACKAGE, name, "format")
    assert module.__doc__
    assert module.FILES
    assert callable(module.read)
    assert callable(module.write)


@pytest.mark.parametrize("name", ["annotations", "csv"])
def test_every_row_comes_to_another_project(
    project: Project, other: Project, drawn: Dataset, tmp_path: Path, name: str
) -> None:
    fill(project, drawn)
    before = rows_of(project)
    assert len(before) == 15
    assert export_annotations(project, name, tmp_path / "lab").annotations == 15
    found = add_annotations(other, tmp_path / "lab", name)
    assert (found.annotations, found.known, found.rejected.total()) == (15, 0, 0)
    assert rows_of(other) == as_imported(before, "lab")
    (file,) = (tmp_path / "lab").iterdir()
    again = add_annotations(other, file, name)
    assert (again.annotations, again.known, again.rejected.total()) == (0, 15, 0)
    assert other.status()["annotations"]["counted"] == 0


def test_label_studio_brings_the_rows_that_stand(
    project: Project, other: Project, drawn: Dataset, tmp_path: Path
) -> None:
    fill(project, drawn)
    standing = [row for row in rows_of(project) if row["id"] not in ("id-1", "id-6", "id-7")]
    summary = export_annotations(project, "label-studio", tmp_path / "lab")
    assert (summary.annotations, summary.faces) == (12, 8)
    assert {reason[:5]: n for reason, n in summary.left_out.items()} == {"void,": 3, "boxes": 8}
    found = add_annotations(other, tmp_path / "lab", "label-studio")
    assert (found.annotations, found.rejected.total()) == (12, 0)
    assert found.notes == {}
    assert rows_of(other) == as_imported(standing, "lab")
    assert add_annotations(other, tmp_path / "lab", "label-studio").known == 12


@pytest.mark.parametrize("name", FORMATS)
def test_a_project_knows_its_own_rows(
    project: Project, drawn: Dataset, tmp_path: Path, name: str
) -> None:
    fill(project, drawn)
    before = rows_of(project)
    export_annotations(project, name, tmp_path / "out")
    found = add_annotations(project, tmp_path / "out", name)
    assert (found.annotations, found.rejected.total()) == (0, 0)
    assert found.known in (15, 12)
    assert rows_of(project) == before


@pytest.mark.parametrize("name", FORMATS)
def test_exports_have_pseudonyms_alone(
    project: Project, drawn: Dataset, tmp_path: Path, name: str
) -> None:
    fill(project, drawn)
    with project.database.write() as connection:
        connection.execute(
            sa.update(annotators).where(annotators.c.name == "p1").values(name="Ada Lovelace")
        )
    export_annotations(project, name, tmp_path / "out")
    files = [path.read_bytes() for path in (tmp_path / "out").iterdir()]
    assert any(b"p1" in data for data in files)
    assert not any(b"Lovelace" in data for data in files)
    found = add_annotations(project, tmp_path / "out", name)
    assert (found.annotations, found.rejected.total()) == (0, 0)


def test_imported_people_stay_apart_and_agreement_knows_them(
    project: Project, drawn: Dataset, tmp_path: Path
) -> None:
    ids = fill(project, drawn, judge=False)
    for lab in ("north", "south"):
        lines = [f"{one},p{n},{('happy', 'sad')[n]}" for one in ids for n in range(2)]
        (tmp_path / f"{lab}.csv").write_text("face_id,annotator,expression\n" + "\n".join(lines))
        assert add_annotations(project, tmp_path / f"{lab}.csv", "csv").annotations == 16
    people = measure_agreement(project).people
    assert people is not None
    expected = [f"import:{lab}/p{n}" for lab in ("north", "south") for n in range(2)]
    assert set(expected) <= {*people}
    assert {people[one].annotations for one in expected} == {8}


def test_count_imported_counts_judgments_of_people(
    project: Project, drawn: Dataset, tmp_path: Path
) -> None:
    ids = fill(project, drawn, judge=False)
    lines = ["face_id,annotator,expression,origin,kind,void"]
    lines += [f"{ids[0]},a,sad,,,", f"{ids[1]},a,sad,human,work,", f"{ids[2]},a,sad,model,,"]
    lines += [f"{ids[3]},a,sad,,training,", f"{ids[4]},a,sad,,,true"]
    (tmp_path / "some.csv").write_text("\n".join(lines))
    add_annotations(project, tmp_path / "some.csv", "csv", count_imported=True)
    status = project.status()["annotations"]
    assert status["counted"] == 2
    assert status["imported"] == 8 + 4


# ---- what is refused ----------------------------------------------------------------------


def test_what_cannot_be_added_is_named(project: Project, drawn: Dataset, tmp_path: Path) -> None:
    ids = fill(project, drawn)
    lines = [
        "face_id,annotator,expression,valence,arousal,id,seconds,at,void,round,replaces,color",
        "nowhere,a,happy,,,,,,,,,",
        f"{ids[0]},a,hapy,,,,,,,,,",
        f"{ids[0]},a,happy,0.5,,,,,,,,",
        f"{ids[0]},a,happy,1.5,0,,,,,,,",
        f"{ids[0]},a,happy,nan,0,,,,,,,",
        f"{ids[0]},a,happy,,,,-1,,,,,",
        f"{ids[0]},a,happy,,,,inf,,,,,",
        f"{ids[0]},a,happy,,,,,2026-01-01 00:00:00,,,,",
        f"{ids[0]},a,happy,,,,,yesterday,,,,",
        f"{ids[0]},a,happy,,,,,,maybe,,,",
        f"{ids[0]},a,happy,,,,,,,1_0,,",
        f"{ids[0]},a,happy,,,,,,,99999999999,,",
        f"{ids[0]},a,,,,,,,false,,,",
        ",a,happy,,,,,,,,,",
        f"{ids[0]},a,happy,,,id-2,,,,,,",
        f"{ids[0]},a,happy,,,,,,,,id-1,",
        f"{ids[0]},a,happy,,,{'x' * 201},,,,,,",
        f"{ids[0]},{'y' * 1001},happy,,,,,,,,,",
        f"{ids[3]},a,happy,,,,,,,,,blue",
        f"{ids[3]},a,sad,,,,,,,,,",
        f"{ids[3]},a,happy,,,,,,,,,",
        "a,b,c,d,e,f,g,h,i,j,k,l,m",
    ]
    (tmp_path / "bad.csv").write_text("\n".join(lines))
    before = rows_of(project)
    found = add_annotations(project, tmp_path / "bad.csv", "csv")
    assert (found.annotations, found.known) == (1, 1)
    assert found.notes == {"column color is not read": 1}
    reasons = dict(rejected(project))
    assert len(reasons) == found.rejected.total() == 20
    expected = {
        2: "unknown face_id: nowhere",
        3: "expression that is none: hapy",
        4: "only one of valence and arousal",
        5: "valence or arousal outside",
        6: "valence or arousal outside",
        7: "seconds that are none: -1",
        8: "seconds that are none: inf",
        9: "time without a time zone",
        10: "at that is none: yesterday",
        11: "void that is none: maybe",
        12: "round that is none: 1_0",
        13: "round that is too large",
        14: "no expression and no valence",
        15: "no face_id",
        16: "id known with another content: id-2",
        17: "replaces a row of another person or face: id-1",
        18: "id of more than 200",
        19: "annotator of 1 to 1,000",
        21: "id known with another content",
        23: "more fields than the header",
    }
    for line, reason in expected.items():
        assert reasons[f"bad.csv line {line}"].startswith(reason), line
    kept = [row for row in rows_of(project) if row["annotator"] != "import:bad/a"]
    assert kept == before


def test_a_known_id_is_compared_column_by_column(
    project: Project, drawn: Dataset, tmp_path: Path
) -> None:
    fill(project, drawn)
    export_annotations(project, "annotations", tmp_path / "out")
    table = pq.read_table(tmp_path / "out" / "annotations.parquet")
    row = next(one for one in table.to_pylist() if one["id"] == "id-1")
    others = {
        "face_id": face_ids(project)[5], "annotator": "p9", "kind": "gold", "expression": "fear",
        "valence": 0.74, "arousal": 0.11, "occluded": False, "flag": None, "comment": "x",
        "seconds": 3.0, "region_shown": False, "prelabel_shown": True, "instructions": "3",
        "tool": None, "batch": "b", "round": 4, "replaces": "z", "void": True, "late": False,
        "origin": "simulated",
    }  # fmt: skip
    assert {*others} | {"id", "at"} == {*ANNOTATIONS.names}
    changed = [row | {name: value} for name, value in others.items()]
    path = tmp_path / "changed.parquet"
    pq.write_table(pa.Table.from_pylist(changed, ANNOTATIONS), path)
    found = add_annotations(project, path, "annotations")
    assert (found.annotations, found.known) == (0, 0)
    assert found.rejected == {"id known with another content": len(others)}
    later = [
        row | {"at": AT + datetime.timedelta(days=1)}
    ]  # the label of a dataset in two projects
    pq.write_table(pa.Table.from_pylist(later, ANNOTATIONS), path)
    assert add_annotations(project, path, "annotations").known == 1


def test_a_correction_comes_with_what_it_corrects(
    project: Project, drawn: Dataset, tmp_path: Path
) -> None:
    ids = fill(project, drawn, judge=False)
    lines = ["face_id,annotator,expression,id,replaces", f"{ids[0]},a,happy,n,o"]
    lines += [f"{ids[0]},a,sad,o,", f"{ids[1]},a,sad,q,o", f"{ids[0]},b,sad,r,o"]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    found = add_annotations(project, tmp_path / "a.csv", "csv")
    assert found.annotations == 2
    assert found.rejected == {"replaces a row of another person or face": 2}


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.csv", b"", "expected columns face_id"),
        ("a.csv", b"name,label\nx,happy\n", "expected columns face_id"),
        ("a.csv", b"face_id,face_id,expression\nx,x,happy\n", "two columns of one name: face_id"),
        ("a.csv", b"\xff\xfe\x00", "UTF-16"),
        ("a.parquet", b"PAR1", "Parquet"),
        ("a.json", b"{", "JSON"),
        ("a.json", b"3", "list of tasks"),
        ("a.json", b'"x"', "list of tasks"),
    ],
)
def test_a_file_of_another_kind_is_refused(
    tmp_path: Path, drawn: Dataset, name: str, content: bytes, text: str
) -> None:
    format = {"csv": "csv", "parquet": "annotations", "json": "label-studio"}[name[2:]]  # noqa: A001
    path = tmp_path / name
    path.write_bytes(content)
    with create_project(tmp_path / "p") as project, pytest.raises(FormatError, match=text):
        add_annotations(project, path, format)


def test_wrong_arguments_are_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with create_project(tmp_path / "p") as project:
        with pytest.raises(FormatError, match="there is none"):
            add_annotations(project, tmp_path / "nowhere.csv", "csv")
        with pytest.raises(FormatError, match=r"annotations\.csv in"):
            add_annotations(project, tmp_path / "empty", "csv")
        with pytest.raises(UnknownName, match="label-studio"):
            add_annotations(project, tmp_path, "labelstudio")
        with pytest.raises(InputError, match="no option 'from_names'"):
            add_annotations(project, tmp_path, "csv", from_names={})
        with pytest.raises(InputError, match="no option 'crop'; it has image_prefix"):
            export_annotations(project, "label-studio", tmp_path / "out", crop=True)
        with pytest.raises(InputError, match="the project lies in it"):
            export_annotations(project, "csv", tmp_path, overwrite=True)


# ---- Label Studio -------------------------------------------------------------------------


def task(face_id: Any, *entries: Any, **more: Any) -> dict[str, Any]:
    return {
        "id": 1,
        "data": {"image": "x.jpg", "face_id": face_id},
        "annotations": [*entries],
        **more,
    }


def entry(*results: Any, **more: Any) -> dict[str, Any]:
    """An annotation as Label Studio's documentation shows it."""
    return {
        "id": 1001,
        "result": [*results],
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": "2021-03-09T22:16:08.728353Z",
        "updated_at": "2021-03-09T22:16:08.728378Z",
        "lead_time": 4.288,
        "result_count": 0,
        "task": 1,
        "completed_by": 10,
        **more,
    }


def choice(*values: Any, name: str = "expression") -> dict[str, Any]:
    value = {"choices": [*values]}
    return {"id": "a", "from_name": name, "to_name": "image", "type": "choices", "value": value}


def number(name: str, value: Any) -> dict[str, Any]:
    value = {"number": value}
    return {"id": "b", "from_name": name, "to_name": "image", "type": "number", "value": value}


RECTANGLE = {
    "original_width": 600, "original_height": 403, "image_rotation": 0, "from_name": "tag",
    "to_name": "img", "type": "rectanglelabels", "id": "Dx_aB91ISN",
    "value": {"x": 50.8, "y": 5.87, "width": 12.4, "height": 10.46, "rotation": 0,
              "rectanglelabels": ["Moonwalker"]},
}  # fmt: skip


def add_tasks(project: Project, folder: Path, tasks: Any, **options: Any) -> AddAnnotationsSummary:
    path = folder / "export.json"
    path.write_text(json.dumps(tasks), encoding="utf-8")
    return add_annotations(project, path, "label-studio", name="ls", **options)


def test_tasks_as_the_documentation_has_them_are_read(
    project: Project, drawn: Dataset, tmp_path: Path
) -> None:
    ids = fill(project, drawn, judge=False)
    person = {"id": 7, "email": "ada@example.org", "first_name": "Ada", "last_name": "L"}
    tasks = [
        task(
            ids[0],
            entry(choice("Happiness"), number("valence", 0.5), number("arousal", 0), RECTANGLE),
            entry(choice("sad"), completed_by=person, ground_truth=True, lead_time=None),
            entry(choice("fear"), completed_by=None),
            entry(choice("fear"), completed_by={"email": "Bob@example.org"}),
            entry(choice("fear"), completed_by={"email": "bob@example.com"}),
            predictions=[{"result": [RECTANGLE]}],
        ),
        task(ids[1], entry(choice("fear"), completed_by={"email": "bob@example.org"})),
        task(ids[2], entry(choice("fear"), completed_by=11, created_at="2021-03-09T22:16:08")),
        task(ids[1]),
    ]
    found = add_tasks(project, tmp_path, tasks)
    assert found.annotations == 7
    assert found.rejected == {}
    assert found.notes == {
        "predictions are not read": 1,
        "results rectanglelabels of tag are not read": 1,
        "ground truth is taken as a judgment like others": 1,
        "annotations without completed_by: of each face the last one counts": 1,
    }
    made = [row for row in rows_of(project) if row["annotator"].startswith("import:ls")]
    by_name = {row["annotator"]: row for row in made}
    assert by_name["import:ls/11"]["at"].isoformat() == "2021-03-09T22:16:08+00:00"
    first = by_name["import:ls/10"]
    assert (first["expression"], first["valence"], first["arousal"]) == ("happy", 0.5, 0.0)
    assert (first["kind"], first["seconds"]) == ("imported", pytest.approx(4.288))
    assert first["at"].isoformat() == "2021-03-09T22:16:08.728353+00:00"
    assert by_name["import:ls/7"]["seconds"] is None
    assert by_name["import:ls"]["expression"] == "fear"
    bobs = [name for name in by_name if len(name) == len("import:ls/") + 13]
    assert len(bobs) == 2  # the same address in another case is the same person
    assert not any("@" in name or "bob" in name.lower() for name in by_name)
    assert add_tasks(project, tmp_path, tasks).known == 7


def test_bad_entries_of_label_studio_are_named(
    project: Project, drawn: Dataset, tmp_path: Path
) -> None:
    ids = fill(project, drawn, judge=False)
    bad = [
        (entry(choice("happy"), was_cancelled=True), "skipped in Label Studio"),
        (entry(), "no expression and no valence"),
        (entry(choice("happy", "sad")), "expression that is not one choice"),
        (entry(choice(["a", "b"])), "expression that is not one choice"),
        (entry(choice("hapy")), "unknown expression: hapy"),
        (entry(choice("happy"), choice("sad")), "two results of expression"),
        (entry(choice("happy"), number("valence", 0.1)), "only one of valence and arousal"),
        (entry(choice("happy"), number("valence", "x")), "valence that is no number: x"),
        (entry(choice("happy"), number("valence", True)), "valence that is no number: True"),
        (entry(number("expression", 3)), "expression that is no choices: number"),
        (entry(choice("happy"), number("valence", 3), number("arousal", 0)), "valence or arousal"),
        (entry(choice("happy"), lead_time="long"), "lead_time that is no number"),
        (entry(choice("happy"), lead_time=-4), "seconds that are none"),
        (entry(choice("happy"), created_at="once"), "created_at that is no time: once"),
        (entry(choice("happy"), created_at=3), "created_at that is no time: 3"),
        (entry(choice("happy"), completed_by=[1]), "completed_by that is no id"),
        (entry(choice("happy"), completed_by="a\0b"), "annotator with a character"),
        (entry("x"), "result that is no object"),
        (entry() | {"result": None}, "no list of results"),
        ("x", "annotation that is no object"),
        (entry(choice("happy"), openaffect=[]), "openaffect that is not ours"),
        (entry(choice("happy"), openaffect={"kind": "play"}), "unknown kind: play"),
        (entry(choice("happy"), openaffect={"round": "x"}), "openaffect that is not ours"),
    ]
    tasks = [
        task(ids[0], *(one for one, _ in bad)),
        "x",
        task(None, entry()),
        task("else", entry(choice("sad"))),
    ]
    tasks += [{"data": 3, "annotations": [entry()]}, {"annotations": 3}]
    found = add_tasks(project, tmp_path, tasks)
    assert found.annotations == 0
    assert found.rejected.total() == len(bad) + 5
    said = rejected(project)
    assert len(said) == len(bad) + 5
    for number_, (_, reason) in enumerate(bad, 1):
        names = [
            text
            for name, text in said
            if name.split(",")[0] == f"export.json task 1 annotation {number_}"
        ]
        assert len(names) == 1
        assert names[0].startswith(reason), (number_, names)
    tail = {name.split(",")[0]: text for name, text in said if "task 1 " not in name}
    assert tail == {
        "export.json task 2": "task that is no object",
        "export.json task 3 annotation 1": "no face_id in the data of the task",
        "export.json task 4 annotation 1": "unknown face_id: else",
        "export.json task 5 annotation 1": "no face_id in the data of the task",
        "export.json task 6": "annotations that are no list",
    }


def test_results_may_have_other_names(project: Project, drawn: Dataset, tmp_path: Path) -> None:
    ids = fill(project, drawn, judge=False)
    tasks = {
        "data": {"key": ids[0]},
        "annotations": [entry(choice("joy", name="mood"), choice("x"))],
    }
    names = {"expression": "mood", "face_id": "key"}
    found = add_tasks(project, tmp_path, tasks, from_names=names)
    assert found.annotations == 1
    assert found.notes == {"results choices of expression are not read": 1}
    with pytest.raises(UnknownName, match="valence"):
        add_tasks(project, tmp_path, tasks, from_names={"valnce": "x"})
    with pytest.raises(InputError, match="different names"):
        add_tasks(project, tmp_path, tasks, from_names={"valence": "arousal"})


def test_tasks_show_boxes_in_percent_where_there_is_a_box(
    project: Project, drawn: Dataset, tmp_path: Path
) -> None:
    ids = fill(project, drawn)
    with project.database.write() as connection:
        first = sa.select(faces.c.image_id).where(faces.c.face_id.in_([ids[0], ids[4]]))
        connection.execute(
            sa.update(images).where(images.c.id.in_(first)).values(width=200, height=100)
        )
        connection.execute(
            sa.update(faces)
            .where(faces.c.face_id.in_([ids[0], ids[4]]))
            .values(x=20, y=30, w=50, h=40)
        )
        connection.execute(sa.update(faces).where(faces.c.face_id == ids[1]).values(x=None))
        connection.execute(
            sa.delete(schema.annotations).where(
                schema.annotations.c.face_id.in_(
                    sa.select(faces.c.id).where(faces.c.face_id == ids[4])
                )
            )
        )
    summary = export_annotations(
        project, "label-studio", tmp_path / "out", image_prefix="https://example.org/store/"
    )
    assert summary.left_out["boxes of images that `detect` has not measured"] == 5
    tasks = json.loads((tmp_path / "out" / "tasks-001.json").read_text())
    by_face = {one["data"]["face_id"]: one for one in tasks}
    box = {
        "from_name": "face", "to_name": "image", "type": "rectangle",
        "value": {"x": 10.0, "y": 30.0, "width": 25.0, "height": 40.0, "rotation": 0},
        "original_width": 200, "original_height": 100, "image_rotation": 0,
    }  # fmt: skip
    assert [one["result"][0] for one in by_face[ids[0]]["annotations"]] == [box] * 3
    assert "predictions" not in by_face[ids[0]]
    assert by_face[ids[4]]["annotations"] == []
    assert by_face[ids[4]]["predictions"][0]["result"] == [box]
    assert "predictions" not in by_face[ids[1]]
    assert "rectangle" not in json.dumps(by_face[ids[1]])
    with project.database.read() as connection:
        sha256 = connection.execute(
            sa.select(images.c.sha256).join(faces).where(faces.c.face_id == ids[0])
        ).scalar_one()
    place = f"{sha256[:2]}/{sha256[2:4]}/{sha256}"
    assert by_face[ids[0]]["data"]["image"].startswith(f"https://example.org/store/{place}.")
    review = next(e for e in by_face[ids[1]]["annotations"] if e["openaffect"]["id"] == "id-4")
    assert review["ground_truth"] is True
    assert all("completed_by" not in e for one in tasks for e in one["annotations"])


def test_tasks_are_shared_out_over_files(
    project: Project, drawn: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = fill(project, drawn)
    export_annotations(project, "label-studio", tmp_path / "whole")
    monkeypatch.setattr(label_studio, "_TASKS", 3)
    assert export_annotations(project, "label-studio", tmp_path / "parts").faces == 8
    files = sorted(path.name for path in (tmp_path / "parts").glob("*.json"))
    assert files == ["tasks-001.json", "tasks-002.json", "tasks-003.json"]
    parts = [one for name in files for one in json.loads((tmp_path / "parts" / name).read_text())]
    assert [one["data"]["face_id"] for one in parts] == ids
    assert parts == json.loads((tmp_path / "whole" / "tasks-001.json").read_text())


def test_numbers_in_csv_have_no_digits_too_many(
    project: Project, drawn: Dataset, tmp_path: Path
) -> None:
    fill(project, drawn)
    export_annotations(project, "csv", tmp_path / "out")
    text = (tmp_path / "out" / "annotations.csv").read_text(encoding="utf-8")
    assert ",happy,0.73,0.1,true,flagged," in text
    assert ",2026-03-04T05:06:07.890123+00:00" in text


def test_the_configuration_names_what_the_results_have(
    project: Project, drawn: Dataset, tmp_path: Path
) -> None:
    fill(project, drawn)
    export_annotations(project, "label-studio", tmp_path / "out")
    root = ElementTree.parse(tmp_path / "out" / "labeling_config.xml").getroot()
    named = {one.get("name"): one.tag for one in root.iter() if one.get("name")}
    assert named == {
        "image": "Image", "face": "Rectangle", "expression": "Choices", "valence": "Number",
        "arousal": "Number",
    }  # fmt: skip
    assert {one.get("toName") for one in root.iter() if one.get("toName")} == {"image"}
    assert [one.get("value") for one in root.iter("Choice")][:2] == ["neutral", "happy"]
    assert len([*root.iter("Choice")]) == 11
    results = {
        (one["from_name"], one["type"])
        for entries in json.loads((tmp_path / "out" / "tasks-001.json").read_text())
        for made in entries["annotations"]
        for one in made["result"]
    }
    assert {name for name, _ in results} <= {*named}
    assert not any(one.get("step") for one in root.iter())


# ---- bad input ----------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=8)
    | st.sampled_from(["expression", "valence", "choices", "number", "happy", "a\0", "\u202e"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["data", "annotations", "result", "from_name", "type", "value", "choices",
                         "number", "face_id", "completed_by", "openaffect", "id", "at", "kind"]),
        inner, max_size=5,
    ),
    max_leaves=12,
)  # fmt: skip


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory, drawn: Dataset) -> Iterator[Project]:
    with create_project(tmp_path_factory.mktemp("fuzzed") / "p") as made:
        fill(made, drawn)
        yield made


QUIET = settings(max_examples=150, deadline=None, suppress_health_check=[*HealthCheck])


@pytest.mark.slow
@QUIET
@given(
    values=st.lists(
        st.one_of(
            json_values,
            st.builds(lambda one: task("F", one), json_values),
            st.builds(lambda one, more: task("F", entry(one, **more)), json_values,
                      st.dictionaries(st.sampled_from(["completed_by", "created_at", "lead_time", "openaffect", "result"]), json_values, max_size=3)),
            st.builds(lambda kind, value: task("F", entry({"from_name": "expression", "type": kind, "value": value})),
                      st.sampled_from(["choices", "number", None, 3]), json_values),
        ),
        max_size=4,
    )
)  # fmt: skip
def test_no_json_breaks_the_addition(fuzzed: Project, values: list[Any]) -> None:
    before = rows_of(fuzzed)
    text = json.dumps(values).replace('"F"', json.dumps(face_ids(fuzzed)[0]))
    path = fuzzed.path / "fuzz.json"
    path.write_text(text)
    try:
        found = add_annotations(fuzzed, path, "label-studio")
    except OpenAffectError:
        return
    assert len(rows_of(fuzzed)) == len(before) + found.annotations
    kept = {row["id"]: row for row in rows_of(fuzzed)}
    assert all(kept[row["id"]] == row for row in before)


@pytest.mark.slow
@QUIET
@given(
    lines=st.lists(
        st.lists(st.sampled_from(["F", "p1", "happy", "id-1", "id-2", "", "0.5", "-2", "nan", "1e400",
                                  "true", "2026-01-01T00:00:00Z", '"', "a\0b", "work", "gold", "\u202ex"]) | st.text(max_size=5),
                 min_size=1, max_size=9),
        max_size=6,
    ),
    columns=st.permutations(ANNOTATIONS.names),
)  # fmt: skip
def test_no_csv_breaks_the_addition(
    fuzzed: Project, lines: list[list[str]], columns: list[str]
) -> None:
    before = {row["id"]: row for row in rows_of(fuzzed)}
    header = ["face_id", "expression", *(n for n in columns if n not in ("face_id", "expression"))]
    text = "\n".join([",".join(header), *(",".join(cells) for cells in lines)])
    text = text.replace("F", face_ids(fuzzed)[0])
    path = fuzzed.path / "fuzz.csv"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        found = add_annotations(fuzzed, path, "csv")
    except OpenAffectError:
        return
    after = {row["id"]: row for row in rows_of(fuzzed)}
    assert len(after) == len(before) + found.annotations
    assert all(after[name] == row for name, row in before.items())


# ---- the command line ---------------------------------------------------------------------


def test_the_command_line_takes_annotations_out_and_in(
    tmp_path: Path, drawn: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    with create_project(tmp_path / "a") as made:
        ids = fill(made, drawn)
    with create_project(tmp_path / "b") as made:
        fill(made, drawn, judge=False)
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    assert main(["export", "label-studio", a, str(tmp_path / "ls"), "--image-prefix", "x/"]) == 0
    assert "12 annotations of 8 faces" in capsys.readouterr().out
    assert main(["add", b, str(tmp_path / "ls"), "--format", "label-studio", "--json"]) == 0
    (facts,) = json.loads(capsys.readouterr().out).values()
    assert (facts["annotations"], facts["known"], facts["rejected"]) == (4, 8, {})
    assert main(["export", "csv", a, str(tmp_path / "csv")]) == 0
    (tmp_path / "bad.csv").write_text(f"face_id,expression\n{ids[0]},sad\nx,sad\n")
    assert main(["add", b, str(tmp_path / "bad.csv"), "--format", "csv"]) == 0
    assert "1 rejected: unknown face_id (named in" in capsys.readouterr().err
    assert main(["export", "csv", str(drawn.path), str(tmp_path / "of-dataset")]) == 0
    assert main(["export", "affectnet8", a, str(tmp_path / "no")]) == 1
    assert "as annotations, csv, label-studio" in capsys.readouterr().err
    assert main(["export", "label-studio", str(drawn.path), str(tmp_path / "no")]) == 1
    assert "for the annotations of a project" in capsys.readouterr().err
    faces_table = str(drawn.path / "faces.parquet")
    assert main(["add", b, faces_table, "--format", "annotations"]) == 1
    assert "a column 'annotator'" in capsys.readouterr().err
    assert main(["add", b, str(tmp_path / "csv"), "--format", "csv", "--prefix", "x"]) == 1
    assert main(["add", b, str(tmp_path / "csv"), "--from-name", "expression=x"]) == 1
