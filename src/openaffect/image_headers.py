"""What the header of an image says, read before anything is decoded, and what must not be decoded.

A decoder believes its input: it takes memory for lengths that the file does not have, and
time for scans that nobody asked for, and no timeout stops it, since it runs in C. So a file is
walked once here, by its own structure, and refused where its decoding could take more than
the memory and the seconds that an honest image of its size takes.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass

from openaffect.errors import ImageError

MAX_SCAN_PIXELS = 1_500_000_000
"""Scans × pixels of a JPEG: about two nanoseconds each, so three seconds."""

MAX_SCANS = 500
"""Scans of a JPEG, whatever its size; encoders write one to twenty."""

MAX_CHUNKS = 200_000
"""Chunks of a PNG, or marker segments of a JPEG; 200 megapixels in pieces of 8 kB have 75,000."""

_MAGIC = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"BM", "bmp"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"GIF8", "gif"),
)
_SUFFIXES = {"jpeg": "jpg", "tiff": "tif"}
_AVIF_BRANDS = (b"avif", b"avis")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
# Formats that are recognized and not read, with what to do.
_FOREIGN = (
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"II+\x00", "BigTIFF"),
    (b"MM\x00+", "BigTIFF"),
    (b"8BPS", "Photoshop"),
    (b"\x00\x00\x01\x00", "ICO"),
    (b"%PDF", "PDF"),
    (b"<svg", "SVG"),
)
# What ends the data of a scan: any marker but a stuffed zero, a fill byte or a restart.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_PNG_ANIMATION = (b"acTL", b"fcTL", b"fdAT")


def sniff_format(head: bytes) -> str | None:
    """The format that the first 32 bytes of a file tell, or None.

    One of `jpeg`, `png`, `bmp`, `tiff`, `webp`, `gif` and `avif`.

    >>> sniff_format(b"BM" + bytes(10)), sniff_format(b"<html>")
    ('bmp', None)
    """
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    return "avif" if _brands(head) & {*_AVIF_BRANDS} else None


def suffix_of_format(head: bytes) -> str:
    r"""The suffix, without a point, of an image by its first 32 bytes.

    Raises:
        ImageError: they are of no known format.

    >>> suffix_of_format(b"II*\0" + bytes(10))
    'tif'
    """
    kind = sniff_format(head)
    if kind is None:
        raise ImageError("not a picture (unknown first bytes)")
    return _SUFFIXES.get(kind, kind)


def content_path(sha256: str, suffix: str) -> str:
    """Where an image lies by its content, below the folder of all: `ab/cd/<sha256>.<suffix>`.

    Args:
        sha256: of its bytes, 64 hexadecimal digits.
        suffix: from `suffix_of_format`.
    """
    return f"{sha256[:2]}/{sha256[2:4]}/{sha256}.{suffix}"


def foreign_format(head: bytes) -> str | None:
    """The name of an image format that the first 32 bytes tell, and that is not read; or None.

    >>> foreign_format(b"%PDF-1.7"), foreign_format(b"BM")
    ('PDF', None)
    """
    if _brands(head) & {*_HEIC_BRANDS} and sniff_format(head) is None:
        return "HEIC"
    return next((name for magic, name in _FOREIGN if head.startswith(magic)), None)


def _brands(head: bytes) -> set[bytes]:
    """The brands of an ISO media file (HEIC, AVIF), as far as `head` reaches."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(len(head), struct.unpack(">I", head[:4])[0])
    return {head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))}


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """The frame header of a JPEG.

    Attributes:
        width, height: in pixels.
        baseline: it is not progressive, and its first scan has all of its channels: the decoder
            takes this one scan and refuses any other.
    """

    width: int
    height: int
    baseline: bool


