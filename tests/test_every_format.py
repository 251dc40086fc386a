"""What every format keeps to; a new file in `formats/` is tested here at once."""

from __future__ import annotations

import inspect
import os
import shutil
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from format_builders import bytes_by_id, make_dataset, rows_by_id
from openaffect import lookup
from openaffect.errors import DestinationExists, FormatError, InputError, UnknownName
from openaffect.formats import export_dataset, import_dataset
from openaffect.images import SUFFIXES
from openaffect.progress import Progress
from openaffect.schemas import FACES

NAMES = lookup.names("openaffect.formats")
EXPORTED = [name for name in NAMES if hasattr(lookup.load("openaffect.formats", name, ""), "write")]
every = pytest.mark.parametrize("name", NAMES)
every_exported = pytest.mark.parametrize("name", EXPORTED)


def module_of(name: str) -> ModuleType:
    return lookup.load("openaffect.formats", name, "format")


def left_in(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.fixture
def whole(tmp_path):
    """A dataset with values in every column."""
    return make_dataset(tmp_path / "whole")


def test_the_seven_formats_are_there():
    both_ways = {"affectnet", "affectnet8", "affectnet-plus", "ferplus", "folders", "csv"}
    assert both_ways <= {*EXPORTED}
    assert {*NAMES} - {*EXPORTED} == {"fer2013"}


def test_a_format_without_a_way_back_says_so(whole, tmp_path):
    with pytest.raises(InputError, match="fer2013 can only be imported"):
        export_dataset("fer2013", whole, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@every
def test_states_what_it_is(name):
    module = module_of(name)
    assert {*FACES.names} >= module.COLUMNS
    assert {"face_id", "expression"} <= module.COLUMNS
    assert len(module.LAYOUT) > 20
    assert module.LICENSE is None or isinstance(module.LICENSE, str)
    assert list(inspect.signature(module.read).parameters)[:2] == ["source", "writer"]
    if name in EXPORTED:
        parameters = list(inspect.signature(module.write).parameters)
        assert parameters[:3] == ["dataset", "folder", "summary"]


@every
def test_is_documented_with_all_its_options(name):
    text = (Path(__file__).parents[1] / "docs" / "formats.md").read_text(encoding="utf-8")
    assert f"## `{name}`" in text
    section = text.split(f"## `{name}`")[1].split("\n## ")[0]
    module = module_of(name)
    options = {
        option
        for function in (module.find, module.read, getattr(module, "write", module.find))
        for option, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    assert {option for option in options if f"`{option}`" not in section} == set()


@every_exported
def test_export_then_import_is_the_identity(name, whole, tmp_path):
    """First export → import may give ids of the format's own form; from then on nothing changes."""
    module = module_of(name)
    export_dataset(name, whole, tmp_path / "out1")
    first, summary = import_dataset(name, tmp_path / "out1", tmp_path / "first")
    assert (summary.rows, summary.rejected.total(), summary.warnings["no landmarks"]) == (24, 0, 0)
    export_dataset(name, first, tmp_path / "out2")
    second, _ = import_dataset(name, tmp_path / "out2", tmp_path / "second")
    columns = sorted(module.COLUMNS)
    assert rows_by_id(first, columns) == rows_by_id(second, columns)
    assert bytes_by_id(first) == bytes_by_id(second)
    assert first.fingerprint() == second.fingerprint()


@every_exported
def test_the_first_export_already_keeps_values_and_pictures(name, whole, tmp_path):
    module = module_of(name)
    export_dataset(name, whole, tmp_path / "out")
    back, _ = import_dataset(name, tmp_path / "out", tmp_path / "back")
    # A crop moves the landmarks with its pixels, and ids may take the format's own form.
    moved = {"landmarks"} if module.FIXED_SIZE else set()
    columns = sorted(module.COLUMNS - {"face_id", "image"} - moved)
    before = sorted(map(repr, whole.faces.select(columns).to_pylist()))
    assert sorted(map(repr, back.faces.select(columns).to_pylist())) == before
    if module.FIXED_SIZE is None:
        assert sorted(bytes_by_id(back).values()) == sorted(bytes_by_id(whole).values())
    else:
        shapes = {back.image(row).shape for row in range(len(back))}
        assert shapes == {(*module.FIXED_SIZE[::-1], 3)}


@every_exported
def test_ids_that_end_like_a_picture_lose_no_row(name, whole, tmp_path):
    """As FER+ names its faces; both endings, and the one that the picture does not have."""
    ids = [f"face{n}{('.png', '.jpg')[n // 2 % 2]}" for n in range(len(whole))]
    export_dataset(name, whole.with_column("face_id", ids), tmp_path / "out")
    back, summary = import_dataset(name, tmp_path / "out", tmp_path / "back")
    assert (len(back), summary.rejected) == (24, {})
    if module_of(name).FIXED_SIZE is None:
        assert sorted(bytes_by_id(back).values()) == sorted(bytes_by_id(whole).values())


@every_exported
def test_names_every_column_that_it_drops(name, whole, tmp_path):
    summary = export_dataset(name, whole, tmp_path / "out")
    expected = [c for c in FACES.names if c not in module_of(name).COLUMNS and c != "image"]
    assert list(summary.dropped) == expected
    assert (summary.rows, summary.left_out.total()) == (24, 0)


@every_exported
@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz"])
def test_an_archive_gives_the_same_dataset_with_pictures_only(name, ending, whole, tmp_path):
    export_dataset(name, whole, tmp_path / "out")
    archive = tmp_path / f"packed{ending}"
    if ending == ".zip":
        with zipfile.ZipFile(archive, "w") as file:
            for path in sorted((tmp_path / "out").rglob("*")):
                file.write(path, Path("wrapped") / path.relative_to(tmp_path / "out"))
    else:
        with tarfile.open(archive, "w:gz" if ending.endswith("gz") else "w") as file:
            file.add(tmp_path / "out", "wrapped")
    from_folder, _ = import_dataset(name, tmp_path / "out", tmp_path / "a")
    from_archive, _ = import_dataset(name, archive, tmp_path / "b")
    assert from_archive.fingerprint() == from_folder.fingerprint()
    assert bytes_by_id(from_archive) == bytes_by_id(from_folder)
    assert from_archive.images_folder == tmp_path / "b" / "images"
    assert left_in(tmp_path / "b") == ["README.md", "dataset.json", "faces.parquet", "images"]
    files = [path for path in (tmp_path / "b" / "images").rglob("*") if path.is_file()]
    assert len(files) == 24
    assert {path.suffix.lower() for path in files} <= {*SUFFIXES}


@every_exported
def test_copied_pictures_outlive_the_source_and_linked_ones_are_named(name, whole, tmp_path):
    export_dataset(name, whole, tmp_path / "out")
    linked, _ = import_dataset(name, tmp_path / "out", tmp_path / "linked")
    copied, _ = import_dataset(name, tmp_path / "out", tmp_path / "copied", images="copy")
    assert Path(linked.info.images).is_absolute()
    assert not (tmp_path / "linked" / "images").exists()
    before = bytes_by_id(linked)
    shutil.rmtree(tmp_path / "out")
    assert bytes_by_id(copied) == before
    assert copied.info.images == "images"


@every_exported
def test_a_failed_export_leaves_nothing(name, whole, tmp_path):
    whole.image_paths[-1].unlink()
    with pytest.raises(InputError, match="expected a picture"):
        export_dataset(name, whole, tmp_path / "target" / "out")
    assert left_in(tmp_path / "target") == []


@every
def test_a_failed_import_leaves_nothing(name, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "target").mkdir()
    with pytest.raises(FormatError, match="empty"):
        import_dataset(name, tmp_path / "empty", tmp_path / "target" / "data")
    with pytest.raises(FormatError, match="no such file or folder"):
        import_dataset(name, tmp_path / "nowhere", tmp_path / "target" / "data")
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK\x03\x04 and nothing else")
    with pytest.raises(FormatError, match="no whole archive"):
        import_dataset(name, broken, tmp_path / "target" / "data")
    assert left_in(tmp_path / "target") == []


@every_exported
def test_an_import_whose_every_picture_is_gone_says_so_and_leaves_nothing(name, whole, tmp_path):
    export_dataset(name, whole, tmp_path / "out")
    pictures = [p for p in (tmp_path / "out").rglob("*") if p.suffix in SUFFIXES]
    assert len(pictures) == 24
    for path in pictures:
        path.write_bytes(b"")
    (tmp_path / "target").mkdir()
    with pytest.raises(InputError, match="24 rows rejected: empty picture"):
        import_dataset(name, tmp_path / "out", tmp_path / "target" / "data")
    assert left_in(tmp_path / "target") == []


@every_exported
def test_an_existing_destination_is_refused_and_replaced_on_request(name, whole, tmp_path):
    export_dataset(name, whole, tmp_path / "out")
    with pytest.raises(DestinationExists):
        export_dataset(name, whole, tmp_path / "out")
    export_dataset(name, whole, tmp_path / "out", overwrite=True)
    import_dataset(name, tmp_path / "out", tmp_path / "data")
    with pytest.raises(DestinationExists):
        import_dataset(name, tmp_path / "out", tmp_path / "data")
    again, _ = import_dataset(name, tmp_path / "out", tmp_path / "data", overwrite=True)
    assert len(again) == 24


@every_exported
def test_an_unknown_option_is_refused_by_name(name, whole, tmp_path):
    with pytest.raises(InputError, match=f"format {name} has no option 'color'"):
        import_dataset(name, tmp_path, tmp_path / "data", color="red")
    with pytest.raises(InputError, match=f"format {name} has no option 'color'"):
        export_dataset(name, whole, tmp_path / "out", color="red")


@every_exported
def test_progress_counts_every_row(name, whole, tmp_path):
    export_dataset(name, whole, tmp_path / "out")
    seen: list[Progress] = []
    import_dataset(name, tmp_path / "out", tmp_path / "data", on_progress=seen.append)
    assert seen[-1].done == 24


@every_exported
def test_says_which_format_a_source_looks_like(name, whole, tmp_path):
    export_dataset(name, whole, tmp_path / "out")
    wrong = next(other for other in ("affectnet-plus", "affectnet8") if other != name)
    with pytest.raises(FormatError, match=f"looks like .*{name}"):
        import_dataset(wrong, tmp_path / "out", tmp_path / "data")


def test_an_unknown_format_answers_with_the_nearest(tmp_path):
    with pytest.raises(UnknownName, match="did you mean 'ferplus'"):
        import_dataset("fer-plus", tmp_path, tmp_path / "data")
