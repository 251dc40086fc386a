"""Framing, merging, the choice of a detector, and what the two detectors find on photos."""

from __future__ import annotations

import random
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openaffect import weights
from openaffect.errors import ImageError, InputError, MissingWeights, UnknownName
from openaffect.faces import Box, find_faces, resolve_detector
from openaffect.faces.detectors import Framing, ScaledImage, non_max_suppression, yunet
from openaffect.images import encode_image, read_image, resize_image
from openaffect.synthetic import synthesize_face

boxes = st.builds(
    Box, st.floats(-100, 100), st.floats(-100, 100), st.floats(1, 100), st.floats(1, 100)
)
framings = st.builds(
    Framing, st.floats(0.5, 2), st.floats(0.5, 2), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)
)


@given(framings, boxes)
def test_a_framing_has_an_inverse(framing, box):
    back = framing.undo(framing.apply(box))
    assert (back.x, back.y, back.w, back.h) == pytest.approx((box.x, box.y, box.w, box.h), abs=1e-9)


@given(boxes)
def test_the_plain_framing_changes_nothing(box):
    same = Framing().apply(box)
    assert (same.x, same.y, same.w, same.h) == pytest.approx((box.x, box.y, box.w, box.h))


def test_a_framing_is_shares_of_the_detectors_own_box():
    assert Framing(0.5, 2.0, dx=0.25, dy=-0.5).apply(Box(100, 100, 40, 20)) == Box(120, 80, 20, 40)


def test_the_best_of_overlapping_finds_is_kept():
    face, shifted, inner = Box(0, 0, 100, 100), Box(10, 0, 100, 100), Box(30, 30, 25, 25)
    apart = Box(90, 90, 100, 100)
    found = [(shifted, 0.7), (face, 0.9), (inner, 0.6), (apart, 0.5)]
    assert non_max_suppression(found) == [(face, 0.9), (apart, 0.5)]
    assert non_max_suppression([]) == []


@pytest.mark.parametrize(
    ("shape", "size"),
    [((50, 100), (160, 320)), ((3000, 1000), (640, 213)), ((400, 500), (400, 500)), ((1, 9000), (1, 640))],
)  # fmt: skip
def test_a_working_picture_knows_its_way_back(shape, size):
    picture = ScaledImage.of(np.zeros((*shape, 3), np.uint8), 320, 640)
    assert picture.pixels.shape[:2] == size
    whole = picture.resized(192).to_original(0, 0, *picture.resized(192).pixels.shape[1::-1])
    assert (whole.w, whole.h) == pytest.approx((shape[1], shape[0]))


@pytest.fixture
def no_weights(tmp_path, monkeypatch):
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path))


def test_without_weights_auto_is_haar_and_yunet_says_how_to_get_it(no_weights):
    image = synthesize_face("happy", seed=4, size=160).image
    assert resolve_detector("auto") == "haar"
    assert {face.detector for face in find_faces(image)} == {"haar"}
    with pytest.raises(MissingWeights, match="openaffect weights yunet"):
        find_faces(image, "yunet")


def test_a_damaged_file_of_weights_counts_as_none(no_weights, tmp_path):
    (tmp_path / weights.known_weights("yunet").file).write_bytes(b"damaged")
    assert resolve_detector("auto") == "haar"


def test_with_weights_auto_is_yunet(test_weights):
    assert resolve_detector("auto") == resolve_detector() == "yunet"
    assert resolve_detector("haar") == "haar"


def test_an_unknown_detector_or_landmarker_gets_the_nearest():
    with pytest.raises(UnknownName, match=r"did you mean 'haar'.*auto"):
        resolve_detector("har")
    with pytest.raises(UnknownName, match="did you mean 'dlib'"):
        find_faces(np.zeros((9, 9, 3), np.uint8), "haar", landmarks="dlip")


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan")])
def test_a_min_score_out_of_range_is_refused(score):
    with pytest.raises(InputError, match=r"min_score in \[0, 1\]"):
        find_faces(np.zeros((9, 9, 3), np.uint8), "haar", min_score=score)


