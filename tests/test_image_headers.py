"""What is refused before a decoder sees it, and that honest files are not."""

from __future__ import annotations

import io
import os
import struct
import warnings
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from attacks.image_builders import (
    PNG,
    animated_png,
    chunk,
    endless_png,
    hostile_apng,
    ihdr,
    many_scans,
    rows,
)
from openaffect import image_headers, images
from openaffect.errors import ImageError
from openaffect.image_headers import (
    count_scans,
    foreign_format,
    read_jpeg_header,
    read_png_header,
    read_webp_header,
    sniff_format,
)
from openaffect.images import check_header, image_size, read_image

NOISE = np.random.default_rng(4).integers(0, 256, (30, 40, 3), np.uint8)
UPRIGHT: dict[int, Callable[[Any], Any]] = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: np.rot90,
}


def save(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


# PNG


@pytest.mark.parametrize(
    "data",
    [
        hostile_apng(),
        *(PNG + ihdr(9, 9) + chunk(kind, b"abc", length) + chunk(b"IDAT", rows(9, 9))
          for kind in (b"IDAT", b"tEXt") for length in (1000, 2**31 - 1, 2**31, 2**32 - 1)),
        PNG + ihdr(9, 9) + chunk(b"IEND"),
        PNG + ihdr(9, 9) + chunk(b"IDAT", rows(9, 9)) + ihdr(9, 9) + chunk(b"IEND"),
        PNG + chunk(b"IDAT", rows(9, 9)) + ihdr(9, 9) + chunk(b"IEND"),
        PNG + ihdr(9, 9)[:20],
    ],
)  # fmt: skip
def test_a_png_that_lies_is_refused_before_decoding(data, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", None)
    monkeypatch.setattr(Image, "open", None)
    with pytest.raises(ImageError, match="png"):
        read_image(data)


@pytest.mark.parametrize("color", [2, 6])
@pytest.mark.parametrize("first", [True, False])
def test_of_an_animated_png_the_still_picture_is_decoded(color, first):
    file = animated_png(20, 10, color, first=first)
    header = read_png_header(file, "it")
    assert not any(kind in header.still for kind in (b"acTL", b"fcTL", b"fdAT"))
    expected = 0 if color == 2 else 255  # transparent pixels lie over white
    np.testing.assert_array_equal(read_image(file), np.full((10, 20, 3), expected, np.uint8))


def test_chunks_of_an_animation_in_any_place_never_reach_a_decoder():
    late = PNG + ihdr(5, 5) + chunk(b"IDAT", rows(5, 5)) + chunk(b"acTL", bytes(8)) + chunk(b"IEND")
    behind = PNG + ihdr(5, 5) + chunk(b"IDAT", rows(5, 5)) + chunk(b"IEND") + chunk(b"acTL")
    for data in (late, behind):
        assert b"acTL" not in read_png_header(data, "it").still
        assert read_image(data).shape == (5, 5, 3)


def test_what_is_compressed_behind_the_last_row_is_left_to_pillow(monkeypatch):
    # libpng would inflate it, a gigabyte per megabyte: tests/attacks/png_lengths.py measures that.
    data = endless_png(0.05)
    monkeypatch.setattr(images, "_MAX_OPENCV_PNG", 40_000)
    monkeypatch.setattr(cv2, "imdecode", None)
    np.testing.assert_array_equal(read_image(data), np.zeros((100, 100, 3), np.uint8))


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("gray", [False, True])
def test_a_large_png_has_the_pixels_that_opencv_gives_it(depth, gray, monkeypatch):
    values = np.random.default_rng(1).integers(0, np.iinfo(depth).max, (30, 40, 3), depth)
    file = cv2.imencode(".png", values[..., 0] if gray else values)[1].tobytes()
    small = read_image(file)
    monkeypatch.setattr(images, "_MAX_OPENCV_PNG", 10)
    np.testing.assert_array_equal(read_image(file), small)


def test_a_large_png_with_a_wrong_checksum_is_broken(monkeypatch):
    monkeypatch.setattr(images, "_MAX_OPENCV_PNG", 10)
    file = bytearray(save(Image.fromarray(NOISE), "PNG"))
    assert read_image(bytes(file)).shape == NOISE.shape
    file[file.index(b"IEND") - 5] ^= 1  # the last byte of the sum before it
    with pytest.raises(ImageError, match="checksum"):
        read_image(bytes(file))


def test_the_number_of_chunks_is_bounded(monkeypatch):
    data = PNG + ihdr(5, 5) + chunk(b"tEXt", b"a") * 7 + chunk(b"IDAT", rows(5, 5)) + chunk(b"IEND")
    monkeypatch.setattr(image_headers, "MAX_CHUNKS", 9)
    assert read_image(data).shape == (5, 5, 3)
    monkeypatch.setattr(image_headers, "MAX_CHUNKS", 8)
    with pytest.raises(ImageError, match="chunks"):
        read_image(data)


# JPEG


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"optimize": True}])
def test_the_scans_of_a_jpeg_are_counted(options):
    file = save(Image.fromarray(NOISE), "JPEG", **options)
    assert count_scans(file, 2) == (10 if "progressive" in options else 1)
    assert read_jpeg_header(file, "it").baseline != ("progressive" in options)


