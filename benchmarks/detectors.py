"""What the face detectors find, how fast, and what brings their boxes to YuNet's framing.

    OPENAFFECT_TEST_DATA=FOLDER OPENAFFECT_WEIGHTS=FOLDER python benchmarks/detectors.py [N]

reads N photos (default 150) of `photos.zip` and some of `ferplus.zip` in the first folder, and
YuNet from the second.
"""

from __future__ import annotations

import csv
import io
import os
import random
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from openaffect import lookup
from openaffect.faces import Box, CropRule, Face, crop, find_faces
from openaffect.faces.detectors import Framing, ScaledImage, yunet
from openaffect.faces.finding import DETECTORS
from openaffect.images import Pixels, read_image, resize_image

PASSES = 60
CLOSE_UPS = 512
RUNS = 5
TIMED = 30
LONG_SIDES = (100, 1000, 4000)


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 150
    data = Path(os.environ.get("OPENAFFECT_TEST_DATA", ""))
    if not ((data / "photos.zip").is_file() and (data / "ferplus.zip").is_file()):
        print("detectors.py: skipped; set OPENAFFECT_TEST_DATA to the folder with the archives")
        return
    photos = read_photos(data / "photos.zip", n)
    print(f"{len(photos)} photos, OpenCV {cv2.__version__}, {cv2.getNumThreads()} threads")
    names = lookup.names(DETECTORS)
    for name in names:
        print_found(name, photos)
    raw = {name: find_raw(name, photos) for name in names}
    raw["dlib's own"] = find_with_dlib(photos)
    for name, boxes in raw.items():
        if name != "yunet":
            print_framing(name, boxes, raw["yunet"])
    print_agreement("haar", photos)
    for name in names:
        print_sizes(name, photos[:TIMED])
    print_face_sizes(photos[:PASSES])
    print_small_faces(photos[:PASSES])
    print_close_ups("FER+", read_close_ups(data / "ferplus.zip", CLOSE_UPS))
    print_close_ups(
        "photos cut to the face", [cut for cut in map(cut_face, photos[:100]) if cut is not None]
    )


def read_photos(archive: Path, n: int) -> list[Pixels]:
    with zipfile.ZipFile(archive) as file:
        names = [name for name in file.namelist() if name.endswith(".jpg")]
        chosen = random.Random(0).sample(names, min(n, len(names)))
        return [read_image(file.read(name)) for name in chosen]


def read_close_ups(archive: Path, n: int) -> list[Pixels]:
    """Pictures of FER+ in which no rater saw anything but a face."""
    with zipfile.ZipFile(archive) as file:
        lines = csv.DictReader(io.TextIOWrapper(file.open("ferplus/fer2013new.csv")))
        places = {"Training": "FER2013Train", "PublicTest": "FER2013Valid"}
        names = [
            f"ferplus/data/{places[line['Usage']]}/{line['Image name']}"
            for line in lines
            if line["Usage"] in places and line["Image name"] and line["NF"] == "0"
        ]
        return [read_image(file.read(name)) for name in random.Random(0).sample(names, n)]


def print_found(name: str, photos: Sequence[Pixels]) -> None:
    found = [find_faces(photo, name) for photo in photos]
    timed = photos[:TIMED]
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        for photo in timed:
            find_faces(photo, name)
        times.append((time.perf_counter() - start) / len(timed) * 1000)
    share = sum(map(bool, found)) / len(photos)
    several = sum(len(faces) > 1 for faces in found)
    print(
        f"{name}: a face in {share:.1%} of the photos, several in {several}; "
        f"{median(times):.1f} ms a photo (median of {RUNS} runs over {len(timed)}, {min(times):.1f}–{max(times):.1f})"
    )


def find_raw(name: str, photos: Sequence[Pixels]) -> list[Box | None]:
    """The only box in each photo, in the detector's own framing."""
    detector = lookup.load(DETECTORS, name, "detector")
    found = [detector.detect(photo, detector.MIN_SCORE) for photo in photos]
    return [boxes[0][0] if len(boxes) == 1 else None for boxes in found]


