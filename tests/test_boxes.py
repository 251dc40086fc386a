"""Boxes: geometry as declared properties, and independent counts of pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openaffect.faces import Box, Face

coordinate = st.floats(-1e4, 1e4)
side = st.floats(1e-2, 1e4)
boxes = st.builds(Box, coordinate, coordinate, side, side)
whole = st.builds(
    Box,
    st.integers(-10, 30).map(float),
    st.integers(-10, 30).map(float),
    st.integers(1, 30).map(float),
    st.integers(1, 30).map(float),
)


@pytest.mark.parametrize(
    "numbers",
    [
        (math.nan, 0, 1, 1),
        (0, math.inf, 1, 1),
        (0, 0, math.nan, 1),
        (0, 0, 1, math.inf),
        (0, 0, 0, 1),
        (0, 0, 1, -1),
    ],
)
def test_numbers_that_make_no_box_are_refused(numbers):
    with pytest.raises(ValueError, match="expected a box of"):
        Box(*numbers)


@given(boxes, st.floats(0.01, 100))
def test_expanding_keeps_the_center_and_scales_the_area(box, factor):
    grown = box.expand(factor)
    assert grown.center == pytest.approx(box.center, abs=1e-6)
    assert grown.area == pytest.approx(box.area * factor**2)


@given(boxes, st.floats(-3, 3), st.floats(-3, 3))
def test_shifting_moves_by_shares_of_the_own_size(box, dx, dy):
    moved = box.shift(dx, dy)
    assert (moved.w, moved.h) == (box.w, box.h)
    assert moved.x - box.x == pytest.approx(dx * box.w, abs=1e-6)
    assert moved.y - box.y == pytest.approx(dy * box.h, abs=1e-6)


@given(boxes, st.floats(0.01, 100))
def test_scaling_back_gives_the_same_box(box, factor):
    back = box.scale(factor).scale(1 / factor)
    assert (back.x, back.y, back.w, back.h) == pytest.approx((box.x, box.y, box.w, box.h))


@given(boxes, st.floats(1, 1e4), st.floats(1, 1e4))
def test_a_clipped_box_lies_in_the_picture_and_in_the_box(box, width, height):
    part = box.clip(width, height)
    if part is None:
        assert box.intersection(Box(0, 0, width, height)) == 0
        return
    assert part.x >= max(0, box.x)
    assert part.y >= max(0, box.y)
    assert part.x + part.w <= min(width, box.x + box.w) + 1e-9
    assert part.y + part.h <= min(height, box.y + box.h) + 1e-9
    assert part.area == pytest.approx(box.intersection(Box(0, 0, width, height)), abs=1e-6)


@pytest.mark.parametrize("box", [Box(-5, 0, 5, 5), Box(10, 0, 5, 5), Box(0, 10, 5, 5)])
def test_a_box_that_only_touches_the_picture_has_no_part_inside(box):
    assert box.clip(10, 10) is None


def paint(box: Box) -> np.ndarray:
    canvas = np.zeros((80, 80), bool)
    x, y = int(box.x) + 10, int(box.y) + 10
    canvas[y : y + int(box.h), x : x + int(box.w)] = True
    return canvas


@given(whole, whole)
def test_intersection_and_iou_equal_counts_of_painted_pixels(a, b):
    one, other = paint(a), paint(b)
    assert a.intersection(b) == (one & other).sum()
    assert a.iou(b) == pytest.approx((one & other).sum() / (one | other).sum(), abs=1e-12)


@given(boxes, boxes)
def test_iou_is_symmetric_and_one_with_itself(a, b):
    assert a.iou(b) == b.iou(a)
    assert 0 <= a.iou(b) <= 1 + 1e-9
    assert a.iou(a) == pytest.approx(1)


def test_faces_with_landmarks_can_be_compared_and_hashed():
    points = np.zeros((68, 2), np.float32)
    a = Face(Box(0, 0, 1, 1), 0.5, "haar", points)
    b = Face(Box(0, 0, 1, 1), 0.5, "haar", points.copy())
    assert a == b
    assert len({a, b}) == 1
    assert a != Face(Box(0, 0, 1, 2), 0.5, "haar", points)
