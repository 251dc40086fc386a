"""Inference: a model with known weights over pictures of known color."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import struct
import threading
import time

import numpy as np
import onnx
import pytest

from builders import tiny_model, tiny_outputs
from format_builders import make_dataset
from narrowing import known
from openaffect.cli import main
from openaffect.dataset import open_dataset
from openaffect.dataset_writer import write_dataset
from openaffect.errors import FormatError, InputError
from openaffect.face_row import FaceRow
from openaffect.faces.boxes import Box
from openaffect.faces.crops import CropRule, crop
from openaffect.images import encode_image, pixel_hash, read_image
from openaffect.inference import (
    NOT_FINITE,
    crop_for_model,
    predict_crops,
    predict_dataset,
)
from openaffect.labels import EMOTIONS, Expression, parse_labels
from openaffect.model import CARD_KEY, Card, Outputs, open_model
from openaffect.parallel import map_in_order
from openaffect.predictions import Predictions, align_predictions, open_predictions
from openaffect.progress import Progress
from openaffect.reports import compare, evaluate

SIZE = (32, 32)


@pytest.fixture
def model(tmp_path):
    return open_model(tiny_model(tmp_path / "tiny.onnx"))


def noise(count, side=40, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)


def build(tmp_path, pictures, boxes=None, name="data"):
    """A dataset of PNG pictures, given as arrays or as the bytes of files."""
    boxes = boxes or [None] * len(pictures)
    with write_dataset(tmp_path / name, check_images=False) as writer:
        for number, (picture, box) in enumerate(zip(pictures, boxes, strict=True)):
            image = f"{number}.png"
            (writer.images_folder / image).write_bytes(
                picture if isinstance(picture, bytes) else encode_image(picture)
            )
            writer.add(FaceRow(face_id=f"face{number}", image=image, box=box))
    return open_dataset(tmp_path / name)


def test_values_are_those_of_the_weights_for_the_crop_of_each_row(tmp_path, model):
    pictures = noise(5)
    box = (5.0, 6.0, 20.0, 20.0)
    dataset = build(tmp_path, pictures, [None, box, None, box, None])
    predictions = predict_dataset(model, dataset, batch_size=2)
    assert predictions.ids == dataset.ids
    assert predictions.labels == EMOTIONS
    assert predictions.errors == [None] * 5
    for row, picture in enumerate(pictures):
        place = None if row % 2 == 0 else Box(*box)
        expected = tiny_outputs(crop(picture, place, CropRule(), SIZE))
        # float32 in the graph
        np.testing.assert_allclose(known(predictions.probabilities)[row], expected[0], atol=2e-6)
        np.testing.assert_allclose(known(predictions.affect)[row], expected[1], atol=2e-6)


@pytest.mark.parametrize("batch_size", [2, 3, 64])
def test_batches_give_what_single_faces_give(tmp_path, model, batch_size):
    dataset = build(tmp_path, noise(7))
    one = predict_dataset(model, dataset, batch_size=1, workers=1)
    many = predict_dataset(model, dataset, batch_size=batch_size, workers=3)
    np.testing.assert_allclose(known(many.probabilities), known(one.probabilities), atol=1e-6)
    np.testing.assert_allclose(known(many.affect), known(one.affect), atol=1e-6)


def test_the_rule_of_the_card_frames_the_face(tmp_path):
    # Gray around a white square: the mean says how much of it the crop took.
    picture = np.zeros((60, 60, 3), np.uint8)
    picture[20:40, 20:40] = 255
    dataset = build(tmp_path, [picture], [(20, 20, 20, 20)])
    found = {}
    for margin in (0.0, 0.5):
        path = tiny_model(tmp_path / f"{margin}.onnx", crop=CropRule(margin=margin), size=(40, 40))
        found[margin] = known(predict_dataset(open_model(path), dataset).affect)[0, 0]
    assert found[0.0] == pytest.approx(1.0, abs=1e-6)  # white only
    assert found[0.5] == pytest.approx(2 * 0.25 - 1, abs=1e-6)  # a quarter of the crop is white


def test_the_size_of_the_card_need_not_be_square(tmp_path):
    model = open_model(tiny_model(tmp_path / "wide.onnx", size=(48, 24)))
    picture = noise(1)[0]
    predictions = predict_dataset(model, build(tmp_path, [picture]))
    expected = tiny_outputs(crop(picture, None, CropRule(), (48, 24)))
    np.testing.assert_allclose(known(predictions.affect)[0], expected[1], atol=2e-6)


def test_columns_go_by_id_whatever_the_order_in_the_card(tmp_path):
    alphabet = sorted(EMOTIONS)
    assert tuple(alphabet) != EMOTIONS
    dataset = build(tmp_path, noise(3))
    usual = predict_dataset(open_model(tiny_model(tmp_path / "a.onnx")), dataset)
    other = predict_dataset(open_model(tiny_model(tmp_path / "b.onnx", labels=alphabet)), dataset)
    assert other.labels == usual.labels == EMOTIONS
    np.testing.assert_allclose(known(other.probabilities), known(usual.probabilities), atol=1e-6)


def test_pictures_that_cannot_be_read_are_failed_rows(tmp_path, model):
    good = noise(3)
    whole = encode_image(good[2], ".jpg")
    pictures = [good[0], b"", b"hello, no picture", whole[: len(whole) // 2], good[1]]
    dataset = build(tmp_path, pictures)
    (dataset.images_folder / "2.png").unlink()
    predictions = predict_dataset(model, dataset, batch_size=2)
    bad = [1, 2, 3]
    assert np.isnan(known(predictions.probabilities)[bad]).all()
    assert np.isnan(known(predictions.affect)[bad]).all()
    assert "0 bytes" in known(predictions.errors[1])
    assert "no such file" in known(predictions.errors[2])
    assert "truncated" in known(predictions.errors[3])
    assert predictions.errors[0] is predictions.errors[4] is None
    expected = tiny_outputs(crop(good[1], None, CropRule(), SIZE))[1]
    np.testing.assert_allclose(known(predictions.affect)[4], expected, atol=2e-6)


def test_boxes_of_other_tools_that_make_no_sense_are_failed_rows(tmp_path, model):
    dataset = build(tmp_path, noise(4))
    boxes = [[0, 0, -4, 4], [0, 0, 1e9, 1e9], [1e12, 0, 9, 9], [4, 4, 20, 20]]
    predictions = predict_dataset(model, dataset.with_column("box", boxes))
    assert "positive width" in known(predictions.errors[0])
    assert "does not fit" in known(predictions.errors[1])
    assert "does not fit" in known(predictions.errors[2])
    assert predictions.errors[3] is None


@pytest.mark.parametrize("affect", [True, False])
def test_one_output_that_is_not_finite_fails_its_row_only(tmp_path, affect):
    model = open_model(tiny_model(tmp_path / "nan.onnx", nan_for_black=True, affect=affect))
    pictures = noise(3)
    pictures[1] = 0
    predictions = predict_dataset(model, build(tmp_path, pictures))
    assert predictions.errors == [None, NOT_FINITE, None]
    assert np.isnan(known(predictions.probabilities)).any(axis=1).tolist() == [False, True, False]
    if affect:
        assert np.isnan(known(predictions.affect)).any(axis=1).tolist() == [False, True, False]


def test_a_model_without_classes_and_one_without_affect(tmp_path):
    dataset = build(tmp_path, noise(2))
    only_affect = predict_dataset(open_model(tiny_model(tmp_path / "a.onnx", labels=())), dataset)
    assert only_affect.labels == ()
    assert only_affect.probabilities is None
    assert known(only_affect.affect).shape == (2, 2)
    seven = tiny_model(tmp_path / "b.onnx", labels=parse_labels("7"), affect=False)
    only_classes = predict_dataset(open_model(seven), dataset)
    assert only_classes.affect is None
    assert known(only_classes.probabilities).shape == (2, 7)


def test_what_is_saved_comes_back_and_says_what_made_it(tmp_path, model):
    dataset = build(tmp_path, [noise(1)[0], b"no picture"])
    predictions = predict_dataset(model, dataset)
    predictions.save(tmp_path / "p.parquet")
    back = open_predictions(tmp_path / "p.parquet")
    assert align_predictions(dataset, back).tolist() == [0, 1]
    np.testing.assert_allclose(
        known(back.probabilities), known(predictions.probabilities), atol=1e-6
    )
    assert back.errors == predictions.errors
    assert back.made_with["model"] == "tiny"
    assert back.made_with["crop"] == CropRule().to_dict()
    assert back.made_with["dataset_fingerprint"] == dataset.info.fingerprint
    assert len(back.made_with["model_sha256"]) == 64


def test_the_fingerprint_is_that_of_the_rows_that_were_predicted(tmp_path, model):
    dataset = build(tmp_path, noise(3)).select([0, 2])
    made_with = predict_dataset(model, dataset).made_with
    assert made_with["dataset_fingerprint"] == dataset.fingerprint() != dataset.info.fingerprint


def test_progress_counts_rows_and_ends_at_all_of_them(tmp_path, model):
    seen: list[Progress] = []
    predict_dataset(model, build(tmp_path, noise(5)), batch_size=2, on_progress=seen.append)
    assert [event.done for event in seen] == [2, 4, 5]


def test_numbers_below_one_are_refused(tmp_path, model):
    dataset = build(tmp_path, noise(1))
    with pytest.raises(InputError, match="batch_size of 1 or more, but got 0"):
        predict_dataset(model, dataset, batch_size=0)
    with pytest.raises(InputError, match="workers of 1 or more"):
        predict_dataset(model, dataset, workers=0)


def test_scores_that_are_no_probabilities_are_refused(tmp_path):
    path = tiny_model(tmp_path / "raw.onnx")
    graph = onnx.load(path)
    softmax = next(node for node in graph.graph.node if node.op_type == "Softmax")
    softmax.op_type = "Identity"
    del softmax.attribute[:]
    onnx.save(graph, path)
    with pytest.raises(FormatError, match=r"must end in a softmax"):
        predict_crops(open_model(path), noise(1, 32))


def test_no_crops_give_no_rows(model):
    face_outputs = predict_crops(model, [])
    assert known(face_outputs.probabilities).shape == (0, 8)
    assert face_outputs.errors == []


def test_a_crop_near_the_border_is_still_taken(model):
    image = noise(1, 50)[0]
    piece = crop_for_model(image, Box(-5, 30, 30, 30), model.card)
    np.testing.assert_array_equal(piece, crop(image, Box(-5, 30, 30, 30), CropRule(), SIZE))


def test_threads_keep_the_order():
    def slow(number):
        time.sleep(0.004 * (number % 3))
        return number

    assert list(map_in_order(slow, range(20), workers=5, ahead=3)) == list(range(20))


def test_items_are_taken_only_a_little_ahead():
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    results = map_in_order(abs, items(), workers=2, ahead=3)
    assert next(results) == 0
    assert len(taken) == 5
    results.close()
    assert len(taken) == 5


def test_an_error_in_a_thread_is_raised_and_leaves_no_thread():
    before = threading.active_count()

    def fail(number):
        if number == 3:
            raise InputError("the third")
        return number

    with pytest.raises(InputError, match="the third"):
        list(map_in_order(fail, range(50), workers=2))
    assert threading.active_count() == before


def test_affect_outside_its_range_is_a_failed_row_and_rounding_is_not(tmp_path, monkeypatch):
    model = open_model(tiny_model(tmp_path / "m.onnx"))
    crops = np.zeros((4, 32, 32, 3), np.uint8)
    given = np.array([[0.5, 1.0009], [1.2, 0], [0, -1.002], [-1.0005, 0]], np.float32)
    uniform = np.full((4, len(model.card.labels)), 1 / len(model.card.labels), np.float32)
    monkeypatch.setattr(
        model, "predict", lambda batch: Outputs(uniform[: len(batch)], given[: len(batch)])
    )
    found = predict_crops(model, [*crops])
    assert [error is None for error in found.errors] == [True, False, False, True]
    assert "outside" in known(found.errors[1])
    np.testing.assert_array_equal(known(found.affect)[[0, 3]], [[0.5, 1], [-1, 0]])
    assert np.isnan(known(found.affect)[[1, 2]]).all()
    assert np.isnan(known(found.probabilities)[[1, 2]]).all()


def hashes_of(images) -> str:
    numbers = np.unique([pixel_hash(image) for image in images])
    return base64.b64encode(numbers.astype(">u4").tobytes()).decode()


def test_a_pixel_hash_is_of_size_and_pixels_and_of_nothing_else():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    data = struct.pack(">II", 2, 4) + bytes(range(24))
    assert pixel_hash(image) == int.from_bytes(hashlib.sha256(data).digest()[:4], "big")
    assert pixel_hash(np.asfortranarray(image)) == pixel_hash(image)
    assert pixel_hash(image.reshape(4, 2, 3)) != pixel_hash(image)
    for suffix in (".png", ".bmp", ".tif"):  # however losslessly it is stored
        assert pixel_hash(read_image(encode_image(image, suffix))) == pixel_hash(image)


@pytest.fixture
def learned(tmp_path):
    """A dataset of eight faces, and a model that learned from the first six."""
    dataset = make_dataset(tmp_path / "d", 8)
    images = [dataset.image(row) for row in range(6)]
    path = tiny_model(tmp_path / "m.onnx")
    model = onnx.load(str(path))
    card = dataclasses.replace(open_model(path).card, learned=hashes_of(images))
    onnx.helper.set_model_props(model, {CARD_KEY: card.to_json()})
    onnx.save(model, str(path))
    return dataset, path


def test_faces_that_a_model_learned_from_are_marked_and_told(learned, tmp_path, capsys):
    dataset, path = learned
    made = predict_dataset(open_model(path), dataset)
    assert known(made.learned).tolist() == [True] * 6 + [False] * 2
    assert "6 of 8 faces" in known(made.learned_warning())
    assert made.learned_warning(np.array([5, 6, 7])) is None  # one of three may be chance
    out = tmp_path / "p.parquet"
    assert main(["predict", str(path), str(dataset.path), "-o", str(out)]) == 0
    assert "6 of 8 faces" in capsys.readouterr().err
    assert known(open_predictions(out).learned).tolist() == known(made.learned).tolist()
    report = evaluate(dataset, open_predictions(out), split="all")
    assert any("6 of 8 faces" in text for text in report.warnings)
    result = compare([report, report], names=["a", "b"])
    assert [note.split(":")[0] for note in result.notes if "learned" in note] == ["a", "b"]


def test_what_chance_explains_is_not_told():
    marked = np.zeros(1_000_000, bool)
    marked[:30] = True
    made = Predictions([], learned=marked, made_with={"learned_images": 25_000})
    assert made.learned_warning() is None  # 5.8 are expected; five times as many may be
    marked[:40] = True
    assert "40 of 1,000,000" in str(made.learned_warning())


def test_a_model_that_does_not_tell_what_it_learned_marks_nothing(learned):
    dataset, path = learned
    plain = open_model(tiny_model(path.parent / "plain.onnx"))
    made = predict_dataset(plain, dataset)
    assert made.learned is None
    assert made.learned_warning() is None
    assert "learned" not in made.to_table().column_names


@pytest.mark.parametrize("text", ["AAA", "ä", "AAAA", "AAAAAgAAAAE="])
def test_damaged_hashes_are_an_error(text, tmp_path):
    card = Card("odd", labels=(Expression.HAPPY,), learned=text)
    with pytest.raises(FormatError, match="learned"):
        Card.from_json(card.to_json(), "the card")