def find_with_dlib(photos: Sequence[Pixels]) -> list[Box | None]:
    """The only box of dlib's own detector, which its landmark predictor was trained on."""
    try:
        import dlib
    except ImportError:
        return [None] * len(photos)
    detector = dlib.get_frontal_face_detector()
    result: list[Box | None] = []
    for photo in photos:
        height, width = photo.shape[:2]
        edge = max(height, width) // 4
        border = cv2.copyMakeBorder(photo, edge, edge, edge, edge, cv2.BORDER_REPLICATE)
        padded = np.asarray(border, np.uint8)
        scale = 300 / max(padded.shape)
        small = resize_image(padded, round(padded.shape[1] * scale), round(padded.shape[0] * scale))
        found = detector(small, 0)
        result.append(
            Box(
                found[0].left() / scale - edge,
                found[0].top() / scale - edge,
                found[0].width() / scale,
                found[0].height() / scale,
            )
            if len(found) == 1
            else None
        )
    return result


def print_framing(name: str, boxes: list[Box | None], yunet: list[Box | None]) -> None:
    pairs = [(a, b) for a, b in zip(boxes, yunet, strict=True) if a and b]
    if not pairs:
        print(f"{name}: no photo in which it and YuNet find one face")
        return
    rows = np.array(
        [
            (
                b.w / a.w,
                b.h / a.h,
                (b.center[0] - a.center[0]) / a.w,
                (b.center[1] - a.center[1]) / a.h,
            )
            for a, b in pairs
        ]
    )
    width, height, dx, dy = np.median(rows, axis=0)
    spread = np.subtract(*np.quantile(rows, [0.75, 0.25], axis=0))
    framing = Framing(width, height, dx, dy)
    before = median(a.iou(b) for a, b in pairs)
    after = median(framing.apply(a).iou(b) for a, b in pairs)
    print(
        f"{name} to YuNet's framing: width × {width:.3f}, height × {height:.3f}, "
        f"dx {dx:+.3f}, dy {dy:+.3f} (medians over {len(pairs)} photos; "
        f"interquartile ranges {', '.join(f'{one:.3f}' for one in spread)}); "
        f"IoU with YuNet {before:.3f} before, {after:.3f} after"
    )


def print_agreement(name: str, photos: Sequence[Pixels]) -> None:
    pairs = [(find_faces(photo, name), find_faces(photo, "yunet")) for photo in photos]
    ious = [a[0].box.iou(b[0].box) for a, b in pairs if len(a) == len(b) == 1]
    print(
        f"{name} and yunet by find_faces: IoU median {median(ious):.3f}, "
        f"5 % quantile {np.quantile(ious, 0.05):.3f} ({len(ious)} photos)"
    )


def print_sizes(name: str, photos: Sequence[Pixels]) -> None:
    base = [find_faces(scaled(photo, LONG_SIDES[1]), name) for photo in photos]
    for side in LONG_SIDES:
        found = [find_faces(scaled(photo, side), name) for photo in photos]
        same = [is_same(a, b, LONG_SIDES[1] / side) for a, b in zip(found, base, strict=True)]
        counts = sum(len(a) == len(b) for a, b in zip(found, base, strict=True))
        ious = [
            a[0].box.scale(LONG_SIDES[1] / side).iou(b[0].box)
            for a, b in zip(found, base, strict=True)
            if a and b
        ]
        print(
            f"{name} at {side} px: as many faces as at {LONG_SIDES[1]} px in {counts}, "
            f"the same ones (IoU > 0.5) in {sum(same)} of {len(photos)}; "
            f"median IoU {median(ious):.3f}"
        )


def scaled(photo: Pixels, long_side: int) -> Pixels:
    height, width = photo.shape[:2]
    factor = long_side / max(height, width)
    return resize_image(photo, round(width * factor), round(height * factor))


