"""YuNet: a small neural face detector (Apache-2.0), run by OpenCV.

Its weights are not in the package: `openaffect weights yunet` fetches them once.

Reference: Wu, Peng and Yu (2023), YuNet: a tiny millisecond-level face detector.
Machine Intelligence Research 20.
"""

from __future__ import annotations

import threading
from typing import Any

import cv2
import numpy as np

from openaffect.faces.detectors import Found, Framing, ScaledImage, non_max_suppression
from openaffect.images import Pixels
from openaffect.weights import require_weights, weights_folder

FRAMING = Framing()
"""YuNet's boxes are the measure of the others."""

MIN_SCORE = 0.6

# One pass of YuNet finds faces of 32 to 450 pixels (88 % of 60 at 32, all from 50 to 450, 72 %
# at 640), so every picture is seen twice. The fine pass finds small faces; a small picture is
# enlarged for it (faces of 16 pixels in one of 100: 93 % found at 320, 37 % at 192; n = 60).
# The coarse pass finds faces that fill the picture (512 FER+ close-ups: 98.0 % found at 192,
# 97.7 % at 256, 63.5 % at 640, 98.6 % by both passes). `benchmarks/detectors.py` prints these.
_FINE = (320, 640)
_COARSE = 192
_CLOSE = 160  # of a cut-out: its face has 50 to 110 pixels
_LEAST_SIDE = 64  # thinner pictures can give boxes that make no sense, with a score of 1
_SAME_FACE = 0.3
_MOST_FACES = 5000

# A FaceDetectorYN keeps state between calls: each thread has its own, loaded once.
_thread = threading.local()


def detect(image: Pixels, min_score: float, close: bool = False) -> Found:
    """Faces with their scores, boxes in pixels of the picture.

    Args:
        image: RGB uint8 (h, w, 3).
        min_score: leave out finds below this, in [0, 1].
        close: the picture was cut out around a face: one pass instead of two.

    Raises:
        MissingWeights: the net is not on this machine.
    """
    net = _net()
    net.setScoreThreshold(float(min_score))
    if close:
        return non_max_suppression(_look(net, ScaledImage.of(image, _CLOSE, _CLOSE)))
    fine = ScaledImage.of(image, *_FINE)
    coarse = fine.resized(_COARSE)
    return non_max_suppression([*_look(net, fine), *_look(net, coarse)])


def _look(net: Any, picture: ScaledImage) -> Found:
    height, width = picture.pixels.shape[:2]
    bgr = cv2.copyMakeBorder(
        cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2BGR),
        *(0, max(0, _LEAST_SIDE - height), 0, max(0, _LEAST_SIDE - width)),
        cv2.BORDER_CONSTANT,
    )
    net.setInputSize((bgr.shape[1], bgr.shape[0]))
    rows = net.detect(bgr)[1]
    if rows is None:
        return []
    # A row: x, y, w, h, five points, score.
    return [
        (picture.to_original(*row[:4]), min(float(row[-1]), 1.0))
        for row in rows
        if np.isfinite(row).all() and row[2] > 0 and row[3] > 0
    ]


def _net() -> Any:
    folder = weights_folder()
    if getattr(_thread, "folder", None) != folder:
        path = require_weights("yunet")
        _thread.net = cv2.FaceDetectorYN.create(
            str(path), "", (_COARSE, _COARSE), MIN_SCORE, _SAME_FACE, _MOST_FACES
        )
        _thread.folder = folder
    return _thread.net