def test_restarts_and_thumbnails_and_what_follows_are_no_scans():
    thumbnail = save(Image.fromarray(NOISE), "JPEG", progressive=True)
    file = save(Image.fromarray(NOISE), "JPEG", progressive=True, restart_marker_rows=1)
    filled = file[:2] + b"\xff\xe5" + struct.pack(">H", len(thumbnail) + 2) + thumbnail + file[2:]
    assert count_scans(filled + b"\xff\xda" * 600, 2) == 10
    assert read_image(filled + b"\xff\xda" * 600).shape == NOISE.shape


def test_a_jpeg_may_have_scans_for_its_size_and_not_one_more(monkeypatch):
    monkeypatch.setattr(image_headers, "MAX_SCAN_PIXELS", 16 * 16 * 20)
    own = count_scans(many_scans(16, 16, 0), 2)
    assert read_image(many_scans(16, 16, 20 - own)).shape == (16, 16, 3)
    with pytest.raises(ImageError, match="scans"):
        read_image(many_scans(16, 16, 21 - own))


def test_no_jpeg_has_more_than_five_hundred_scans():
    own = count_scans(many_scans(8, 8, 0), 2)
    assert read_image(many_scans(8, 8, 500 - own)).shape == (8, 8, 3)
    with pytest.raises(ImageError, match="scans"):
        read_image(many_scans(8, 8, 501 - own))


def test_a_progressive_photo_of_forty_megapixels_is_no_attack():
    assert image_headers.MAX_SCAN_PIXELS >= 8000 * 5000 * 20
    assert read_jpeg_header(many_scans(8000, 5000, 10), "it").width == 8000


# TIFF, WebP, AVIF