def test_paths_bytes_and_arrays_give_the_same_faces(tmp_path):
    image = synthesize_face("neutral", seed=4, size=160).image
    path = tmp_path / "face.png"
    path.write_bytes(encode_image(image))
    found = find_faces(image, "haar")
    assert len(found) == 1
    assert find_faces(path, "haar") == find_faces(str(path), "haar") == found
    assert find_faces(path.read_bytes(), "haar") == found
    with pytest.raises(ImageError, match="no such file"):
        find_faces(tmp_path / "none.png", "haar")


def test_yunet_drops_what_is_no_box(test_weights, monkeypatch):
    """Rows as the net can give them for pictures too small for it."""
    nan, inf = float("nan"), float("inf")
    rows = [
        [nan, 0, 9, 9, *[0.0] * 10, 1.0],
        [0, 0, inf, 9, *[0.0] * 10, 1.0],
        [0, 0, -5, 9, *[0.0] * 10, 1.0],
        [-9000, 5, 50, 50, *[0.0] * 10, 1.0],
        [20, 20, 60, 60, *[0.0] * 10, 0.9],
    ]

    class Net:
        def setScoreThreshold(self, score): ...
        def setInputSize(self, size): ...
        def detect(self, _):
            return None, np.array(rows, np.float32)

    monkeypatch.setattr(yunet, "_net", Net)
    faces = find_faces(np.zeros((320, 320, 3), np.uint8), "yunet")
    # The same rows come from both passes.
    assert [face.score for face in faces] == pytest.approx([0.9, 0.9])


def test_yunet_frames_a_face_that_fills_a_large_picture(test_weights):
    """The fine pass alone finds it too, but frames it badly (IoU 0.69): it is too large for the net."""
    face = synthesize_face("neutral", seed=1, size=256)
    x, y, w, h = map(int, face.box)
    close_up = resize_image(face.image[y : y + h, x : x + w], w * 1000 // h, 1000)
    (found,) = find_faces(close_up, "yunet")
    assert found.box.iou(Box(0, 0, w * 1000 // h, 1000)) > 0.85


def test_yunet_finds_a_small_face_in_a_large_and_in_a_small_picture(test_weights):
    """The coarse pass alone finds neither: there the face has 15 pixels."""
    face = synthesize_face("neutral", seed=1, size=160)
    canvas = np.full((900, 1000, 3), 128, np.uint8)
    canvas[400:560, 300:460] = face.image
    x, y, w, h = face.box
    (large,) = find_faces(canvas, "yunet")
    assert large.box.iou(Box(x + 300, y + 400, w, h)) > 0.6
    (small,) = find_faces(resize_image(canvas, 150, 135), "yunet")
    assert small.box.scale(1000 / 150).iou(large.box) > 0.6


def photos(test_data, n):
    with zipfile.ZipFile(test_data / "photos.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".jpg")]
        return [read_image(archive.read(name)) for name in random.Random(0).sample(names, n)]


@pytest.mark.real
@pytest.mark.slow
def test_on_photos_both_find_the_face_and_frame_it_alike(test_data, test_weights):
    pictures = photos(test_data, 40)
    by_yunet = [find_faces(picture, "yunet") for picture in pictures]
    by_haar = [find_faces(picture, "haar") for picture in pictures]
    assert [len(faces) for faces in by_yunet].count(1) >= 39
    assert [len(faces) for faces in by_haar].count(1) >= 36
    pairs = [(a[0].box, b[0].box) for a, b in zip(by_yunet, by_haar, strict=True) if a and b]
    assert np.median([a.iou(b) for a, b in pairs]) > 0.82
    # The longer side is what a crop is made of.
    assert np.median([max(a.w, a.h) / max(b.w, b.h) for a, b in pairs]) == pytest.approx(
        1, abs=0.04
    )


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("long_side", [100, 4000])
def test_on_photos_the_size_changes_nothing(test_data, test_weights, long_side):
    pictures = photos(test_data, 15)
    wrong = []
    for k, picture in enumerate(pictures):
        height, width = picture.shape[:2]
        factor = long_side / max(height, width)
        scaled = resize_image(picture, round(width * factor), round(height * factor))
        before, after = find_faces(picture, "yunet"), find_faces(scaled, "yunet")
        if len(before) != len(after) or before[0].box.scale(factor).iou(after[0].box) < 0.6:
            wrong.append(k)
    assert wrong == []
