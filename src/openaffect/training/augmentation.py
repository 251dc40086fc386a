"""Augmentation of training images: sampled for a whole batch at once, then applied face by face."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from openaffect.training.recipe import Recipe

Image = NDArray[np.uint8]
Changes = dict[str, NDArray[np.float64]]


def sample_changes(recipe: Recipe, count: int, rng: np.random.Generator) -> Changes:
    """Random numbers for the changes of `count` pictures.

    Each is drawn whether the recipe uses it or not, in this order, so that switching one on
    leaves the others as they are.

    Returns:
        For each change, (count,) or (count, k).
    """
    edge = recipe.resize - recipe.size
    if recipe.crops == "five":
        places = np.array([[0, 0], [0, edge], [edge, 0], [edge, edge], [edge // 2, edge // 2]])
        corner = places[rng.integers(5, size=count)]
    elif recipe.crops == "random":
        corner = rng.integers(edge + 1, size=(count, 2))
    else:
        corner = np.full((count, 2), edge // 2)
    return {
        "corner": corner.astype(np.float64),
        "flip": (rng.random(count) < 0.5) * float(recipe.flip),
        "angle": rng.uniform(-1, 1, count) * recipe.rotate,
        "scale": np.exp(rng.uniform(-1, 1, count) * np.log1p(recipe.zoom)),
        "shift": rng.uniform(-1, 1, (count, 2)) * recipe.shift * recipe.size,
        "gain": 1 + rng.uniform(-1, 1, count) * recipe.brightness_contrast,
        "offset": rng.uniform(-1, 1, count) * recipe.brightness_contrast * 128,
        "window": rng.random((count, 4)),
        "color_jitter": 1 + rng.uniform(-1, 1, (count, 3)) * recipe.color_jitter,
        # The first number of each decides whether, the others how much.
        "gray": rng.random((count, 1)),
        "blur": rng.random((count, 2)),
        "downscale": rng.random((count, 2)),
        "jpeg": rng.random((count, 2)),
        "random_erasing": rng.random((count, 5)),
    }


def augment(
    recipe: Recipe, image: Image, change: dict[str, Any], out: Image | None = None
) -> Image:
    """The piece that the network sees of one crop, changed as drawn; the crop is left alone.

    What a camera would do comes in its order: framing, light and color, then focus, resolution
    and compression, then what hides a part of the face.

    Args:
        recipe: its sizes and chances.
        image: RGB uint8 (resize, resize, 3).
        change: of `sample_changes`, for this picture.
        out: where to put the piece, uint8 (size, size, 3); a new array or a part of the crop
            without.

    Returns:
        RGB uint8 (size, size, 3); `out`, if given.
    """
    size = recipe.size
    x, y = (int(value) for value in change["corner"])
    if recipe.crops == "resized":
        image = _resize_window(image, size, recipe.min_area, change["window"])
        x = y = 0
    if recipe.rotate or recipe.zoom or recipe.shift:
        piece = _warp(image, size, x, y, change)
    else:
        piece = image[y : y + size, x : x + size]
    if change["flip"]:
        # Faster than NumPy's view and copy, and half as long again straight into a batch.
        flipped = np.asarray(cv2.flip(piece, 1, out), np.uint8)
        piece = flipped if out is None else out
    if recipe.brightness_contrast:
        piece = _gain(piece, change["gain"], change["offset"])
    if recipe.color_jitter:
        piece = _gain(piece, change["color_jitter"].astype(np.float32), 0.0, middle=0.0)
    if change["gray"][0] < recipe.gray:
        gray = cv2.cvtColor(piece, cv2.COLOR_RGB2GRAY)
        piece = np.repeat(np.asarray(gray, np.uint8)[:, :, None], 3, axis=2)
    if change["blur"][0] < recipe.blur:
        radius = size * (0.005 + 0.025 * change["blur"][1])
        piece = np.asarray(cv2.GaussianBlur(piece, (0, 0), radius), np.uint8)
    if change["downscale"][0] < recipe.downscale:
        piece = _downscale(piece, change["downscale"][1])
    if change["jpeg"][0] < recipe.jpeg:
        piece = _jpeg(piece, change["jpeg"][1])
    if change["random_erasing"][0] < recipe.random_erasing:
        piece = _erase(piece, change["random_erasing"][1:])
    if out is None or piece is out:
        return piece
    out[:] = piece
    return out


def _resize_window(image: Image, size: int, min_area: float, how: NDArray[np.float64]) -> Image:
    """A rectangle of a random area, aspect (3/4 to 4/3) and place, brought to size × size."""
    whole = image.shape[0]
    area = min_area + (1 - min_area) * how[0]
    aspect = np.exp(np.log(4 / 3) * (2 * how[1] - 1))
    w = min(whole, round(whole * float(np.sqrt(area * aspect))))
    h = min(whole, round(whole * float(np.sqrt(area / aspect))))
    x, y = int(how[2] * (whole - w + 1)), int(how[3] * (whole - h + 1))
    window = image[y : y + h, x : x + w]
    resized = cv2.resize(window, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)


def _warp(image: Image, size: int, x: int, y: int, change: dict[str, Any]) -> Image:
    """The piece at (x, y) of the picture turned and zoomed about the piece's center."""
    middle = (x + size / 2 - 0.5, y + size / 2 - 0.5)
    turn = cv2.getRotationMatrix2D(middle, float(change["angle"]), float(change["scale"]))
    matrix = turn.astype(np.float64)
    matrix[:, 2] += change["shift"] - np.array([x, y])
    turned = cv2.warpAffine(
        image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(turned, np.uint8)


def _gain(
    piece: Image, gain: float | NDArray[np.float32], offset: float, middle: float = 128.0
) -> Image:
    """(value − middle) · gain + middle + offset; the half rounds what the cast would cut off."""
    bright = (piece.astype(np.float32) - middle) * gain + (middle + 0.5 + offset)
    lit: Image = np.clip(bright, 0, 255).astype(np.uint8)
    return lit


def _downscale(piece: Image, how: float) -> Image:
    """To between 1 and 1/4 of the resolution and back."""
    size = piece.shape[0]
    small = max(4, round(size * 4.0 ** -float(how)))
    shrunk = cv2.resize(piece, (small, small), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(shrunk, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)


def _jpeg(piece: Image, how: float) -> Image:
    """Through JPEG at a quality of 10 to 90."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, round(10 + 80 * float(how))]
    code = cv2.imencode(".jpg", np.ascontiguousarray(piece), quality)[1]
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)


def _erase(piece: Image, how: NDArray[np.float64]) -> Image:
    """A gray rectangle of 2 to 20 % of the picture (Zhong et al. 2020, random erasing)."""
    size = piece.shape[0]
    area, aspect = 0.02 + 0.18 * how[0], np.exp(np.log(3) * (2 * how[1] - 1))
    w = min(size, round(size * float(np.sqrt(area * aspect))))
    h = min(size, round(size * float(np.sqrt(area / aspect))))
    x, y = int(how[2] * (size - w + 1)), int(how[3] * (size - h + 1))
    result = piece.copy()
    result[y : y + h, x : x + w] = 128
    return result


def mixup(
    alpha: float, images: Tensor, soft_targets: Tensor, affect: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Each face mixed with another of the batch, by one share for all (Zhang et al. 2018).

    Valence and arousal that one of the two lacks stay unknown.
    """
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    other = torch.randperm(len(images)).to(images.device)
    first, second, third = (
        share * x + (1 - share) * x[other] for x in (images, soft_targets, affect)
    )
    return first, second, third