def is_same(a: Sequence[Face], b: Sequence[Face], factor: float) -> bool:
    return len(a) == len(b) and all(
        any(one.box.scale(factor).iou(other.box) > 0.5 for other in b) for one in a
    )


# What single passes of YuNet find: the reason for the working sizes in yunet.py.


def one_pass(picture: Pixels, long_side: int) -> list[Box]:
    """What YuNet finds in a picture at one working size, in pixels of the picture."""
    net = yunet._net()
    net.setScoreThreshold(yunet.MIN_SCORE)
    working = ScaledImage(picture, 1.0, 1.0).resized(long_side)
    return [box for box, _ in yunet._look(net, working)]


def best_iou(boxes: Sequence[Box], truth: Box) -> float:
    return max((box.iou(truth) for box in boxes), default=0.0)


def only_face(photo: Pixels) -> Box | None:
    found = find_faces(photo, "yunet")
    return found[0].box if len(found) == 1 else None


def place_face(photo: Pixels, face: Box, size: int, side: int) -> tuple[Pixels, Box]:
    """The photo shrunk or enlarged so that its face is `size` pixels high, on a gray square."""
    factor = size / face.h
    small = resize_image(photo, round(photo.shape[1] * factor), round(photo.shape[0] * factor))
    height, width = small.shape[:2]
    side = max(side, height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = np.full((side, side, 3), 128, np.uint8)
    square[top : top + height, left : left + width] = small
    scaled_face = face.scale(factor)
    return square, Box(scaled_face.x + left, scaled_face.y + top, scaled_face.w, scaled_face.h)


def print_face_sizes(photos: Sequence[Pixels]) -> None:
    """How large faces may be for one pass; the truth is what both passes find in the photo."""
    print("yunet, one pass, photos on gray: face height, share found (IoU > 0.4), their median IoU")
    known = [(photo, box) for photo in photos if (box := only_face(photo))]
    for size in (10, 16, 20, 24, 32, 50, 100, 200, 300, 450, 640):
        ious = np.empty(len(known))
        for number, (photo, box) in enumerate(known):
            side = max(128, round(1.5 * size))
            picture, truth = place_face(photo, box, size, side)
            ious[number] = best_iou(one_pass(picture, len(picture)), truth)
        hits = ious[ious > 0.4]
        middle = f"{np.median(hits):.2f}" if len(hits) else "–"
        print(f"  {size:4d} px  {len(hits) / len(ious):6.1%}  {middle}  (n = {len(ious)})")


def print_small_faces(photos: Sequence[Pixels]) -> None:
    """Small faces in pictures of 100 pixels, by the size that these are enlarged to."""
    known = [(photo, box) for photo in photos if (box := only_face(photo))]
    for size in (12, 16):
        pictures = [place_face(photo, box, size, 100) for photo, box in known]
        for side in (100, 192, 256, 320, 640):
            found = sum(best_iou(one_pass(picture, side), box) > 0.3 for picture, box in pictures)
            print(
                f"yunet, one pass at {side} px: {found / len(pictures):.0%} of {len(pictures)} "
                f"faces of {size} px in pictures of 100 px"
            )


def cut_face(photo: Pixels) -> Pixels | None:
    box = only_face(photo)
    return None if box is None else crop(photo, box, CropRule(margin=0.0))


def print_close_ups(name: str, pictures: Sequence[Pixels]) -> None:
    for side in (96, 128, 192, 256, 320, 512, 640):
        found = sum(bool(one_pass(picture, side)) for picture in pictures)
        print(
            f"yunet, one pass at {side} px: a face in {found / len(pictures):.1%} "
            f"of {len(pictures)} close-ups ({name})"
        )
    both = sum(bool(find_faces(picture, "yunet")) for picture in pictures)
    print(f"yunet, both passes: {both / len(pictures):.1%} ({name})")


if __name__ == "__main__":
    main()