def tiff(*tags: tuple[int, int, int, int], data: bytes = b"") -> bytes:
    """A little-endian TIFF of (tag, type, count, value), with `data` behind its directory."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4) + data


SIZE = ((256, 4, 1, 40), (257, 4, 1, 30))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (tiff(*SIZE, (256, 4, 1, 60_000)), "twice"),
        (tiff(*SIZE, (273, 4, 2**30, 8)), "longer"),
        (tiff((256, 4, 1, 40_000), (257, 4, 1, 40_000), (258, 3, 1, 64)), "limit"),
        (b"II*\0\xff\xff\xff\x00", "truncated"),
        (tiff(*SIZE)[:20], "longer"),
    ],
)
def test_a_tiff_that_lies_is_refused_before_decoding(data, message, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", None)
    monkeypatch.setattr(Image, "open", None)
    with pytest.raises(ImageError, match=message):
        read_image(data)


def test_jpeg_in_a_tiff_has_one_scan():
    file = save(Image.fromarray(NOISE), "TIFF", compression="jpeg")
    assert np.abs(read_image(file).astype(int) - NOISE).mean() < 40
    strip = many_scans(40, 30, 3)
    start = len(tiff(*SIZE, *[(0, 0, 0, 0)] * 3))
    tags = ((259, 3, 1, 7), (273, 4, 1, start), (279, 4, 1, len(strip)))
    with pytest.raises(ImageError, match="progressive"):
        read_image(tiff(*SIZE, *tags, data=strip))


@pytest.mark.parametrize(
    ("options", "layered"),
    [
        ({}, False),
        ({"lossless": True}, False),
        ({"save_all": True, "append_images": [Image.new("RGB", (40, 30))]}, True),
    ],
)
def test_the_header_of_a_webp_is_what_pillow_reads(options, layered):
    assert read_webp_header(save(Image.fromarray(NOISE), "WEBP", **options), "") == (
        *(40, 30),
        layered,
    )
    clear = Image.fromarray(np.dstack([NOISE, NOISE[..., 0]]))
    options = {key: value for key, value in options.items() if key == "lossless"}
    assert read_webp_header(save(clear, "WEBP", **options), "") == (40, 30, True)


def test_a_webp_of_a_huge_canvas_is_refused_before_memory_is_taken(monkeypatch):
    monkeypatch.setattr(Image, "open", None)
    canvas = bytes([2, 0, 0, 0]) + (16_000).to_bytes(3, "little") * 2
    with pytest.raises(ImageError, match="limit"):
        read_image(b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0" + canvas)


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("alpha", [False, True])
def test_an_avif_is_read_upright_and_over_white(orientation, alpha):
    blocks = np.kron(NOISE[:3, :4] // 2, np.ones((16, 16, 1), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    source = np.dstack([blocks, np.full(blocks.shape[:2], 128, np.uint8)]) if alpha else blocks
    file = save(Image.fromarray(source), "AVIF", exif=exif.tobytes(), quality=100, speed=10)
    shown = UPRIGHT[orientation](blocks)
    expected = 255 - (255 - shown.astype(float)) * 128 / 255 if alpha else shown.astype(float)
    assert np.abs(read_image(file) - expected).mean() < 3  # lossy
    assert sniff_format(file[:32]) == "avif"


def test_an_avif_has_a_limit_of_its_own(monkeypatch):
    file = save(Image.fromarray(NOISE), "AVIF", speed=10)
    monkeypatch.setattr(images, "_MAX_AVIF_PIXELS", 40 * 30 - 1)
    with pytest.raises(ImageError, match="limit"):
        read_image(file)


# What it is


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
        (b"\xff\x0a" + bytes(10), "JPEG XL"),
        (b"%PDF-1.7", "PDF"),
        (b"II+\0", "BigTIFF"),
        (b"\0\0\0\x14ftypmp42\0\0\0\0", None),
        (b"", None),
    ],
)
def test_other_formats_are_called_by_their_name(head, name, tmp_path):
    assert foreign_format(head) == name
    path = tmp_path / "image.jpg"
    path.write_bytes(head)
    with pytest.raises(ImageError, match=name or r"first bytes|empty"):
        read_image(path)
    assert (name or "picture") in str(check_header(path))


def test_only_regular_files_are_read(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", tmp_path):
        with pytest.raises(ImageError, match=r"folder|pipe"):
            read_image(path)
        assert image_size(path) is None
        assert "unreadable" in str(check_header(path))
    file = tmp_path / "a.png"
    file.write_bytes(save(Image.fromarray(NOISE), "PNG"))
    monkeypatch.setattr(images, "MAX_BYTES", file.stat().st_size)
    np.testing.assert_array_equal(read_image(file), NOISE)
    monkeypatch.setattr(images, "MAX_BYTES", file.stat().st_size - 1)
    with pytest.raises(ImageError, match="bytes"):
        read_image(file)


def test_headers_that_tell_several_sizes_are_broken():
    # Pillow reads the size here, OpenCV the pixels.
    with pytest.raises(ImageError, match="sizes"):
        images._decode_with_opencv(save(Image.fromarray(NOISE), "BMP"), "bmp", (40, 31), "it")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(save(Image.fromarray(NOISE), "BMP")).shape == NOISE.shape
