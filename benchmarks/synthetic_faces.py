"""How fast faces are drawn on one core, and how many of them detectors find.

Usage: python benchmarks/synthetic_faces.py
YuNet is measured when OPENAFFECT_WEIGHTS names a folder with yunet_n_320_320.onnx.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2.data
import numpy as np

from openaffect.labels import EMOTIONS
from openaffect.synthetic import Scene, synthesize_face, synthesize_faces

ROUNDS = 5
FACES = 100
FRONTAL = 200


def faces_per_second() -> float:
    """Median of five rounds, by CPU time of this process, so that other work does not count."""
    list(synthesize_faces(8, seed=0))
    rates = []
    for number in range(ROUNDS):
        start = time.process_time()
        for _ in synthesize_faces(FACES, seed=number):
            pass
        rates.append(FACES / (time.process_time() - start))
    return statistics.median(rates)


def found_share(find: Callable[[np.ndarray], bool]) -> float:
    found = 0
    for number in range(FRONTAL):
        rng = np.random.default_rng(number)
        scene = Scene.sample(rng, frontal=True)
        found += find(synthesize_face(EMOTIONS[number % 8], seed=rng, scene=scene).image)
    return found / FRONTAL


def main() -> None:
    cv2.setNumThreads(1)
    print(f"drawn at 256 px: {faces_per_second():.0f} faces/s a core (median of {ROUNDS})")
    name = cv2.data.haarcascades + "haarcascade_frontalface_alt2.xml"
    cascade = cv2.CascadeClassifier(name)

    def haar(image: np.ndarray) -> bool:
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        return len(cascade.detectMultiScale(gray, 1.1, 3)) > 0

    print(f"Haar finds {found_share(haar):.1%} of {FRONTAL} frontal faces")
    weights = Path(os.environ.get("OPENAFFECT_WEIGHTS", "")) / "yunet_n_320_320.onnx"
    if not weights.is_file():
        print("YuNet: not measured; OPENAFFECT_WEIGHTS names no folder with its file")
        return
    detector = cv2.FaceDetectorYN.create(str(weights), "", (256, 256), 0.6)

    def yunet(image: np.ndarray) -> bool:
        return detector.detect(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1] is not None

    print(f"YuNet finds {found_share(yunet):.1%} of {FRONTAL} frontal faces")


if __name__ == "__main__":
    main()
