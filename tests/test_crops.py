"""The crop rule: its definition restated pixel by pixel, its inverse, its borders and its limits."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openaffect.errors import FormatError, InputError, UnknownName
from openaffect.faces import Box, CropRule, Window, crop, crop_window

RULE = CropRule()
boxes = st.builds(
    Box, st.floats(-60, 60), st.floats(-60, 60), st.floats(0.1, 60), st.floats(0.1, 60)
)
rules = st.builds(
    CropRule,
    margin=st.floats(-0.4, 1.0),
    square=st.booleans(),
    border=st.sampled_from(["replicate", "black"]),
)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    # From 1, so that black is seen to come from the border only.
    return np.random.default_rng(seed).integers(1, 256, (height, width, 3), dtype=np.uint8)


def crop_pixel_by_pixel(image: np.ndarray, window: Window, border: str) -> np.ndarray:
    height, width = image.shape[:2]
    result = np.zeros((window.h, window.w, 3), np.uint8)
    for row in range(window.h):
        for column in range(window.w):
            x, y = window.x + column, window.y + row
            if border == "replicate" or (0 <= x < width and 0 <= y < height):
                result[row, column] = image[min(max(y, 0), height - 1), min(max(x, 0), width - 1)]
    return result


@settings(max_examples=60, deadline=None)
@given(boxes, rules, st.integers(1, 20), st.integers(1, 20))
def test_a_crop_is_what_its_window_says_pixel_by_pixel(box, rule, height, width):
    image = picture(height, width)
    window = crop_window(box, rule)
    np.testing.assert_array_equal(
        crop(image, box, rule), crop_pixel_by_pixel(image, window, rule.border)
    )


@pytest.mark.parametrize("border", ["replicate", "black"])
@pytest.mark.parametrize(
    ("x", "y"), [(-100, 5), (100, 5), (5, -100), (5, 100), (-9e8, -9e8), (9e8, 9e8), (-4, -4)]
)
@pytest.mark.parametrize("shape", [(30, 40), (1, 1), (1, 40)])
def test_a_box_that_leaves_the_picture_on_any_side(x, y, border, shape):
    image = picture(*shape)
    rule = CropRule(margin=0.0, border=border)
    result = crop(image, Box(x, y, 8, 8), rule)
    expected = crop_pixel_by_pixel(image, Window(int(x), int(y), 8, 8), border)
    np.testing.assert_array_equal(result, expected)


@given(boxes, st.floats(-0.4, 2.0))
def test_the_window_is_the_square_of_one_plus_two_margins(box, margin):
    window = crop_window(box, CropRule(margin=margin))
    side = (1 + 2 * margin) * max(box.w, box.h)
    assert window.w == window.h
    assert abs(window.w - side) <= max(0.5, 1 - side)
    # Rounding to whole pixels moves the center by half a pixel at most.
    assert abs(window.x + window.w / 2 - box.center[0]) <= 0.5
    assert abs(window.y + window.h / 2 - box.center[1]) <= 0.5


def test_without_square_width_and_height_grow_each():
    assert crop_window(Box(10, 10, 20, 10), CropRule(margin=0.5, square=False)) == Window(
        0, 5, 40, 20
    )


points = st.lists(st.tuples(st.floats(-500, 500), st.floats(-500, 500)), min_size=1, max_size=5)


@given(boxes, rules, points, st.integers(1, 500), st.integers(1, 500))
def test_points_into_a_crop_and_back_are_the_same(box, rule, where, width, height):
    window = crop_window(box, rule)
    given_points = np.array(where)
    back = window.from_crop(window.to_crop(given_points, width, height), width, height)
    # float32 keeps 24 bits of the crop's coordinates, which a small crop spreads out again.
    scale = max(window.w / width, window.h / height)
    reach = np.abs(window.to_crop(given_points, width, height)).max() * scale + 600
    np.testing.assert_allclose(back, given_points, atol=reach * 2**-22)


def test_a_marked_pixel_lands_where_the_window_says():
    image = np.zeros((60, 60, 3), np.uint8)
    image[20:24, 30:34] = 255
    box, size = Box(12, 8, 30, 30), (78, 78)
    result = crop(image, box, RULE, size)
    window = crop_window(box, RULE)
    rows, columns = np.nonzero(result[:, :, 0] > 127)
    corners = np.array([[30, 20], [34, 24]])
    (left, top), (right, bottom) = window.to_crop(corners, *size)
    assert columns.min() == pytest.approx(left, abs=1)
    assert columns.max() + 1 == pytest.approx(right, abs=1)
    assert rows.min() == pytest.approx(top, abs=1)
    assert rows.max() + 1 == pytest.approx(bottom, abs=1)


@pytest.mark.parametrize(
    ("x", "y"), [(-8, 2), (20, 2), (2, -8), (2, 20), (-9, 2), (2, 21), (-8, -8)]
)
def test_a_window_that_only_touches_the_picture_is_black(x, y):
    """Its last column is the one before the first of the picture, and the like."""
    image = np.full((20, 20, 3), 200, np.uint8)
    rule = CropRule(margin=0.0, border="black")
    assert crop(image, Box(x, y, 8, 8), rule).max() == 0
    assert crop(image, Box(np.clip(x, -7, 19), np.clip(y, -7, 19), 8, 8), rule).max() == 200


def test_no_box_means_the_whole_picture():
    image = picture(7, 9)
    np.testing.assert_array_equal(crop(image, None, RULE), image)
    assert crop(image, None, RULE, (5, 4)).shape == (4, 5, 3)


def test_a_size_is_width_then_height():
    assert crop(picture(50, 50), Box(5, 5, 20, 30), RULE, (16, 24)).shape == (24, 16, 3)


@pytest.mark.parametrize("side", [30_000.0, 1e12, 1e300])
def test_a_box_far_larger_than_the_picture_is_refused_without_taking_memory(side):
    tracemalloc.start()
    with pytest.raises(InputError, match="the limit is 200,000,000"):
        crop(picture(10, 10), Box(0, 0, side, side), RULE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_box_far_outside_takes_no_more_memory_than_its_crop():
    tracemalloc.start()
    assert crop(picture(10, 10), Box(-1e9, 0, 100, 100), RULE).shape == (130, 130, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize("margin", [-0.5, 5.1, float("nan"), float("inf")])
def test_a_margin_out_of_range_is_refused(margin):
    with pytest.raises(FormatError, match="margin"):
        CropRule(margin=margin)


def test_an_unknown_border_gets_the_nearest_name():
    with pytest.raises(UnknownName, match="did you mean 'replicate'"):
        CropRule(border="replicat")


@given(rules)
def test_a_rule_survives_its_data(rule):
    assert CropRule.from_dict(rule.to_dict()) == rule


@pytest.mark.parametrize(
    "data", [{"margins": 1}, {"margin": "wide"}, {"square": "no"}, {"border": []}, ["margin"], None]
)
def test_data_that_is_no_rule_is_refused(data):
    with pytest.raises(FormatError):
        CropRule.from_dict(data)
