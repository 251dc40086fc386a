"""Analysis: synthetic faces, dirt and several faces through a model with known weights."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from PIL import Image

from builders import tiny_model, tiny_outputs
from openaffect.analysis import Analysis, analysis_schema, analyze, iterate_rows
from openaffect.analysis.analyzing import AnalysisOptions
from openaffect.analysis.judging import FrameResult, _RowBuilder
from openaffect.analysis.pictures import Picture
from openaffect.analysis.sources import open_sources
from openaffect.errors import DestinationExists, InputError, UnknownName
from openaffect.faces.boxes import Box
from openaffect.faces.crops import CropRule, crop
from openaffect.faces.finding import find_faces
from openaffect.images import encode_image, read_image
from openaffect.labels import EMOTIONS
from openaffect.model import open_model
from openaffect.progress import Progress
from openaffect.synthetic import synthesize_face

SEED = 2  # a frontal face that the cascade finds at every size used here


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return open_model(tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx"))


@pytest.fixture(scope="module")
def face():
    return synthesize_face("happy", seed=SEED, size=160).image


@pytest.fixture(scope="module")
def two_faces(face):
    """A large face on the left, a small one on the right."""
    small = synthesize_face("anger", seed=SEED, size=112).image
    picture = np.full((180, 300, 3), 128, np.uint8)
    picture[10:170, 10:170] = face
    picture[30:142, 180:292] = small
    return picture


def look(source, model, **options):
    return analyze(source, model, detector="haar", **options)


def write(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_image(image, path.suffix, **options))
    return path


def test_a_row_holds_what_the_model_says_of_the_crop(face, model):
    row = look(face, model).table.to_pylist()[0]
    found = find_faces(face, "haar")[0]
    probabilities, affect = tiny_outputs(crop(face, found.box, CropRule(), (32, 32)))
    assert row["source"] == "array[0]"
    assert (row["status"], row["error"], row["face_index"]) == ("ok", None, 0)
    assert row["frame"] is row["time_s"] is row["track_id"] is row["landmarks"] is None
    assert row["detector"] == "haar"
    assert row["box"] == pytest.approx([found.box.x, found.box.y, found.box.w, found.box.h])
    assert row["score"] == pytest.approx(found.score)
    got = [row[f"p_{label}"] for label in EMOTIONS]
    np.testing.assert_allclose(got, probabilities, atol=2e-6)
    assert row["expression"] == EMOTIONS[int(np.argmax(probabilities))]
    assert row["confidence"] == max(got)
    np.testing.assert_allclose([row["valence"], row["arousal"]], affect, atol=2e-6)


def test_two_faces_are_two_rows_largest_first(two_faces, model):
    rows = look(two_faces, model).table.to_pylist()
    assert [row["face_index"] for row in rows] == [0, 1]
    assert rows[0]["box"][0] < 170 < rows[1]["box"][0]
    for row in rows:
        expected = tiny_outputs(crop(two_faces, Box(*row["box"]), CropRule(), (32, 32)))[1]
        np.testing.assert_allclose([row["valence"], row["arousal"]], expected, atol=0.01)


def test_the_rule_of_the_card_frames_the_face(face, tmp_path):
    affect = []
    for margin in (0.0, 0.6):
        rule = CropRule(margin=margin, border="black")
        wide = open_model(tiny_model(tmp_path / f"{margin}.onnx", crop=rule))
        row = look(face, wide).table.to_pylist()[0]
        found = find_faces(face, "haar")[0].box
        affect.append(row["valence"])
        expected = tiny_outputs(crop(face, found, rule, (32, 32)))[1][0]
        assert row["valence"] == pytest.approx(expected, abs=2e-6)
    assert abs(affect[0] - affect[1]) > 0.02


def test_dirt_is_rows_and_never_the_end(face, model, tmp_path):
    whole = encode_image(face, ".jpg")
    write(tmp_path / "first.png", face)
    (tmp_path / "zero.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2])
    write(tmp_path / "pixel.png", np.full((1, 1, 3), 9, np.uint8))
    write(tmp_path / "plain.png", np.full((90, 90, 3), 200, np.uint8))
    (tmp_path / "film.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    write(tmp_path / "last.png", face)
    (tmp_path / "nothing").mkdir()
    expected = {
        "first.png": ("ok", None),
        "zero.jpg": ("error", "empty picture (0 bytes)"),
        "text.jpg": ("error", "not a picture (unknown first bytes)"),
        "half.jpg": ("error", "truncated"),
        "pixel.png": ("no_face_found", None),
        "plain.png": ("no_face_found", None),
        "gone.jpg": ("error", "there is no such file"),
        "film.mp4": ("error", "unreadable video (Invalid data found"),
        "nothing": ("error", "the folder holds no picture"),
        "*.webp": ("error", "no file matches the pattern"),
        "a\0b.jpg": ("error", "no such file"),
        "ftp://a.b/c.jpg": ("error", "expected an http or https address"),
        "last.png": ("ok", None),
    }
    sources = [n if "://" in n else str(tmp_path / n) for n in expected]
    rows = look(sources, model).table.to_pylist()
    assert [row["source"] for row in rows] == sources
    assert [row["status"] for row in rows] == [status for status, _ in expected.values()]
    for row, (_, reason) in zip(rows, expected.values(), strict=True):
        assert (row["error"] is None) == (reason is None)
        assert (reason or "") in (row["error"] or "")
        assert (row["box"] is None) == (row["expression"] is None) == (row["status"] != "ok")
        assert (row["detector"] is None) == (row["status"] == "error")


def test_everything_in_a_folder_that_may_be_an_image_is_a_row(face, model, tmp_path):
    file = encode_image(face)
    for name in ("photo", "a.jfif", "b.jpe", "c.unknown", "d.HEIC", "e.JPG", "notes.md", ".hidden"):
        (tmp_path / name).write_bytes(file)
    (tmp_path / "Makefile").write_text("all:")
    (tmp_path / "f.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (tmp_path / "page").write_bytes(b"%PDF-1.7")
    rows = {Path(row["source"]).name: row for row in look(tmp_path, model).table.to_pylist()}
    read = {"photo", "a.jfif", "b.jpe", "c.unknown", "d.HEIC", "e.JPG"}
    assert {name for name, row in rows.items() if row["status"] == "ok"} == read
    failed = {name: row["error"] for name, row in rows.items() if name not in read}
    assert failed.keys() == {"f.HEIC", "page"}
    assert "HEIC" in failed["f.HEIC"]
    assert "PDF" in failed["page"]


def test_a_folder_that_cannot_be_searched_is_a_row(face, model, tmp_path, monkeypatch):
    write(tmp_path / "a.png", face)
    (tmp_path / "closed").mkdir()
    write(tmp_path / "closed" / "b.png", face)
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    rows = look(tmp_path, model).table.to_pylist()
    assert [row["status"] for row in rows] == ["ok", "error"]
    assert rows[1]["source"] == str(tmp_path / "closed")
    assert "Permission denied" in rows[1]["error"]


def test_links_are_followed_once(face, tmp_path):
    (tmp_path / "a").mkdir()
    write(tmp_path / "a" / "face.png", face)
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert [s.source for s in open_sources(tmp_path)] == [str(tmp_path / "a" / "face.png")]


def test_a_pil_image_is_taken_like_its_file(face, model, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.fromarray(np.rot90(face))
    turned.save(tmp_path / "a.png", exif=exif)
    clear = Image.fromarray(np.dstack([face, np.full(face.shape[:2], 200, np.uint8)]))
    with Image.open(tmp_path / "a.png") as opened:
        rows = look([opened, tmp_path / "a.png", Image.fromarray(face)], model).table.to_pylist()
    same = [{k: v for k, v in row.items() if k != "source"} for row in rows]
    assert same[0] == same[1] == same[2]
    assert [row["source"] for row in rows][::2] == ["image[0]", "image[1]"]
    assert look(clear, model).table["status"].to_pylist() == ["ok"]


@pytest.mark.parametrize("other", [7, None, b"a.jpg", object()])
def test_what_is_no_source_is_one_error_that_says_what_is(other, model):
    with pytest.raises(InputError, match="PIL image"):
        look(other, model)


@pytest.mark.parametrize(
    "address",
    [
        *("http://[::1", "http://[zz]/", "http://\u2100.example", "http://a b/", "http://:99999/"),
        *("http://127.0.0.1:1/a.jpg", "http://" + "a" * 300 + "/", "http://\ud800.example/"),
    ],
)
def test_an_address_that_is_none_is_a_row(address, model, tmp_path):
    row = look([address, address], model).table.to_pylist()[0]
    assert row["status"] == "error"
    assert "\n" not in row["error"]


def test_an_address_alone_is_a_row_too(model):
    row = look("gopher://a.b/c.jpg", model).table.to_pylist()[0]
    assert row["status"] == "error"


def test_orientation_gray_and_transparency(face, model, tmp_path):
    upright = Image.fromarray(face)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise when shown
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    upright.convert("L").save(tmp_path / "gray.png")
    upright.putalpha(255)
    upright.save(tmp_path / "alpha.png")
    plain = look(face, model).table.to_pylist()[0]
    rows = {
        row["source"].rsplit("/", 1)[-1]: row for row in look(tmp_path, model).table.to_pylist()
    }
    for name in ("turned.png", "alpha.png"):
        assert rows[name]["box"] == plain["box"]
        assert rows[name]["valence"] == plain["valence"]
    gray = rows["gray.png"]
    assert gray["status"] == "ok"
    assert gray["valence"] == pytest.approx(gray["arousal"])  # red is green
    array = look(np.asarray(Image.fromarray(face).convert("L")), model).table.to_pylist()[0]
    assert array["valence"] == gray["valence"]


def test_batches_and_threads_change_nothing(face, two_faces, model):
    sources = [face, two_faces, np.zeros((60, 60, 3), np.uint8), face[:, ::-1], two_faces]
    one = look(sources, model, batch_size=1, workers=1).table
    many = look(sources, model, batch_size=4, workers=3).table
    columns = [name for name in one.column_names if name not in _numbers()]
    assert many.select(columns) == one.select(columns)
    for name in _numbers():
        np.testing.assert_allclose(many[name].to_numpy(), one[name].to_numpy(), atol=1e-6)
    assert one["source"].to_pylist() == [f"array[{n}]" for n in (0, 1, 1, 2, 3, 4, 4)]


def _numbers():
    return [*(f"p_{label}" for label in EMOTIONS), "confidence", "valence", "arousal"]


def test_a_low_confidence_gives_no_expression_but_keeps_the_probabilities(face, model):
    sure = look(face, model).table.to_pylist()[0]
    unsure = look(face, model, min_confidence=sure["confidence"] + 0.01).table.to_pylist()[0]
    assert unsure == sure | {"expression": None}
    assert look(face, model, min_confidence=sure["confidence"] - 0.01).table.to_pylist() == [sure]


def test_outputs_that_are_not_finite_fail_their_row_only(face, tmp_path):
    model = open_model(tiny_model(tmp_path / "nan.onnx", nan_for_black=True))
    row: dict[str, Any] = {"status": "ok", "error": None, "track_id": None}
    other = row | {"valence": None}
    crops = [np.zeros((32, 32, 3), np.uint8), np.full((32, 32, 3), 255, np.uint8)]
    done = FrameResult(Picture("x", 0, 0, lambda: crops[0]), [row, other])
    _RowBuilder(model, AnalysisOptions(detector="haar"))([done], crops)
    assert row["status"] == "error"
    assert "not finite" in row["error"]
    assert other["status"] == "ok"
    assert other["valence"] == pytest.approx(1)


def test_models_with_one_output_leave_the_other_null(face, tmp_path):
    affect = open_model(tiny_model(tmp_path / "a.onnx", labels=()))
    table = look(face, affect).table
    assert not [name for name in table.column_names if name.startswith("p_")]
    row = table.to_pylist()[0]
    assert row["expression"] is row["confidence"] is None
    assert row["valence"] is not None
    classes = open_model(tiny_model(tmp_path / "b.onnx", affect=False))
    row = look(face, classes).table.to_pylist()[0]
    assert row["valence"] is row["arousal"] is None
    assert row["expression"] is not None


def test_a_tie_goes_to_the_lowest_id(tmp_path, face):
    path = tiny_model(tmp_path / "tie.onnx", labels=sorted(EMOTIONS))
    graph = onnx.load(path)
    weights = next(t for t in graph.graph.initializer if t.name == "weights")
    weights.CopyFrom(onnx.numpy_helper.from_array(np.zeros((3, 8), np.float32), "weights"))
    onnx.save(graph, path)
    row = look(face, open_model(path)).table.to_pylist()[0]
    assert row["expression"] == "neutral"
    assert row["confidence"] == pytest.approx(1 / 8)


def test_pictures_are_taken_a_few_ahead_only(model, tmp_path):
    taken = 0

    def sources():
        nonlocal taken
        for number in range(200):
            taken += 1
            yield tmp_path / f"{number}.jpg"

    lead = []
    rows = iterate_rows(sources(), model, detector="haar", batch_size=4, workers=2)
    for number, row in enumerate(rows):
        assert row["source"].endswith(f"/{number}.jpg")
        lead.append(taken - number)
    assert len(lead) == 200
    assert max(lead) <= 2 * 4 + 3 * 2  # two batches of rows, three pictures a thread


def test_progress_counts_pictures(face, two_faces, model):
    seen: list[Progress] = []
    look([two_faces, face, two_faces], model, batch_size=2, on_progress=seen.append)
    assert [event.done for event in seen] == [1, 3, 3]


def test_sources(face, model, tmp_path):
    for name in ("b/2.JPG", "b/10.jpg", "a.png", ".hidden.png", ".git/x.png", "b/notes.csv"):
        path = tmp_path / "all" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    folder = tmp_path / "all"

    def names(source):
        return [photo.source.removeprefix(f"{folder}/") for photo in open_sources(source)]

    assert names(folder) == ["a.png", "b/10.jpg", "b/2.JPG"]
    assert names(str(folder / "b" / "*.jpg")) == ["b/10.jpg"]
    assert names(f"{folder}/**/*.*g") == ["a.png", "b/10.jpg"]
    assert names([folder / "a.png", folder / "b"]) == ["a.png", "b/10.jpg", "b/2.JPG"]
    listing = folder / "list.txt"
    listing.write_text("b/2.JPG\n\n  gone.png \n", encoding="utf-8-sig")
    assert names(listing) == ["b/2.JPG", "gone.png"]
    (folder / "x[1].png").write_bytes(b"x")
    assert names(folder / "x[1].png") == ["x[1].png"]
    stack = np.zeros((2, 8, 8, 3), np.uint8)
    assert names([stack, stack[0]]) == ["array[0]", "array[1]", "array[2]"]


def test_folders_and_patterns_are_sorted_whatever_the_disk_says(tmp_path):
    numbers = np.random.default_rng(0).permutation(30)
    for number in numbers:
        (tmp_path / f"{number:02}.png").write_bytes(b"x")
    expected = [str(tmp_path / f"{number:02}.png") for number in range(30)]
    assert [photo.source for photo in open_sources(tmp_path)] == expected
    assert [photo.source for photo in open_sources(f"{tmp_path}/*.png")] == expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: f / "gone.jpg", "no such file"),
        (lambda f: [str(f / "gone.jpg")], "no such file"),
        (lambda f: f"{f}/*.jpg", "no file matches"),
        (lambda f: f, "folder holds no picture"),
        (lambda f: f / "empty.txt", "list is empty"),
        (lambda f: f / "latin.txt", "no text in UTF-8"),
        (lambda _: [], "empty list"),
    ],
)
def test_an_only_source_without_a_picture_is_refused(make, message, model, tmp_path):
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9.jpg")
    with pytest.raises(InputError, match=message):
        look(make(tmp_path), model)


def test_arrays_of_other_types_are_rows_and_other_things_are_refused(face, model):
    rows = look([face.astype(float), face], model).table.to_pylist()
    assert [row["status"] for row in rows] == ["error", "ok"]
    assert "uint8" in rows[0]["error"]
    with pytest.raises(InputError, match=r"builtins\.int"):
        look([face, 7], model)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_confidence": 1.5}, r"min_confidence in \[0, 1\], but got 1.5"),
        ({"min_score": -1}, "min_score"),
        ({"batch_size": 0}, "batch_size"),
        ({"workers": 0}, "workers"),
    ],
)
def test_numbers_out_of_range_are_refused(options, message, face, model):
    with pytest.raises(InputError, match=message):
        look(face, model, **options)


def test_an_unknown_detector_is_refused_at_once(model):
    with pytest.raises(UnknownName, match="haar"):
        iterate_rows("gone.jpg", model, detector="har")


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux only")
def test_a_file_name_that_is_no_text_does_not_end_the_run(face, model, tmp_path):
    name = (str(tmp_path) + "/").encode() + b"caf\xe9.png"
    with open(name, "wb") as file:
        file.write(encode_image(face))
    analysis = look(tmp_path, model)
    assert analysis.table["status"].to_pylist() == ["ok"]
    assert analysis.table["source"].to_pylist() == [f"{tmp_path}/caf�.png"]
    analysis.save(tmp_path / "x.csv")


@pytest.fixture(scope="module")
def analysis(two_faces, model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    write(folder / 'two, "quoted".png', two_faces)
    (folder / "zero.jpg").write_bytes(b"")
    write(folder / "plain.png", np.full((60, 60, 3), 30, np.uint8))
    result = look(folder, model)
    return Analysis(with_landmarks(result.table))


def with_landmarks(table):
    """Landmarks at random for every face, without the extra that locates them."""
    points = np.random.default_rng(0).normal(50, 20, (len(table), 136)).astype(np.float32)
    statuses = table["status"].to_pylist()
    values = [p.tolist() if s == "ok" else None for p, s in zip(points, statuses, strict=True)]
    number = table.schema.get_field_index("landmarks")
    field = table.schema.field("landmarks")
    return table.set_column(number, field, pa.array(values, field.type))


def test_the_schema_and_what_made_it(analysis, model):
    assert analysis.table.schema.equals(analysis_schema(EMOTIONS), check_metadata=False)
    made_with = analysis.made_with
    assert made_with["model"] == "tiny"
    assert made_with["crop"] == model.card.crop.to_dict()
    assert (made_with["detector"], made_with["min_confidence"]) == ("haar", 0.0)
    assert len(analysis) == 4
    assert repr(analysis) == "Analysis(2 faces in 3 sources, 1 without a face, 1 errors)"
    frame = analysis.to_pandas()
    assert frame["status"].tolist() == ["no_face_found", "ok", "ok", "error"]


def test_parquet_round_trip(analysis, tmp_path):
    analysis.save(tmp_path / "out.parquet")
    back = pq.read_table(tmp_path / "out.parquet")
    assert back.equals(analysis.table)
    assert back.schema.metadata[b"openaffect"] == analysis.table.schema.metadata[b"openaffect"]


def test_csv_round_trip(analysis, tmp_path):
    analysis.save(tmp_path / "out.CSV")
    text = (tmp_path / "out.CSV").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    expected = analysis.table.to_pylist()
    assert len(rows) == len(expected) == 4
    for row, wanted in zip(rows, expected, strict=True):
        assert row["source"] == wanted["source"]
        assert row["expression"] == (wanted["expression"] or "")
        box = [row[name] for name in ("box_x", "box_y", "box_w", "box_h")]
        assert [np.float32(v) for v in box if v] == (wanted["box"] or [])
        points = [np.float32(v) for v in row["landmarks"].split(";") if v]
        assert points == (wanted["landmarks"] or [])
        for name in ("score", *_numbers()):
            assert (np.float32(row[name]) if row[name] else None) == wanted[name]
    assert "box" not in rows[0]


def test_jsonl_round_trip(analysis, tmp_path):
    analysis.save(tmp_path / "out.jsonl")
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    back = pa.Table.from_pylist([json.loads(line) for line in lines], analysis.table.schema)
    assert back.equals(analysis.table)


def test_text_has_no_more_digits_than_float32(analysis, tmp_path):
    analysis.save(tmp_path / "out.jsonl")
    row = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[1])
    assert len(str(row["valence"])) <= 13


def test_saving_refuses_other_endings_and_existing_files(analysis, tmp_path):
    with pytest.raises(InputError, match=r"\.parquet, \.csv, \.jsonl.*out\.xlsx"):
        analysis.save(tmp_path / "out.xlsx")
    (tmp_path / "out.csv").write_text("mine")
    with pytest.raises(DestinationExists):
        analysis.save(tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "mine"
    analysis.save(tmp_path / "out.csv", overwrite=True)
    assert (tmp_path / "out.csv").read_text().startswith("source,")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.csv"]


@pytest.mark.slow
@pytest.mark.real
def test_real_photos_with_yunet(test_data, test_weights, model, tmp_path):
    with zipfile.ZipFile(test_data / "photos.zip") as archive:
        names = [n for n in archive.namelist() if n.endswith((".jpg", ".png"))][:40]
        archive.extractall(tmp_path, names)
    analysis = analyze(tmp_path, model, detector="yunet")
    assert len(set(analysis.table["source"].to_pylist())) == 40
    with_face = {r["source"] for r in analysis.table.to_pylist() if r["status"] == "ok"}
    assert len(with_face) >= 38
    first = analysis.table.filter(pc.equal(analysis.table["status"], "ok")).to_pylist()[0]
    picture = read_image(first["source"])
    expected = tiny_outputs(crop(picture, Box(*first["box"]), CropRule(), (32, 32)))[1]
    assert first["valence"] == pytest.approx(expected[0], abs=0.01)
