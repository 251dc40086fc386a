"""Landmarks: against the exact points of synthetic faces, and the message when the extra is missing."""

from __future__ import annotations

import importlib.util
import sys
import threading

import numpy as np
import pytest

from openaffect import lookup
from openaffect.errors import MissingExtra
from openaffect.faces import Box, find_faces
from openaffect.faces.finding import LANDMARKERS
from openaffect.faces.landmarkers import dlib as by_dlib
from openaffect.images import resize_image
from openaffect.synthetic import synthesize_face

NAMES = lookup.names(LANDMARKERS)


@pytest.fixture(params=NAMES)
def landmarker(request):
    """Each landmarker in turn; one whose extra is not installed is skipped, and says so."""
    module = lookup.load(LANDMARKERS, request.param, "landmarker")
    try:
        module.locate(np.zeros((32, 32, 3), np.uint8), Box(8, 8, 16, 16))
    except MissingExtra as error:
        pytest.skip(str(error))
    return module


def faces():
    kinds = ("neutral", "happy", "surprise", "anger")
    return [synthesize_face(kind, seed=seed, size=224) for seed, kind in enumerate(kinds * 3)]


def error_of(points, face):
    """Mean distance over the distance of the outer eye corners, as iBUG's 300-W measures it."""
    eyes = np.linalg.norm(face.landmarks[36] - face.landmarks[45])
    return np.linalg.norm(points - face.landmarks, axis=1).mean() / eyes


def test_there_is_a_landmarker():
    assert "dlib" in NAMES


def test_points_are_where_the_drawing_has_them(landmarker):
    errors = [error_of(landmarker.locate(face.image, Box(*face.box)), face) for face in faces()]
    # 8 % is 300-W's bound of a failure; measured here: 5 %.
    assert np.median(errors) < 0.08


def test_points_are_float32_pixels_of_the_picture(landmarker):
    face = synthesize_face("neutral", seed=4, size=200)
    points = landmarker.locate(face.image, Box(*face.box))
    assert points.shape == (68, 2)
    assert points.dtype == np.float32
    canvas = np.full((300, 500, 3), 90, np.uint8)
    canvas[70:270, 260:460] = face.image
    x, y, w, h = face.box
    moved = landmarker.locate(canvas, Box(x + 260, y + 70, w, h))
    eyes = float(np.linalg.norm(points[36] - points[45]))
    np.testing.assert_allclose(moved, points + np.array([260, 70], np.float32), atol=0.05 * eyes)


@pytest.mark.parametrize("size", [100, 1500])
def test_the_size_of_the_picture_changes_little(landmarker, size):
    face = synthesize_face("neutral", seed=4, size=256)
    before = landmarker.locate(face.image, Box(*face.box))
    scaled = resize_image(face.image, size, size)
    after = landmarker.locate(scaled, Box(*face.box).scale(size / 256)) * (256 / size)
    eyes = np.linalg.norm(before[36] - before[45])
    assert np.linalg.norm(after - before, axis=1).mean() < 0.05 * eyes


def test_a_box_may_leave_the_picture(landmarker):
    face = synthesize_face("neutral", seed=4, size=128)
    for box in (Box(-60, -60, 100, 120), Box(500, 500, 10, 10), Box(0, 0, 1, 1)):
        assert np.isfinite(landmarker.locate(face.image, box)).all()


def test_threads_locate_what_one_locates(landmarker):
    face = synthesize_face("happy", seed=4, size=128)
    expected = landmarker.locate(face.image, Box(*face.box))
    wrong: list[bool] = []

    def locate() -> None:
        for _ in range(5):
            points = landmarker.locate(face.image, Box(*face.box))
            wrong.append(not np.array_equal(points, expected))

    threads = [threading.Thread(target=locate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [False] * 20


def test_find_faces_adds_landmarks_only_when_asked(landmarker):
    name = landmarker.__name__.rsplit(".", 1)[1]
    drawing = synthesize_face("neutral", seed=4, size=256)
    (face,) = find_faces(drawing.image, "haar", landmarks=name)
    assert error_of(face.landmarks, drawing) < 0.1
    assert find_faces(drawing.image, "haar")[0].landmarks is None


@pytest.mark.parametrize("name", NAMES)
def test_a_notice_is_one_line(name):
    notice = lookup.load(LANDMARKERS, name, "landmarker").NOTICE
    assert isinstance(notice, str)
    assert "\n" not in notice


def test_the_notice_of_dlib_tells_the_terms():
    assert "exclude commercial use" in by_dlib.NOTICE


@pytest.fixture
def forgotten():
    """The predictor is looked for anew in the test, and again after it."""
    by_dlib._predictor.cache_clear()
    yield
    by_dlib._predictor.cache_clear()


def test_without_dlib_the_message_names_the_extra(forgotten, monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(MissingExtra, match=r'pip install .*\[landmarks\]"'):
        by_dlib.locate(np.zeros((32, 32, 3), np.uint8), Box(8, 8, 16, 16))


@pytest.mark.parametrize("state", ["not installed", "without the file"])
def test_without_the_predictor_file_too(forgotten, monkeypatch, tmp_path, state):
    pytest.importorskip("dlib")
    spec = importlib.util.find_spec("json")
    assert spec is not None
    spec.submodule_search_locations = [str(tmp_path)]
    answer = None if state == "not installed" else spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: answer)
    with pytest.raises(MissingExtra, match=r'pip install .*\[landmarks\]"'):
        by_dlib.locate(np.zeros((32, 32, 3), np.uint8), Box(8, 8, 16, 16))


def test_the_package_of_the_predictor_is_not_imported(landmarker):
    assert "face_recognition_models" not in sys.modules
