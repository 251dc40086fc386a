"""Releases: crops alone, only what licenses allow, the same bytes again, and back as they were."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from freezing_builders import draw_picture, make_dataset
from openaffect.dataset import Dataset, open_dataset
from openaffect.errors import DestinationExists, FormatError, InputError, UnknownName
from openaffect.faces.crops import Window
from openaffect.formats import import_dataset
from openaffect.image_links import list_releases
from openaffect.images import encode_image, read_image
from openaffect.labels import Expression
from openaffect.publishing import (
    ReleaseOptions,
    layout_names,
    release_dataset,
    verify_release,
)
from openaffect.publishing.layouts import huggingface
from openaffect.publishing.layouts.webdataset import encode_key
from openaffect.synthetic.dataset import synthesize_dataset
from openaffect.withdrawals import Withdrawals, describe_withdrawal, write_withdrawn

_RAI = {
    *("dataCollection", "dataCollectionType", "dataCollectionMissingData", "dataCollectionRawData"),
    *("dataCollectionTimeframe", "dataImputationProtocol", "dataPreprocessingProtocol"),
    *("dataManipulationProtocol", "dataAnnotationProtocol", "dataAnnotationPlatform"),
    *("dataAnnotationAnalysis", "annotationsPerItem", "annotatorDemographics"),
    *("machineAnnotationTools", "dataBiases", "dataUseCases", "dataLimitations"),
    *("dataSocialImpact", "personalSensitiveInformation", "dataReleaseMaintenancePlan"),
}
"""The properties of http://mlcommons.org/croissant/RAI/1.0."""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Dataset:
    """Twelve synthetic faces in larger images, with boxes and landmarks, that may be given on."""
    place = tmp_path_factory.mktemp("drawn")
    counts = {
        "train": {Expression.HAPPY: 3, Expression.SAD: 3},
        "validation": {Expression.HAPPY: 2},
        "test": {Expression.SAD: 2, Expression.CONTEMPT: 2},
    }
    return synthesize_dataset(place / "made", counts, size=128, seed=3, workers=1)


