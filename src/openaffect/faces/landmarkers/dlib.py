"""68 landmarks by dlib's ensemble of regression trees; needs the extra `landmarks`.

Reference: Kazemi and Sullivan (2014), One millisecond face alignment with an ensemble of
regression trees. CVPR.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openaffect.errors import MissingExtra
from openaffect.extras import needs
from openaffect.faces.boxes import Box
from openaffect.faces.crops import CropRule, crop, crop_window
from openaffect.faces.detectors import Framing
from openaffect.images import Pixels

NOTICE = (
    "landmarks by dlib's 68-point predictor: it was trained on iBUG 300-W, "
    "whose terms exclude commercial use"
)

# From the box of dlib's own detector, which the predictor was trained on, to YuNet's: medians
# over 142 of 150 photos, `benchmarks/detectors.py` (interquartile ranges 0.15, 0.16, 0.08, 0.05).
# On 48 synthetic faces the mean error is 4.8 % of the distance of the outer eye corners.
FRAMING = Framing(width=0.944, height=1.145, dx=-0.008, dy=-0.078)

# Every face is seen at one size, whatever the picture's: dlib rounds its points to whole
# pixels, and its trees compare single pixels, which flicker in large pictures.
_RULE = CropRule(margin=0.5)
_SIDE = 400


def locate(image: Pixels, box: Box) -> NDArray[np.float32]:
    """68 points in iBUG-68 order, float32 (68, 2), in pixels of the picture.

    Args:
        image: RGB uint8 (h, w, 3).
        box: the face, in YuNet's framing.
    Raises:
        MissingExtra: dlib or its predictor file is not installed.
    """
    predictor, dlib = _predictor()
    window = crop_window(box, _RULE)
    piece = np.ascontiguousarray(crop(image, box, _RULE, (_SIDE, _SIDE)))
    own = FRAMING.undo(box)
    corners = np.array([[own.x, own.y], [own.x + own.w, own.y + own.h]])
    (left, top), (right, bottom) = np.rint(window.to_crop(corners, _SIDE, _SIDE)).astype(int)
    shape = predictor(piece, dlib.rectangle(int(left), int(top), int(right), int(bottom)))
    # dlib's points name pixels; half a pixel on are their middles.
    points = np.array([(point.x + 0.5, point.y + 0.5) for point in shape.parts()])
    return window.from_crop(points, _SIDE, _SIDE)


@functools.cache
def _predictor() -> tuple[Any, Any]:
    """The predictor, which any thread may call, and the module dlib; loading takes a second."""
    with needs("landmarks", "finding landmarks with dlib"):
        import dlib
    return dlib.shape_predictor(str(_predictor_file())), dlib


def _predictor_file() -> Path:
    # Found by its path: importing that package fails without pkg_resources, which is long gone.
    spec = importlib.util.find_spec("face_recognition_models")
    for folder in (spec and spec.submodule_search_locations) or ():
        file = Path(folder) / "models" / "shape_predictor_68_face_landmarks.dat"
        if file.is_file():
            return file
    raise MissingExtra("landmarks", "finding landmarks with dlib")