def read_jpeg_header(data: bytes, where: str) -> JpegHeader:
    """The size of a JPEG, found by hopping from marker to marker; its scans are counted.

    Raises:
        ImageError: damaged, or more scans than an honest file of this size has.
    """
    at, frame = 2, 0
    for _ in range(MAX_CHUNKS):
        if at + 9 > len(data) or data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        # SOF0 to SOF15 but DHT, JPG and DAC, which have numbers between them.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            frame = frame or at
        elif marker == 0xDA and frame:
            height, width = struct.unpack_from(">HH", data, frame + 5)
            baseline = data[frame + 1] in (0xC0, 0xC1) and data[frame + 9] == data[at + 4]
            if not baseline:
                _check_scans(data, at, width * height, where)
            return JpegHeader(width, height, baseline)
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    raise ImageError(f"broken jpeg header in {where}: it is truncated or damaged")


def _check_scans(data: bytes, first: int, pixels: int, where: str) -> None:
    limit = min(MAX_SCANS, max(1, MAX_SCAN_PIXELS // max(1, pixels)))
    # Compressed data never holds these two bytes. What follows the image may, such as a video.
    if data.count(b"\xff\xda", first) <= limit:
        return
    scans = count_scans(data, first)
    if scans > limit:
        raise ImageError(
            f"{where} has {scans} scans or more; {limit} are the limit for a JPEG of {pixels:,} pixels"
        )


def count_scans(data: bytes, at: int) -> int:
    """The scans of a JPEG from a marker on, up to its end, or to one more than the limit."""
    scans = 0
    for _ in range(MAX_CHUNKS):
        if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] == 0xD9 or scans > MAX_SCANS:
            return scans
        if data[at + 1] in (0x01, 0xFF, *range(0xD0, 0xD8)):  # markers without a length
            at += 1 if data[at + 1] == 0xFF else 2
            continue
        is_scan = data[at + 1] == 0xDA
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if is_scan:
            scans += 1
            found = _MARKER.search(data, at)
            if found is None:
                return scans
            at = found.start()
    return MAX_SCANS + 1


@dataclass(frozen=True, slots=True)
class PngHeader:
    """What a PNG says of itself.

    Attributes:
        width, height: in pixels.
        has_transparency: an alpha channel, a palette or a transparent color.
        compressed: bytes of compressed pixels.
        still: the file without its animation; the bytes themselves where it has none.
        pieces: where in the file each chunk of compressed pixels begins and ends.
    """

    width: int
    height: int
    has_transparency: bool
    compressed: int
    still: bytes
    pieces: tuple[tuple[int, int], ...]


def read_png_header(data: bytes, where: str) -> PngHeader:
    """Walk the chunks of a PNG.

    Raises:
        ImageError: damaged: a chunk that is longer than the file, too many chunks, or no pixels.
    """
    if data[12:16] != b"IHDR" or data[8:12] != b"\0\0\0\r" or len(data) < 33:
        raise ImageError(f"broken png header in {where}: it does not begin with its size")
    width, height, _, color = struct.unpack(">IIBB", data[16:26])
    transparent = color not in (0, 2)  # 0 gray, 2 RGB, 3 palette, 4 gray and alpha, 6 RGBA
    at = 33
    pieces: list[tuple[int, int]] = []
    animation: list[tuple[int, int]] = []
    for _ in range(MAX_CHUNKS):
        if at + 12 > len(data):
            raise ImageError(f"cannot decode the png {where}: it is truncated or broken")
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise ImageError(
                f"cannot decode the png {where}: a chunk claims {length:,} bytes, "
                f"but {len(data) - at - 12:,} are left; it is truncated or broken"
            )
        if kind == b"IDAT":
            pieces.append((at, end))
        elif kind == b"IHDR":
            raise ImageError(f"broken png header in {where}: it tells its size twice")
        elif kind == b"tRNS":
            transparent = True
        elif kind in _PNG_ANIMATION:
            animation.append((at, end))
        elif kind == b"IEND":
            data = data[:end]
            break
        at = end
    else:
        raise ImageError(f"{where} has more than {MAX_CHUNKS:,} chunks")
    compressed = sum(end - start - 12 for start, end in pieces)
    if not compressed:
        raise ImageError(f"cannot decode the png {where}: it holds no pixels")
    still = _without(data, animation)
    return PngHeader(width, height, transparent, compressed, still, tuple(pieces))


def check_png_sums(data: bytes, header: PngHeader, where: str) -> None:
    """Compare the checksums of the compressed pixels, for a decoder that does not.

    Raises:
        ImageError: one differs.
    """
    view = memoryview(data)
    for start, end in header.pieces:
        if zlib.crc32(view[start + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            raise ImageError(f"cannot decode the png {where}: a checksum differs; it is broken")


def _without(data: bytes, pieces: list[tuple[int, int]]) -> bytes:
    if not pieces:
        return data
    starts = [0, *(end for _, end in pieces)]
    ends = [*(start for start, _ in pieces), len(data)]
    return b"".join(data[start:end] for start, end in zip(starts, ends, strict=True))


def read_webp_header(data: bytes, where: str) -> tuple[int, int, bool]:
    """Width and height of the canvas of a WebP, and whether it is transparent or animated.

    Raises:
        ImageError: damaged.
    """
    kind, payload = data[12:16], data[20:30]
    if len(payload) == 10:
        if kind == b"VP8X":
            width, height = (int.from_bytes(payload[n : n + 3], "little") + 1 for n in (4, 7))
            return width, height, bool(payload[0] & 0x12)
        if kind == b"VP8L":
            bits = int.from_bytes(payload[1:5], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bool(bits >> 28 & 1)
        if kind == b"VP8 ":
            width, height = struct.unpack("<HH", payload[6:10])
            return width & 0x3FFF, height & 0x3FFF, False
    raise ImageError(f"broken webp header in {where}: it is truncated or damaged")


_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_TIFF_JPEG = (6, 7)  # compressions


def check_tiff(data: bytes, max_bytes: int, where: str) -> None:
    """Walk the first directory of a TIFF.

    Args:
        data: the file.
        max_bytes: of its pixels before they become 8 bits, which the decoder holds at once.
        where: what to call it.

    Raises:
        ImageError: damaged, too large, or compressed as progressive JPEG.
    """
    order = "<" if data[:2] == b"II" else ">"
    tags: dict[int, list[int]] = {}
    try:
        (at,) = struct.unpack_from(order + "I", data, 4)
        (count,) = struct.unpack_from(order + "H", data, at)
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            tag, kind, length = struct.unpack_from(order + "HHI", data, entry)
            size = _TIFF_SIZES.get(kind, 1) * length
            start = entry + 8 if size <= 4 else struct.unpack_from(order + "I", data, entry + 8)[0]
            if start + size > len(data):
                raise ImageError(f"broken tiff header in {where}: a tag is longer than the file")
            if tag in tags:
                raise ImageError(f"broken tiff header in {where}: tag {tag} occurs twice")
            code = {3: "H", 4: "I"}.get(kind)
            tags[tag] = [*struct.unpack_from(f"{order}{length}{code}", data, start)] if code else []
    except struct.error:
        raise ImageError(f"broken tiff header in {where}: it is truncated or damaged") from None
    width, height = ((tags.get(tag) or [0])[0] for tag in (256, 257))
    channels = (tags.get(277) or [1])[0]
    bits = max(tags.get(258) or [1])
    if width * height * channels * bits // 8 > max_bytes:
        raise ImageError(
            f"{where} has {width} × {height} pixels of {channels} × {bits} bits; "
            f"the limit is {max_bytes:,} bytes"
        )
    if (tags.get(259) or [1])[0] in _TIFF_JPEG:
        _check_jpeg_strips(data, tags, where)


def _check_jpeg_strips(data: bytes, tags: dict[int, list[int]], where: str) -> None:
    """Each strip or tile is a JPEG of its own: its scans are counted as those of any other."""
    offsets = tags.get(273) or tags.get(324) or []
    sizes = tags.get(279) or tags.get(325) or []
    for start, size in set(zip(offsets, sizes, strict=False)):
        # As libtiff's authors prescribe: one frame, decoded in one go. Four scans are one for
        # each channel.
        piece = data[start : start + size]
        if re.search(rb"\xff[\xc2\xc6\xca\xce]", piece) or piece.count(b"\xff\xda") > 4:
            raise ImageError(f"cannot decode the tiff {where}: it holds progressive JPEG")