@pytest.fixture(scope="module")
def released(drawn, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("release") / "r"
    release_dataset(drawn.path, path, ReleaseOptions(contact="lab@example.org"))
    return path


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _imported(released: Path, name: str, tmp_path: Path) -> Dataset:
    source = released / name
    if name == "affectnet8":
        source = tmp_path / "unpacked"
        for archive in (released / name).glob("*.tar"):
            with tarfile.open(archive) as tar:
                tar.extractall(source / archive.stem, filter="data")
        for file in (released / name).glob("*.csv"):
            (source / file.name).write_bytes(file.read_bytes())
    dataset, summary = import_dataset(name, source, tmp_path / name)
    assert not summary.rejected
    return dataset


@pytest.mark.parametrize("name", ["affectnet", "affectnet8", "affectnet-plus"])
def test_what_was_released_imports_back(name, drawn, released, tmp_path):
    """Labels are equal, and landmarks within a hundredth of a pixel where they were in the image."""
    back = _imported(released, name, tmp_path)
    assert len(back) == len(drawn)
    windows: dict[str, tuple[Window, tuple[int, int]]] = {}
    names: dict[str, str] = {}
    for row in _read(released / "id_map.csv"):
        if row["layout"] == name:
            place = Window(*(int(row[key]) for key in ("x", "y", "width", "height")))
            size = int(row["output_width"]), int(row["output_height"])
            windows[row["face_id"]] = place, size
            names[row["face_id"]] = row["name"]
    assert set(windows) == set(drawn.ids)
    before = {row["face_id"]: row for row in drawn.faces.to_pylist()}
    stem = {Path(name.rpartition(":")[2]).stem: face_id for face_id, name in names.items()}
    if name == "affectnet8":
        sets = {"train": "train_set", "val": "val_set", "test": "test_set"}
        stem = {}
        for face_id, place_name in names.items():
            archive, _, inside = place_name.partition(":")
            short = next(key for key, value in sets.items() if archive == f"{value}.tar")
            stem[f"{short}/{Path(inside).stem}"] = face_id
    checked = 0
    for row in back.faces.to_pylist():
        known = stem[row["face_id"]] if name == "affectnet8" else stem[Path(row["face_id"]).name]
        old = before[known]
        assert row["expression"] == old["expression"]
        assert row["split"] == old["split"]
        assert row["valence"] == pytest.approx(old["valence"], abs=1e-6)
        window, size = windows[known]
        points = window.from_crop(np.array(row["landmarks"]).reshape(-1, 2), *size)
        assert np.abs(points - np.array(old["landmarks"]).reshape(-1, 2)).max() < 0.01
        checked += 1
    assert checked == 12


def test_pictures_are_crops_of_the_published_rule(drawn, released):
    rows = [row for row in _read(released / "id_map.csv") if row["layout"] == "affectnet"]
    boxes = dict(zip(drawn.ids, drawn.lists("box"), strict=True))
    images = dict(zip(drawn.ids, drawn.image_paths, strict=True))
    assert len(rows) == 12
    for row in rows:
        x, y, w, h = boxes[row["face_id"]]
        side = 1.3 * max(w, h)
        assert int(row["width"]) == int(row["height"]) == round(side)
        assert abs(int(row["x"]) - (x + w / 2 - side / 2)) <= 1
        assert abs(int(row["y"]) - (y + h / 2 - side / 2)) <= 1
        crop = read_image(released / "affectnet" / row["name"])
        assert crop.shape[:2] == (int(row["height"]), int(row["width"]))
        image = read_image(images[row["face_id"]])
        # The pixels of the image where the window lies inside of it, but for JPEG.
        top, left = max(int(row["y"]), 0), max(int(row["x"]), 0)
        piece = image[top : int(row["y"]) + crop.shape[0], left : int(row["x"]) + crop.shape[1]]
        inside = crop[top - int(row["y"]) :, left - int(row["x"]) :][: len(piece), : piece.shape[1]]
        assert np.abs(inside.astype(int) - piece).mean() < 4


def test_two_releases_are_the_same_bytes(drawn, released, tmp_path):
    release_dataset(drawn.path, tmp_path / "again", ReleaseOptions(contact="lab@example.org"))
    first, second = _files(released), _files(tmp_path / "again")
    assert first.keys() == second.keys()
    assert {name for name in first if first[name] != second[name]} == set()
    assert sum(name.endswith(".tar") for name in first) >= 6


def test_the_manifest_tells_what_is_not_as_it_was(released, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(released, copy)
    assert verify_release(copy) == []
    (copy / "README.md").write_text("other")
    (copy / "more.txt").write_text("more")
    (copy / "croissant.json").unlink()
    assert verify_release(copy) == [
        "README.md has changed",
        "croissant.json is missing",
        "more.txt is not in the manifest",
    ]
    (copy / "MANIFEST.sha256").write_text("nonsense\n")
    with pytest.raises(FormatError, match="line 1"):
        verify_release(copy)
    with pytest.raises(FormatError, match="MANIFEST"):
        verify_release(tmp_path)


def test_only_what_licenses_allow_is_shown(tmp_path):
    licenses = {0: "CC BY 4.0", 1: "by-nc", 2: "CC BY-ND 4.0", 3: "All rights reserved", 5: "CC0"}
    dataset = make_dataset(
        tmp_path / "d",
        ["sad"] * 6,
        license=licenses,
        author={0: "Ada"},
        title={0: 'A, "face"'},
        url={0: "https://example.org/1.jpg"},
        restrictions={5: "personality"},
    )
    done = release_dataset(dataset.path, tmp_path / "r")
    assert (done.faces, done.pictures, done.personality) == (6, 2, 1)
    assert done.licenses == {"CC-BY-4.0": 1, "CC0-1.0": 1}
    assert done.without.total() == 4
    assert done.without["no license"] == 1
    shown = {row["face_id"] for row in _read(tmp_path / "r" / "id_map.csv")}
    assert shown == {"f00", "f05"}
    assert len(open_dataset(tmp_path / "r" / "table")) == 6
    first = _read(tmp_path / "r" / "ATTRIBUTION.csv")[0]
    assert first == {
        "face_id": "f00",
        "title": 'A, "face"',
        "author": "Ada",
        "source": "https://example.org/1.jpg",
        "license": "CC-BY-4.0",
        "license_url": "https://creativecommons.org/licenses/by/4.0/",
    }
    more = release_dataset(dataset.path, tmp_path / "nc", ReleaseOptions(non_commercial=True))
    assert more.pictures == 3
    assert "non-commercial" in (tmp_path / "nc" / "index.html").read_text()
    nothing = release_dataset(dataset.path, tmp_path / "none", ReleaseOptions(pixels="none"))
    assert (nothing.pictures, nothing.layouts) == (0, {})
    pictures = [*(tmp_path / "none").rglob("*.png"), *(tmp_path / "none").rglob("*.jpg")]
    assert pictures == []
    with pytest.raises(InputError, match="because"):
        release_dataset(dataset.path, tmp_path / "all", ReleaseOptions(pixels="all"))
    everything = release_dataset(
        dataset.path, tmp_path / "all", ReleaseOptions(pixels="all", because="for the lab")
    )
    assert everything.pictures == 6
    assert open_dataset(tmp_path / "all" / "table").info.shareable is False
    assert open_dataset(tmp_path / "r" / "table").info.shareable is True
    for page in ("README.md", "index.html"):
        text = (tmp_path / "all" / page).read_text()
        assert "rivate" in text
        assert "for the lab" in text
    assert "<img" not in (tmp_path / "all" / "index.html").read_text()
    assert "<img" in (tmp_path / "r" / "index.html").read_text()


def test_a_release_that_would_show_nothing_is_refused(tmp_path):
    dataset = make_dataset(tmp_path / "d", ["sad"] * 2)
    with pytest.raises(InputError, match="no license: 2"):
        release_dataset(dataset.path, tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_withdrawn_faces_are_left_out_and_the_hashes_go_along(tmp_path):
    import datetime

    dataset = make_dataset(tmp_path / "d", ["sad"] * 4, license=dict.fromkeys(range(4), "CC0"))
    rows = describe_withdrawal(datetime.date(2026, 1, 2), face_ids=["f01"])
    write_withdrawn(Withdrawals(rows), dataset.path / "withdrawn.csv")
    other = Withdrawals(describe_withdrawal(datetime.date(2026, 1, 2), face_ids=["f02"]))
    write_withdrawn(other, tmp_path / "more.csv")
    first = release_dataset(dataset.path, tmp_path / "one")
    assert first.withdrawn == 1
    done = release_dataset(
        dataset.path,
        tmp_path / "two",
        ReleaseOptions(version="1.1"),
        previous=tmp_path / "one",
        withdrawn=[tmp_path / "more.csv"],
    )
    assert done.withdrawn == 2
    assert open_dataset(tmp_path / "two" / "table").ids == ["f00", "f03"]
    assert "f02" not in "".join(
        path.read_text(errors="replace") for path in (tmp_path / "two").glob("*.*")
    )
    changes = _read(tmp_path / "two" / "CHANGES.csv")
    assert [row["change"] for row in changes] == ["withdrawn"]
    assert len((tmp_path / "two" / "withdrawn.csv").read_text().splitlines()) == 3
    assert [row["version"] for row in list_releases(dataset.path)] == ["1.0", "1.1"]


def test_changes_against_the_release_before(tmp_path):
    licenses = dict.fromkeys(range(5), "CC0")
    splits = {0: "test", 1: "train", 2: "train", 3: "train"}
    first = make_dataset(tmp_path / "d1", ["sad"] * 4, license=licenses, split=splits)
    release_dataset(first.path, tmp_path / "r1", ReleaseOptions(layouts=("webdataset",)))
    second = make_dataset(
        tmp_path / "d2",
        ["sad", "fear", "sad", "sad", "happy"],
        license=licenses,
        split=splits | {2: "validation", 4: "train"},
    )
    done = release_dataset(
        second.path,
        tmp_path / "r2",
        ReleaseOptions(layouts=("webdataset",)),
        previous=tmp_path / "r1",
    )
    assert done.changes == {"added": 1, "relabeled": 1, "moved": 1, "withdrawn": 0}
    rows = {row["face_id"]: row for row in _read(tmp_path / "r2" / "CHANGES.csv")}
    assert rows["f01"]["before"].startswith("sad")
    assert rows["f01"]["after"].startswith("fear")
    third = make_dataset(
        tmp_path / "d3", ["sad"] * 2, license=licenses, split={0: "train", 1: "train"}
    )
    with pytest.raises(InputError, match="f00 was in the test split"):
        release_dataset(third.path, tmp_path / "r3", previous=tmp_path / "r1")


def test_hugging_face_reads_the_folder(released):
    pytest.importorskip("datasets")
    code = (
        "import sys, datasets\n"
        "for place in (sys.argv[1], sys.argv[1] + '/huggingface'):\n"
        "    found = datasets.load_dataset(place)\n"
        "    row = found['test'][0]\n"
        "    print({k: len(v) for k, v in found.items()}, row['image'].size, row['face_id'])\n"
    )
    env = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(released.parent / "hf"), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code, str(released)],
        capture_output=True,
        text=True,
        env=env,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.strip().splitlines()
    assert len(lines) == 2
    assert all("'test': 4" in line and "'train': 6" in line for line in lines)


def test_rows_of_parquet_are_numbered_through_row_groups_and_shards(drawn, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface, "_GROUP", 2)
    monkeypatch.setattr(huggingface, "_SHARD", 4)
    release_dataset(drawn.path, tmp_path / "r", ReleaseOptions(layouts=("huggingface",)))
    names = [row["name"] for row in _read(tmp_path / "r" / "id_map.csv")]
    assert names[:6] == [
        *(f"data/train-00000-of-00002.parquet#{number}" for number in range(4)),
        *(f"data/train-00001-of-00002.parquet#{number}" for number in range(2)),
    ]
    ids = []
    for number in (0, 1):
        file = tmp_path / "r" / "huggingface" / "data" / f"train-0000{number}-of-00002.parquet"
        ids += pq.read_table(file)["face_id"].to_pylist()
    assert ids == drawn.where(split="train").ids


def test_the_shards_of_parquet_hold_the_crops(released):
    table = pq.read_table(released / "huggingface" / "data" / "train-00000-of-00001.parquet")
    assert table.num_rows == 6
    hashes = {row["name"]: row["sha256"] for row in _read(released / "id_map.csv")}
    import hashlib

    for number, picture in enumerate(table["image"].to_pylist()):
        name = f"data/train-00000-of-00001.parquet#{number}"
        assert hashlib.sha256(picture["bytes"]).hexdigest() == hashes[name]


def test_archives_have_no_times_and_no_owners(released):
    archives = sorted(released.rglob("*.tar"))
    assert len(archives) == 6
    for archive in archives:
        with tarfile.open(archive) as tar:
            assert tar.format == tarfile.USTAR_FORMAT or tar.pax_headers == {}
            members = tar.getmembers()
        assert members
        assert {(one.mtime, one.uid, one.gid, one.uname, one.mode) for one in members} == {
            (0, 0, 0, "", 0o644)
        }
        assert archive.read_bytes()[257:265] == b"ustar\x0000"


def test_samples_of_webdataset(released, drawn):
    with tarfile.open(released / "webdataset" / "train-000000.tar") as tar:
        names = tar.getnames()
        notes = [json.loads(tar.extractfile(name).read()) for name in names if ".json" in name]
    assert len(names) == 12
    keys = [name.split(".")[0] for name in names]  # as its readers split them
    assert [keys[n] == keys[n + 1] for n in range(0, 12, 2)] == [True] * 6
    wanted = drawn.where(split="train")
    assert sorted(one["face_id"] for one in notes) == sorted(wanted.ids)


def test_keys_of_webdataset_are_one_per_face():
    names = ["a.b", "a/b", "a%2Eb", "a b", "a_b", "A.b", "ä", "~"]
    keys = [encode_key(name) for name in names]
    assert len({*keys}) == len(names)
    assert all("." not in key and "/" not in key for key in keys)
    with pytest.raises(InputError, match="too long"):
        encode_key("x" * 96)
    assert len(encode_key("x" * 95)) == 95


def test_names_that_ustar_cannot_hold_are_refused(tmp_path):
    from openaffect.publishing.layouts._archives import TarWriter

    with TarWriter(tmp_path / "a.tar") as archive:
        archive.add("d" * 99 + "/" + "f" * 99, b"x")
        with pytest.raises(InputError, match="tar archive"):
            archive.add("f" * 101, b"x")


def test_two_faces_that_would_be_one_file_are_refused(tmp_path):
    dataset = make_dataset(tmp_path / "d", ["sad"] * 2, license=dict.fromkeys(range(2), "CC0"))
    same = dataset.with_column("face_id", ["a//b", "A/b"])
    from openaffect.dataset import save_dataset

    save_dataset(same, tmp_path / "same")
    with pytest.raises(InputError, match="two faces would have the file"):
        release_dataset(tmp_path / "same", tmp_path / "r")


def test_what_a_camera_noted_does_not_go_along(tmp_path):
    data = encode_image(draw_picture(0), ".jpg")
    noted = data[:2] + b"\xff\xe1\x00\x20Exif\0\0" + b"GPS-secret".ljust(24, b"\0") + data[2:]
    plain = encode_image(draw_picture(1), ".jpg")
    dataset = make_dataset(
        tmp_path / "d",
        ["sad"] * 2,
        license=dict.fromkeys(range(2), "CC0"),
        pictures={0: noted, 1: plain},
    )
    release_dataset(dataset.path, tmp_path / "r", ReleaseOptions(layouts=("affectnet",)))
    files = _files(tmp_path / "r" / "affectnet")
    assert not any(b"GPS-secret" in content for content in files.values())
    assert any(content == plain for content in files.values())  # not encoded once more


def test_whole_photographs_are_given_when_asked_for(drawn, tmp_path):
    options = ReleaseOptions(layouts=("affectnet",), whole=True)
    release_dataset(drawn.path, tmp_path / "r", options)
    rows = _read(tmp_path / "r" / "id_map.csv")
    assert {(row["x"], row["width"]) for row in rows} == {("0", "128")}
    back, _ = import_dataset("affectnet", tmp_path / "r" / "affectnet", tmp_path / "back")
    boxes = [np.sort(one.lists("box")[:, 0]) for one in (back, drawn)]
    assert np.abs(boxes[0] - boxes[1]).max() < 1e-3
    assert "other people" in (tmp_path / "r" / "README.md").read_text()


def test_labels_of_a_model_go_to_the_automatic_list(tmp_path):
    dataset = make_dataset(
        tmp_path / "d",
        ["sad"] * 3,
        license=dict.fromkeys(range(3), "CC0"),
        split=dict.fromkeys(range(3), "train"),
        expression_origin={1: "model"},
    )
    release_dataset(dataset.path, tmp_path / "r", ReleaseOptions(layouts=("affectnet",)))
    lists = {path.name: path for path in (tmp_path / "r").rglob("*.csv")}
    assert len(_read(lists["automatically_annotated.csv"])) == 1
    assert len(_read(lists["training.csv"])) == 2


def test_a_dataset_that_changes_meanwhile_is_noticed(tmp_path, monkeypatch):
    dataset = make_dataset(tmp_path / "d", ["sad"] * 2, license=dict.fromkeys(range(2), "CC0"))
    other = make_dataset(tmp_path / "e", ["fear"] * 2, license=dict.fromkeys(range(2), "CC0"))
    from openaffect.publishing import release

    real = release._write_attribution

    def change(*given: Any) -> None:
        table = (other.path / "faces.parquet").read_bytes()
        (dataset.path / "faces.parquet").write_bytes(table)
        real(*given)

    monkeypatch.setattr(release, "_write_attribution", change)
    with pytest.raises(InputError, match="changed while"):
        release_dataset(dataset.path, tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_bad_wishes_are_refused(drawn, released, tmp_path):
    with pytest.raises(DestinationExists):
        release_dataset(drawn.path, released)
    with pytest.raises(UnknownName, match="webdataset"):
        release_dataset(drawn.path, tmp_path / "r", ReleaseOptions(layouts=("webdatset",)))
    with pytest.raises(UnknownName, match="licensed"):
        release_dataset(drawn.path, tmp_path / "r", ReleaseOptions(pixels="some"))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="version"):
        release_dataset(drawn.path, tmp_path / "r", ReleaseOptions(version="v1"))
    with pytest.raises(FormatError, match="dataset"):
        release_dataset(drawn.path, tmp_path / "r", previous=tmp_path)
    assert not (tmp_path / "r").exists()
    assert layout_names() == (
        "affectnet",
        "affectnet-plus",
        "affectnet8",
        "huggingface",
        "webdataset",
    )


def test_the_card_says_what_was_recorded_and_what_was_not(tmp_path):
    dataset = make_dataset(tmp_path / "d", ["sad"] * 2, license=dict.fromkeys(range(2), "CC0"))
    about = {
        "project": {
            "name": "n",
            "contact": "lab@example.org",
        },
        "rule": "majority",
        "affect_rule": "mean",
        "annotators": 12,
        "labeled_by_several": 36000,
        "label_sources": {"annotators": 2},
        "options": {"splits": "published", "seed": 3},
    }
    (dataset.path / "freeze.json").write_text(json.dumps(about))
    release_dataset(dataset.path, tmp_path / "r")
    card = (tmp_path / "r" / "README.md").read_text()
    assert "**For what purpose was it made?** *Not recorded.*" in card
    assert "lab@example.org" in card
    assert "36,000" in card
    page = (tmp_path / "r" / "index.html").read_text()
    assert "lab@example.org" in page
    croissant = json.loads((tmp_path / "r" / "croissant.json").read_text())
    said = {name.removeprefix("rai:") for name in croissant if name.startswith("rai:")}
    assert said <= _RAI
    assert {"dataLimitations", "annotatorDemographics", "dataAnnotationProtocol"} <= said
    assert croissant["conformsTo"] == [
        "http://mlcommons.org/croissant/1.1",
        "http://mlcommons.org/croissant/RAI/1.0",
    ]


def test_the_head_of_the_card_is_yaml_that_hugging_face_takes(released):
    yaml = pytest.importorskip("yaml")
    text = (released / "README.md").read_text()
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["license"] == "cc0-1.0"
    assert [one["split"] for one in head["configs"][0]["data_files"]] == [
        "train",
        "validation",
        "test",
    ]
    hub = pytest.importorskip("huggingface_hub")
    card = hub.DatasetCard(text)
    assert card.data.license == "cc0-1.0"


def test_counts_on_the_page_are_those_of_the_table(released, drawn):
    counts = Counter(drawn.column("expression").to_pylist())
    page = (released / "index.html").read_text()
    assert f"<b>{len(drawn)}</b> faces" in page
    assert counts["happy"] == 5
    assert 'happy</td><td class="k-n">5</td>' in page
    assert "http" not in page.split("<body>")[1].replace("https://", "")


def test_the_images_of_the_release_hold_no_bit_of_the_photograph_around(tmp_path):
    """Whatever lies outside of the window is nowhere in the release."""
    image = np.full((200, 200, 3), 128, np.uint8)
    cv2.rectangle(image, (150, 150), (199, 199), (255, 0, 0), -1)  # another person, in red
    image[20:60, 20:60] = draw_picture(3, 40)
    dataset = make_dataset(
        tmp_path / "d",
        ["sad"],
        license={0: "CC0"},
        pictures={0: encode_image(image)},
        box={0: [25, 25, 30, 30]},
    )
    release_dataset(dataset.path, tmp_path / "r")
    pictures = [*(tmp_path / "r").rglob("*.jpg"), *(tmp_path / "r").rglob("*.png")]
    assert pictures
    for path in pictures:
        found = read_image(path)
        assert max(found.shape) < 60
