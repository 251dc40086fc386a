"""Random changes of training pictures: identity where nothing changes, ranges, exact values."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from openaffect.training.augmentation import augment, sample_changes
from training.faces import center_pieces, fast_recipe

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 21, 21, 3), dtype=np.uint8)


def changes_of(recipe, count: int = 40, **fixed) -> dict[str, np.ndarray]:
    changes = sample_changes(recipe, count, np.random.default_rng(0))
    for name, value in fixed.items():
        changes[name] = np.broadcast_to(np.asarray(value, float), changes[name].shape)
    return changes


def augment_all(recipe, images, changes) -> np.ndarray:
    """Every picture with its own change."""
    own = [{k: v[n] for k, v in changes.items()} for n in range(len(images))]
    return np.stack([augment(recipe, image, c) for image, c in zip(images, own, strict=True)])


@pytest.mark.parametrize("warps", [{}, {"rotate": 1.0}, {"brightness_contrast": 0.5}])
def test_no_change_is_the_identity(warps):
    recipe = fast_recipe(resize=21, size=16, **warps)
    still = {"flip": 0, "angle": 0, "scale": 1, "shift": 0, "gain": 1, "offset": 0}
    found = augment_all(recipe, IMAGES, changes_of(recipe, **still))
    assert np.array_equal(found, center_pieces(recipe, IMAGES))
    assert np.array_equal(found, IMAGES[:, 2:18, 2:18])


@pytest.mark.parametrize("warps", [{}, {"rotate": 1.0}])
def test_flip_mirrors_every_second_picture(warps):
    recipe = fast_recipe(resize=21, size=16, **warps)
    changes = changes_of(recipe, angle=0, scale=1, shift=0)
    flipped = changes["flip"].astype(bool)
    assert 10 < flipped.sum() < 30
    found = augment_all(recipe, IMAGES, changes)
    pieces = center_pieces(recipe, IMAGES)
    assert np.array_equal(found[flipped], pieces[flipped][:, :, ::-1])
    assert np.array_equal(found[~flipped], pieces[~flipped])


@pytest.mark.parametrize(
    "changes", [{}, {"brightness_contrast": 0.5}, {"rotate": 5.0}, {"flip": False}]
)
def test_a_piece_can_be_put_into_a_batch(changes):
    recipe = fast_recipe(resize=21, size=16, **changes)
    drawn = changes_of(recipe)
    batch = np.zeros((40, 16, 16, 3), np.uint8)
    for number, (image, place) in enumerate(zip(IMAGES, batch, strict=True)):
        before = image.copy()
        given = augment(recipe, image, {k: v[number] for k, v in drawn.items()}, place)
        assert given is place
        assert np.array_equal(image, before)
    assert np.array_equal(batch, augment_all(recipe, IMAGES, drawn))


def test_flip_can_be_turned_off():
    assert not changes_of(fast_recipe(flip=False))["flip"].any()


def test_five_crops_are_the_corners_and_the_center():
    recipe = fast_recipe(resize=21, size=16, crops="five", flip=False)
    changes = changes_of(recipe, 400)
    corners = {tuple(corner) for corner in changes["corner"].astype(int).tolist()}
    assert corners == {(0, 0), (0, 5), (5, 0), (5, 5), (2, 2)}
    found = augment_all(recipe, IMAGES, {k: v[:40] for k, v in changes.items()})
    x, y = changes["corner"][7].astype(int)
    assert np.array_equal(found[7], IMAGES[7, y : y + 16, x : x + 16])


def test_random_crops_reach_every_place():
    recipe = fast_recipe(resize=18, size=16, crops="random")
    corners = {tuple(c) for c in changes_of(recipe, 400)["corner"].astype(int).tolist()}
    assert corners == {(x, y) for x in range(3) for y in range(3)}


def test_changes_stay_in_their_ranges_and_reach_far():
    recipe = fast_recipe(rotate=30.0, zoom=0.25, shift=0.1, brightness_contrast=0.5)
    changes = changes_of(recipe, 4000)
    for name, low, high in (
        ("angle", -30, 30),
        ("scale", 0.8, 1.25),
        ("shift", -1.6, 1.6),
        ("gain", 0.5, 1.5),
        ("offset", -64, 64),
    ):
        values = changes[name]
        slack = 0.02 * (high - low)
        assert low <= values.min() < low + slack, name
        assert high - slack < values.max() <= high, name


def test_rotation_is_about_the_center_and_shift_is_in_pixels():
    recipe = fast_recipe(resize=21, size=15, rotate=1.0)
    one = IMAGES[:1]
    still = {"flip": 0, "scale": 1, "gain": 1, "offset": 0}
    turned = augment_all(recipe, one, changes_of(recipe, 1, **still, angle=90, shift=0))
    assert np.abs(turned[0].astype(int) - np.rot90(one[0, 3:18, 3:18])).max() <= 1
    moved = augment_all(recipe, one, changes_of(recipe, 1, **still, angle=0, shift=[2, 1]))
    assert np.array_equal(moved[0], one[0, 2:17, 1:16])


def test_light_changes_by_gain_and_offset_around_the_middle():
    recipe = fast_recipe(resize=16, size=16, brightness_contrast=0.5, flip=False)
    gray = np.full((1, 16, 16, 3), 100, np.uint8)
    changed = augment_all(recipe, gray, changes_of(recipe, 1, gain=1.5, offset=10))
    assert {*changed.ravel().tolist()} == {96}  # 128 + 1.5 · (100 − 128) + 10
    bright = augment_all(recipe, gray + 150, changes_of(recipe, 1, gain=1.5, offset=10))
    assert {*bright.ravel().tolist()} == {255}
    kept = augment_all(recipe, gray, changes_of(recipe, 1, gain=1, offset=0.6))
    assert {*kept.ravel().tolist()} == {101}


EVERYTHING = {
    "rotate": 10.0,
    "zoom": 0.2,
    "shift": 0.1,
    "brightness_contrast": 0.3,
    "color_jitter": 0.3,
    "gray": 0.5,
    "blur": 0.5,
    "downscale": 0.5,
    "jpeg": 0.5,
    "random_erasing": 0.5,
}


@pytest.mark.parametrize("crops", ["center", "random", "five", "resized"])
def test_augment_leaves_its_input_alone_and_keeps_shape_and_type(crops):
    recipe = fast_recipe(resize=21, size=16, crops=crops, **EVERYTHING)
    before = IMAGES.copy()
    found = augment_all(recipe, IMAGES, changes_of(recipe))
    assert np.array_equal(IMAGES, before)
    assert (found.shape, found.dtype) == ((40, 16, 16, 3), np.dtype(np.uint8))


@pytest.mark.parametrize("name", ["gray", "blur", "downscale", "jpeg", "random_erasing"])
def test_a_chance_is_the_share_of_pictures_that_change(name):
    still = {"flip": False, "resize": 96, "size": 96}
    images = np.random.default_rng(0).integers(0, 256, (40, 96, 96, 3), dtype=np.uint8)
    plain = fast_recipe(**still)
    changes = changes_of(plain)
    before = augment_all(plain, images, changes)
    shares = []
    for chance in (0.0, 0.5, 1.0):
        after = augment_all(fast_recipe(**still, **{name: chance}), images, changes)
        shares.append((after != before).any(axis=(1, 2, 3)).mean())
    assert shares[0] == 0
    assert 0.25 < shares[1] < 0.75  # 40 pictures
    assert shares[2] == 1


def test_switching_a_change_on_leaves_the_others_as_they_were():
    one, other = (
        fast_recipe(brightness_contrast=0.3),
        fast_recipe(brightness_contrast=0.3, random_erasing=1.0, jpeg=1.0, zoom=0.2),
    )
    first, second = changes_of(one), changes_of(other)
    same = [name for name in first if np.array_equal(first[name], second[name])]
    assert {*first} - {*same} == {"scale"}  # zoom's own


def test_gray_pictures_have_three_equal_channels_and_blur_lowers_contrast():
    recipe = fast_recipe(resize=16, size=16, gray=1.0)
    found = augment_all(recipe, IMAGES[:, :16, :16], changes_of(recipe))
    assert np.array_equal(found[..., 0], found[..., 1])
    assert np.array_equal(found[..., 0], found[..., 2])
    for name in ("blur", "downscale"):
        changed = fast_recipe(resize=16, size=16, flip=False, **{name: 1.0})
        found = augment_all(changed, IMAGES[:, :16, :16], changes_of(changed))
        assert found.std() < IMAGES.std()


def test_color_multiplies_each_channel():
    recipe = fast_recipe(resize=16, size=16, color_jitter=0.5, flip=False)
    gray = np.full((1, 16, 16, 3), 100, np.uint8)
    changes = changes_of(recipe, 1, color_jitter=[0.5, 1.0, 1.5])
    assert augment_all(recipe, gray, changes)[0, 3, 3].tolist() == [50, 100, 150]


def test_an_erased_rectangle_is_gray_and_of_the_size_drawn():
    recipe = fast_recipe(resize=100, size=100, random_erasing=1.0, flip=False)
    black = np.zeros((1, 100, 100, 3), np.uint8)
    # Area 0.02 + 0.18 · 0.5 = 0.11, aspect 1: 33 pixels wide and high, in the corner.
    changes = changes_of(recipe, 1, random_erasing=[0.0, 0.5, 0.5, 0.0, 0.0])
    found = augment_all(recipe, black, changes)[0]
    assert (found[:33, :33] == 128).all()
    assert (found == 128).sum() == 3 * 33 * 33


def test_a_resized_window_is_the_rectangle_drawn():
    recipe = fast_recipe(resize=100, size=50, crops="resized", min_area=0.25, flip=False)
    image = np.random.default_rng(1).integers(0, 256, (1, 100, 100, 3), np.uint8)
    # Area 0.25, aspect 1: 50 pixels, which are not changed; at the far corner.
    changes = changes_of(recipe, 1, window=[0.0, 0.5, 0.999, 0.999])
    assert np.array_equal(augment_all(recipe, image, changes)[0], image[0, 50:, 50:])
    whole = changes_of(recipe, 1, window=[1.0, 0.5, 0.0, 0.0])
    expected = cv2.resize(image[0], (50, 50), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(augment_all(recipe, image, whole)[0], expected)
