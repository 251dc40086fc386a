"""Reading pictures: every promise of `read_image`, on real files made here by Pillow and OpenCV."""

from __future__ import annotations

import io
import struct
import threading
import time
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from narrowing import known
from openaffect.errors import ImageError
from openaffect.image_headers import sniff_format
from openaffect.images import (
    check_header,
    encode_image,
    read_image,
    resize_image,
)

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF")
ORIENTATION = 0x0112


def smooth(height: int = 48, width: int = 64) -> np.ndarray:
    """A picture that no flip or turn leaves as it is, and that JPEG keeps within a few levels."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 3 + 20, y * 4 + 10, 250 - x - y * 2], -1).astype(np.uint8)


def noisy(height: int = 90, width: int = 110) -> np.ndarray:
    noise = np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)
    blurred = cv2.GaussianBlur(noise, (0, 0), 2)
    return np.asarray(cv2.normalize(blurred, blurred, 0, 255, cv2.NORM_MINMAX), np.uint8)


def save(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def file_of(array: np.ndarray, kind: str, **options) -> bytes:
    if kind in ("JPEG", "WEBP"):
        options = {"quality": 95, **options}
    return save(Image.fromarray(array), kind, **options)


def largest_difference(a: np.ndarray, b: np.ndarray) -> int:
    assert a.shape == b.shape
    assert a.dtype == np.uint8
    return int(np.abs(a.astype(int) - b).max())


# JPEG and WebP lose a little; GIF has 256 colors of which Pillow chooses the best.
@pytest.mark.parametrize(
    ("kind", "tolerance"),
    [("JPEG", 6), ("PNG", 0), ("BMP", 0), ("TIFF", 0), ("WEBP", 12), ("GIF", 40)],
)
def test_every_format_gives_rgb_from_path_and_bytes(tmp_path, kind, tolerance):
    expected = smooth()
    path = tmp_path / "a file without a suffix"
    path.write_bytes(file_of(expected, kind))
    assert largest_difference(read_image(path), expected) <= tolerance
    np.testing.assert_array_equal(read_image(str(path)), read_image(path.read_bytes()))
    assert sniff_format(path.read_bytes()[:12]) == kind.lower()
    assert check_header(path) is None


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_compressed_tiff(compression):
    assert largest_difference(
        read_image(file_of(smooth(), "TIFF", compression=compression)), smooth()
    ) == 0  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "tolerance"), [("JPEG", 3), ("PNG", 0), ("BMP", 0), ("TIFF", 0), ("WEBP", 6)]
)
def test_gray_is_repeated(kind, tolerance):
    gray = smooth()[:, :, 0]
    result = read_image(save(Image.fromarray(gray), kind))
    assert largest_difference(result, np.repeat(gray[:, :, None], 3, 2)) <= tolerance


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_black_and_white_and_palettes(kind):
    for image in (Image.fromarray(smooth()).convert("1"), Image.fromarray(smooth()).quantize(16)):
        expected = np.asarray(image.convert("RGB"))
        np.testing.assert_array_equal(read_image(save(image, kind)), expected)


def over_white(rgba: np.ndarray) -> np.ndarray:
    alpha = rgba[:, :, 3:] / 255
    return rgba[:, :, :3] * alpha + 255 * (1 - alpha)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_transparency_is_laid_over_white(kind):
    rgba = np.dstack([smooth(), np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))])
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    result = read_image(save(Image.fromarray(rgba), kind, **options))
    assert np.abs(result - over_white(rgba)).max() <= 1  # rounding
    np.testing.assert_array_equal(read_image(rgba), result)


def test_gray_with_alpha_is_laid_over_white():
    gray = Image.fromarray(np.dstack([smooth()[:, :, 0], np.full((48, 64), 51, np.uint8)]))
    result = read_image(save(gray, "PNG"))
    assert np.abs(result - (smooth()[:, :, :1] * 0.2 + 255 * 0.8)).max() <= 1


@pytest.mark.parametrize("mode", ["P", "RGB", "L"])
def test_a_transparent_color_of_a_png_is_white(mode):
    array = np.full((20, 20, 3), 90, np.uint8)
    array[5:9, 5:9] = 10
    image = Image.fromarray(array)
    image = image.quantize(2) if mode == "P" else image.convert(mode)
    hole = image.getpixel((6, 6))
    result = read_image(save(image, "PNG", transparency=hole))
    assert (result[5:9, 5:9] == 255).all()
    assert (result[12:, 12:] == 90).all()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_become_eight(suffix):
    color = smooth().astype(np.uint16) * 257
    file = cv2.imencode(suffix, color[:, :, ::-1])[1].tobytes()
    assert largest_difference(read_image(file), smooth()) <= 1  # rounding
    gray = cv2.imencode(suffix, color[:, :, 0])[1].tobytes()
    assert largest_difference(read_image(gray), np.repeat(smooth()[:, :, :1], 3, 2)) <= 1


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_has_the_right_colors(kind):
    image = Image.fromarray(smooth()).convert("CMYK")
    options = {"quality": 98} if kind == "JPEG" else {}
    assert largest_difference(read_image(save(image, kind, **options)), smooth()) <= 5


# What the EXIF standard says of each value: how the stored rows and columns are to be shown.
SHOWN = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", SHOWN)
@pytest.mark.parametrize(("kind", "tolerance"), [("JPEG", 8), ("PNG", 0), ("WEBP", 0), ("TIFF", 0)])
def test_every_exif_orientation_comes_out_upright(kind, tolerance, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"WEBP": {"lossless": True}}.get(kind, {})
    stored = smooth(40, 56)
    result = read_image(file_of(stored, kind, exif=exif, **options))
    assert largest_difference(result, SHOWN[orientation](stored)) <= tolerance


@pytest.mark.parametrize("orientation", SHOWN)
def test_orientation_and_transparency_together(orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = np.dstack([smooth(), np.full((48, 64), 255, np.uint8)])
    result = read_image(save(Image.fromarray(stored), "PNG", exif=exif))
    np.testing.assert_array_equal(result, SHOWN[orientation](smooth()))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF"])
def test_of_several_pictures_the_first_is_read(kind):
    first = Image.fromarray(np.full((20, 30, 3), (255, 0, 0), np.uint8))
    others = [Image.new("RGB", first.size, "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    file = save(first, kind, save_all=True, append_images=others, **options)
    np.testing.assert_array_equal(read_image(file), np.asarray(first))


WHOLE = {
    "jpeg": file_of(noisy(), "JPEG"),
    "progressive jpeg": file_of(noisy(), "JPEG", progressive=True),
    "jpeg with restarts": file_of(noisy(), "JPEG", restart_marker_rows=1),
    "png": file_of(noisy(), "PNG"),
    "png with alpha": save(Image.fromarray(np.dstack([noisy(), noisy()[:, :, 0]])), "PNG"),
    "bmp": file_of(noisy(), "BMP"),
    "tiff": file_of(noisy(), "TIFF"),
    "tiff lzw": file_of(noisy(), "TIFF", compression="tiff_lzw"),
    "webp": file_of(noisy(), "WEBP"),
    "webp lossless": file_of(noisy(), "WEBP", lossless=True),
    "gif": file_of(noisy(), "GIF"),
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("share", [0.001, 0.05, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_a_truncated_file_is_refused_in_silence(capfd, name, share):
    whole = WHOLE[name]
    assert read_image(whole).shape == (90, 110, 3)
    with pytest.raises(ImageError, match="the bytes given"):
        read_image(whole[: max(1, int(len(whole) * share))])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["jpeg", "progressive jpeg"])
def test_a_jpeg_that_lacks_its_last_bytes_is_refused(name):
    whole = WHOLE[name]
    for missing in range(1, 40):
        with pytest.raises(ImageError, match="truncated"):
            read_image(whole[:-missing])


def with_thumbnail(whole: bytes, thumbnail: bytes) -> bytes:
    """A JPEG with another one in its EXIF block, as cameras write them."""
    segment = b"Exif\x00\x00" + thumbnail
    return whole[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + whole[2:]


def test_a_jpeg_that_ends_after_its_thumbnail_is_refused():
    thumbnail = file_of(noisy(60, 60), "JPEG")
    photo = with_thumbnail(WHOLE["jpeg"], thumbnail)
    np.testing.assert_array_equal(read_image(photo), read_image(WHOLE["jpeg"]))
    start = photo.index(thumbnail) + len(thumbnail)
    for more in (0, 1, 50, 400, 1500):
        with pytest.raises(ImageError, match=r"truncated|header"):
            read_image(photo[: start + more])


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(
    "options",
    [
        {"subsampling": 0},
        {"subsampling": 1},
        {"subsampling": 2, "quality": 5},
        {"progressive": True, "quality": 100},
        {"keep_rgb": True},
        {"restart_marker_rows": 1},
    ],
    ids=str,
)
def test_a_jpeg_has_the_same_pixels_with_and_without_exif(mode, options):
    # Two decoders: what one is trained on must be what the other shows the model.
    plain = save(Image.fromarray(noisy()).convert(mode), "JPEG", **options)
    found = read_image(plain)
    np.testing.assert_array_equal(found, read_image(with_thumbnail(plain, b"")))
    opencv = cv2.imdecode(np.frombuffer(plain, np.uint8), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(found, opencv)


def test_bytes_after_the_end_of_a_jpeg_do_no_harm():
    expected = read_image(WHOLE["jpeg"])
    for tail in (b"\x00", b"garbage" * 10_000, WHOLE["png"], bytes(50_000)):
        np.testing.assert_array_equal(read_image(WHOLE["jpeg"] + tail), expected)


@pytest.mark.parametrize("name", ["bmp", "tiff", "png", "webp", "jpeg"])
def test_opencv_may_log_again_after_a_broken_file(name):
    before = cv2.utils.logging.getLogLevel()
    with pytest.raises(ImageError):
        read_image(WHOLE[name][:-200])
    assert cv2.utils.logging.getLogLevel() == before


def test_threads_that_read_broken_files_give_the_log_level_back():
    before = cv2.utils.logging.getLogLevel()

    def read_often() -> None:
        for _ in range(50):
            with pytest.raises(ImageError):
                read_image(WHOLE["bmp"][:-200])

    threads = [threading.Thread(target=read_often) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cv2.utils.logging.getLogLevel() == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty (0 bytes)"),
        (b"hello, this is text\n", "its first bytes are b'hello, t'"),
        (b"<!DOCTYPE html><html>", "expected a JPEG"),
        (b"\xff\xd8\xff", "broken jpeg header"),
        (b"\x89PNG\r\n\x1a\n", "broken png header"),
        (b"BM", "broken bmp header"),
        (b"GIF89a", "broken gif header"),
        (b"RIFF\x00\x00\x00\x00WEBP", "broken webp header"),
        (b"II*\x00", "broken tiff header"),
    ],
)
def test_files_that_are_no_pictures(tmp_path, content, message):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_number_is_no_path(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encode_image(np.zeros((4, 4, 3), np.uint8)))
    with open(path, "rb") as file, pytest.raises(TypeError, match="not int"):
        read_image(file.fileno())  # type: ignore[arg-type]


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(ImageError, match="folder"):
        read_image(tmp_path)
    with pytest.raises(ImageError, match="cannot read"):
        read_image("a\0b.jpg")
    assert check_header(tmp_path / "none.jpg") == "missing picture"
    assert known(check_header(tmp_path)).startswith("unreadable picture")


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty picture (0 bytes)"), (b"text", "not a picture (unknown first bytes)")],
)
def test_a_header_alone_tells_what_is_no_picture(tmp_path, content, reason):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    assert check_header(path) == reason


def png_claiming(width: int, height: int, color_type: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, color_type, 0, 0, 0)
    pixels = zlib.compress(bytes(100_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def jpeg_claiming(width: int, height: int) -> bytes:
    file = bytearray(WHOLE["jpeg"])
    frame = file.index(b"\xff\xc0")
    file[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(file)


@pytest.mark.parametrize(
    "bomb",
    [
        png_claiming(30_000, 30_000, 2),
        png_claiming(30_000, 30_000, 6),
        png_claiming(2_000_000_000, 2_000_000_000, 2),
        jpeg_claiming(60_000, 60_000),
    ],
    ids=["png", "png with alpha", "huge png", "jpeg"],
)
def test_a_picture_that_claims_too_many_pixels_is_refused_at_once(bomb):
    start = time.perf_counter()
    with pytest.raises(ImageError, match=r"limit|more pixels than can be decoded"):
        read_image(bomb)
    assert time.perf_counter() - start < 1  # unpacking 900 million pixels takes many seconds


@pytest.mark.parametrize("kind", FORMATS)
def test_the_limit_of_pixels_holds_for_every_format(kind):
    file = file_of(smooth(48, 64), kind)
    assert read_image(file, max_pixels=48 * 64).shape == (48, 64, 3)
    with pytest.raises(ImageError, match=r"has 64 × 48 pixels; the limit is 3,071 pixels"):
        read_image(file, max_pixels=48 * 64 - 1)


def test_a_jpeg_of_no_height_is_refused():
    with pytest.raises(ImageError, match="broken header"):
        read_image(jpeg_claiming(110, 0))


def test_arrays_pass_through_or_are_brought_to_three_channels():
    rgb = smooth()
    assert read_image(rgb) is rgb or np.shares_memory(read_image(rgb), rgb)
    gray = rgb[:, :, 0]
    repeated = np.repeat(gray[:, :, None], 3, 2)
    np.testing.assert_array_equal(read_image(gray), repeated)
    np.testing.assert_array_equal(read_image(gray[:, :, None]), repeated)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3)),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 3), np.uint16),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((4, 4, 5), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(16, np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_other_arrays_are_refused(array):
    with pytest.raises(ImageError, match="expected frame 7 to"):
        read_image(array, where="frame 7")


@pytest.mark.parametrize(
    ("suffix", "tolerance"),
    [(".png", 0), (".bmp", 0), (".tif", 0), (".jpg", 8), (".webp", 20), (".PNG", 0)],
)
def test_what_is_encoded_reads_back(suffix, tolerance):
    assert largest_difference(read_image(encode_image(smooth(), suffix)), smooth()) <= tolerance
    gray = smooth()[:, :, 1]
    result = read_image(encode_image(gray, suffix))
    assert largest_difference(result, np.repeat(gray[:, :, None], 3, 2)) <= tolerance


def test_quality_changes_the_size_and_an_unknown_suffix_is_refused(capfd):
    assert len(encode_image(noisy(), ".jpg", 30)) < len(encode_image(noisy(), ".jpg", 95))
    with pytest.raises(ImageError, match=r"'\.xyz'"):
        encode_image(noisy(), ".xyz")
    assert capfd.readouterr() == ("", "")


def test_shrinking_averages_and_the_same_size_is_the_same_picture():
    image = noisy(40, 60)
    blocks = image.reshape(20, 2, 30, 2, 3).mean((1, 3))
    assert np.abs(resize_image(image, 30, 20) - blocks).max() <= 0.5
    assert resize_image(image, 60, 40) is image
    assert resize_image(image, 120, 100).shape == (100, 120, 3)
