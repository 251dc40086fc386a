"""What is measured of a face: how sharp, how bright, and where it is turned."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from openaffect.faces.boxes import Box
from openaffect.faces.crops import CropRule, crop
from openaffect.images import Pixels

_TIGHT = CropRule(margin=0.0)
_SIDE = 112  # pixels: faces of every size are compared at this one

# The rigid ones of the 68 points: corners of the eyes, bridge and wings of the nose. A mean face
# in units of half its width, x to the right, y down, z to the viewer, about its middle.
_RIGID = (36, 39, 42, 45, 27, 28, 29, 30, 31, 35)
_MEAN_FACE = np.array(
    [
        (-0.680, -0.022, 0.60),
        (-0.230, 0.028, 0.74),
        (0.230, 0.028, 0.74),
        (0.680, -0.022, 0.60),
        (0.000, -0.030, 0.86),
        (0.000, 0.160, 0.97),
        (0.000, 0.360, 1.09),
        (0.000, 0.550, 1.18),
        (-0.205, 0.655, 0.86),
        (0.205, 0.655, 0.86),
    ]
)


class Pose(NamedTuple):
    """Where a head is turned, in degrees.

    Attributes:
        yaw: positive to the right of the image.
        pitch: positive up.
        roll: positive clockwise.
    """

    yaw: float
    pitch: float
    roll: float


def measure_light(image: Pixels, box: Box | None) -> tuple[float, float]:
    """How sharp and how bright a face is.

    Args:
        image: RGB uint8 (h, w, 3).
        box: of the face, in pixels of the image; None where the image already is the crop.

    Returns:
        The variance of the Laplacian of the gray face at 112 × 112 pixels (a blurred face has
        less than about 50), and its mean gray level, 0–255.

    Reference: Pech-Pacheco et al. (2000), Diatom autofocusing in brightfield microscopy. ICPR.
    """
    height, width = image.shape[:2]
    inside = None if box is None else box.clip(width, height)
    face = crop(image, inside, _TIGHT, (_SIDE, _SIDE))
    gray = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(gray, cv2.CV_64F).var()), float(gray.mean())


def find_pose(landmarks: NDArray[np.floating]) -> Pose:
    """Where a head is turned, from its landmarks.

    A mean face is fitted to the points that no expression moves, by a scaled orthographic view.

    Args:
        landmarks: (68, 2) in iBUG-68 order, pixels, y down.

    Reference: DeMenthon and Davis (1995), Model-based object pose in 25 lines of code. IJCV 15.
    """
    solid = _MEAN_FACE - _MEAN_FACE.mean(axis=0)
    flat = np.asarray(landmarks, np.float64)[list(_RIGID)]
    view = np.linalg.lstsq(solid, flat - flat.mean(axis=0), rcond=None)[0].T  # (2, 3)
    # The nearest pair of orthogonal rows of one length; then the third of the rotation.
    u, _, v = np.linalg.svd(view, full_matrices=False)
    right, down = u @ v
    ahead = np.cross(right, down)
    return Pose(  # the rotation is roll · pitch · yaw
        yaw=math.degrees(math.atan2(-ahead[0], ahead[2])),
        pitch=math.degrees(math.asin(float(np.clip(ahead[1], -1, 1)))),
        roll=math.degrees(math.atan2(-right[1], down[1])),
    )
