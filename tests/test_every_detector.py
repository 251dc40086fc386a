"""The contract of every detector: a new file in the folder is tested before its author writes a test."""

from __future__ import annotations

import functools
import threading

import numpy as np
import pytest

from openaffect import lookup
from openaffect.errors import MissingWeights
from openaffect.faces import Box, find_faces
from openaffect.faces.detectors import Framing
from openaffect.faces.finding import DETECTORS
from openaffect.images import resize_image
from openaffect.synthetic import synthesize_face

NAMES = lookup.names(DETECTORS)


@functools.cache
def drawn():
    face = synthesize_face("neutral", seed=4, size=256)
    return face.image, Box(*face.box)


@pytest.fixture(params=NAMES)
def name(request):
    """Each detector in turn; one whose weights are not here is skipped, and says so."""
    try:
        find_faces(np.zeros((64, 64, 3), np.uint8), request.param)
    except MissingWeights as error:
        pytest.skip(str(error))
    return request.param


def test_there_are_detectors():
    assert {"yunet", "haar"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_detector_file_holds_its_parts(name):
    module = lookup.load(DETECTORS, name, "detector")
    assert isinstance(module.FRAMING, Framing)
    assert 0 <= module.MIN_SCORE <= 1
    assert callable(module.detect)
    assert module.__doc__


def test_the_synthetic_face_is_found_once_and_framed_alike(name):
    image, box = drawn()
    (face,) = find_faces(image, name)
    assert face.detector == name
    assert face.landmarks is None
    assert 0 < face.score <= 1
    assert face.box.iou(box) > 0.6


@pytest.mark.parametrize("long_side", [100, 1000, 4000])
def test_the_size_of_the_picture_changes_nothing(name, long_side):
    image, _ = drawn()
    (before,) = find_faces(image, name)
    (after,) = find_faces(resize_image(image, long_side, long_side), name)
    assert after.box.scale(256 / long_side).iou(before.box) > 0.75


def test_several_faces_come_largest_first_and_where_they_are(name):
    image, box = drawn()
    small = resize_image(image, 128, 128)
    canvas = np.full((256, 600, 3), 128, np.uint8)
    canvas[60:188, 20:148] = small
    canvas[:, 300:556] = image
    large_face, small_face = find_faces(canvas, name)
    assert large_face.box.iou(Box(box.x + 300, box.y, box.w, box.h)) > 0.6
    assert small_face.box.iou(Box(box.x / 2 + 20, box.y / 2 + 60, box.w / 2, box.h / 2)) > 0.6


@pytest.mark.parametrize("share", [0.34, 0.42, 0.5, 0.65])
@pytest.mark.parametrize("long_side", [60, 200, 900])
def test_a_close_look_finds_the_face_that_a_search_finds(name, share, long_side):
    image, box = drawn()
    side = round(max(box.w, box.h) / share)
    canvas = np.full((side, side, 3), 128, np.uint8)
    x, y = (round(side / 2 - center) for center in box.center)
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + 256, side), min(y + 256, side)
    canvas[top:bottom, left:right] = image[top - y : bottom - y, left - x : right - x]
    cut = resize_image(canvas, long_side, long_side)
    (searched,) = find_faces(cut, name)
    (face,) = find_faces(cut, name, close=True)
    assert face.box.iou(searched.box) > 0.75


def test_boxes_lie_inside_the_picture(name):
    image, box = drawn()
    left, top = int(box.x + 0.08 * box.w), int(box.y + 0.08 * box.h)
    cut = image[top : top + int(0.95 * box.h), left : left + int(0.95 * box.w)]
    found = [find_faces(cut, name), find_faces(image[:, : int(box.center[0])], name)]
    boxes = [face.box for faces in found for face in faces]
    assert found[0]
    height, width = cut.shape[:2]
    assert min(min(one.x, one.y) for one in boxes) >= 0
    assert max(face.box.x + face.box.w for face in found[0]) <= width + 1e-6
    assert max(face.box.y + face.box.h for face in found[0]) <= height + 1e-6


ODD = [(1, 1), (1, 500), (500, 1), (7, 5), (31, 33), (48, 48), (63, 64), (20, 3000), (3000, 3)]


@pytest.mark.parametrize("shape", ODD)
@pytest.mark.parametrize("kind", ["black", "white", "stripes"])
def test_no_face_is_made_up_in_odd_pictures(name, shape, kind):
    image = {
        "black": np.zeros((*shape, 3), np.uint8),
        "white": np.full((*shape, 3), 255, np.uint8),
        "stripes": np.indices((*shape, 3))[1].astype(np.uint8) % 2 * 255,
    }[kind]
    assert find_faces(image, name) == ()


@pytest.mark.slow
@pytest.mark.parametrize("shape", ODD)
def test_whatever_is_seen_in_noise_is_a_plain_box_in_the_picture(name, shape):
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    faces = find_faces(noise, name, min_score=0.0)
    whole = Box(0, 0, shape[1], shape[0])
    assert all(face.box.intersection(whole) == pytest.approx(face.box.area) for face in faces)
    assert all(0 <= face.score <= 1 for face in faces)


def test_numbers_are_plain_floats(name):
    """So that a box prints well and goes into JSON."""
    image, _ = drawn()
    (face,) = find_faces(image, name)
    numbers = (face.box.x, face.box.y, face.box.w, face.box.h, face.score)
    assert {type(number) for number in numbers} == {float}


def test_min_score_leaves_out_the_lower_scores(name):
    image, _ = drawn()
    (face,) = find_faces(image, name)
    assert find_faces(image, name, min_score=face.score * 0.99) == (face,)
    assert find_faces(image, name, min_score=min(1.0, face.score * 1.01)) == ()


def test_the_picture_is_not_changed_and_the_same_faces_come_again(name):
    image, _ = drawn()
    before = image.copy()
    view = np.flip(np.flip(image, 1).copy(), 1)  # not contiguous
    assert find_faces(image, name) == find_faces(image, name) == find_faces(view, name)
    np.testing.assert_array_equal(image, before)


def test_color_order_is_rgb(name):
    """Faces are found in a picture as it is; gray, which has no order, gives nearly the same box."""
    image, _ = drawn()
    (color,) = find_faces(image, name)
    (gray,) = find_faces(image.mean(2).astype(np.uint8), name)
    assert color.box.iou(gray.box) > 0.75


def test_threads_find_what_one_finds(name):
    image, _ = drawn()
    pictures = [image, resize_image(image, 90, 90), np.ascontiguousarray(image[:, 40:])]
    expected = [find_faces(picture, name) for picture in pictures]
    wrong: list[int] = []

    def search(start: int) -> None:
        for step in range(3):
            k = (start + step) % 3
            if find_faces(pictures[k], name) != expected[k]:
                wrong.append(k)

    threads = [threading.Thread(target=search, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
