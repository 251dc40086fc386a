"""The boosted cascade of Haar features that comes with OpenCV: slower and worse than YuNet, but always here.

It is the kind of detector that AffectNet's own faces were found with.

Reference: Viola and Jones (2004), Robust real-time face detection. IJCV 57(2);
OpenCV's `haarcascade_frontalface_alt2`.
"""

from __future__ import annotations

import threading
from pathlib import Path

import cv2.data

from openaffect.faces.detectors import Found, Framing, ScaledImage, non_max_suppression
from openaffect.images import Pixels

# Medians over the 144 of 150 photos in which it and YuNet find one face each (interquartile
# ranges 0.08, 0.09, 0.07, 0.04): `benchmarks/detectors.py`. The median IoU with YuNet's box is
# 0.80 before and 0.84 after. On 51 synthetic faces with room around them: 0.785, 1.085, 0.00, 0.03.
FRAMING = Framing(width=0.883, height=1.074, dx=-0.003, dy=0.022)

MIN_SCORE = 0.5

# A face is at least 24 pixels here: 7.5 % of the longer side of a large picture. Time grows
# with the area: 100 ms a picture at 320 on one thread, 160 at 400.
_SIDES = (200, 320)
_CLOSE = 128  # of a cut-out: its face has 40 to 90 pixels
_LEAST_FACE = 24
# The cascade wants some room around a face. With a border of a tenth, 95 % of 150 close-ups
# are found instead of 87 %, and 77 % of 179 from FER+ instead of 69 %.
_BORDER = 0.1
_STEP = 1.1
_LEAST_NEIGHBORS = 3
_CASCADE = "haarcascade_frontalface_alt2.xml"

# A CascadeClassifier keeps state between calls: each thread has its own, loaded once.
_thread = threading.local()


def detect(image: Pixels, min_score: float, close: bool = False) -> Found:
    """Faces with their scores, boxes in pixels of the picture.

    The score is n / (n + 3) for a find that n neighboring windows agree on: 0.5 for three,
    the fewest that count, and 0.92 for 33, the median over faces. OpenCV's level weights tell
    true finds from false ones less well: they lie within 54 and 58 for both.

    Args:
        image: RGB uint8 (h, w, 3).
        min_score: leave out finds below this, in [0, 1].
        close: the picture was cut out around a face, and is searched at a smaller size.
    """
    picture = ScaledImage.of(image, *((_CLOSE, _CLOSE) if close else _SIDES))
    edge = round(_BORDER * max(picture.pixels.shape[:2]))
    gray = cv2.equalizeHist(cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2GRAY))
    gray = cv2.copyMakeBorder(gray, edge, edge, edge, edge, cv2.BORDER_REPLICATE)
    boxes, counts = _cascade().detectMultiScale2(
        gray,
        scaleFactor=_STEP,
        minNeighbors=_LEAST_NEIGHBORS,
        minSize=(_LEAST_FACE, _LEAST_FACE),
    )
    found = []
    for (x, y, w, h), count in zip(boxes, counts, strict=True):
        score = int(count) / (int(count) + _LEAST_NEIGHBORS)
        if score >= min_score:
            found.append((picture.to_original(x - edge, y - edge, w, h), score))
    return non_max_suppression(found)


def _cascade() -> cv2.CascadeClassifier:
    if not hasattr(_thread, "cascade"):
        file = Path(cv2.data.haarcascades) / _CASCADE
        _thread.cascade = cv2.CascadeClassifier(str(file))
    cascade: cv2.CascadeClassifier = _thread.cascade
    return cascade
