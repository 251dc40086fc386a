"""Drawing with soft edges: splines, tapered strokes, masks, a float canvas, smooth fields."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from openaffect.synthetic.anatomy import Points
from openaffect.synthetic.scene import Camera

Floats = NDArray[np.float32]
Corners = NDArray[np.int32]
Window = tuple[slice, slice]
Polygons = Sequence[Points] | Points
"""Polygons one by one, shape (n, 2), or groups that lie apart, shape (k, n, 2), or one group.

A group is filled in one call; where two of its polygons overlap, they cancel.
"""

_SHIFT = 4  # fractional bits of the coordinates that OpenCV fills


@lru_cache(maxsize=128)
def _basis(count: int, closed: bool, steps: int) -> NDArray[np.float64]:
    """The matrix that takes `count` knots to the points of their Catmull–Rom spline."""
    spans = count if closed else count - 1
    rows = np.zeros((spans * steps + (not closed), count))
    for row in range(len(rows)):
        span, step = divmod(row, steps)
        t = step / steps
        if span == spans:
            span, t = spans - 1, 1.0
        weights = (
            0.5 * (-(t**3) + 2 * t**2 - t),
            0.5 * (3 * t**3 - 5 * t**2 + 2),
            0.5 * (-3 * t**3 + 4 * t**2 + t),
            0.5 * (t**3 - t**2),
        )
        for offset, weight in zip((-1, 0, 1, 2), weights, strict=True):
            knot = (span + offset) % count if closed else min(max(span + offset, 0), count - 1)
            rows[row, knot] += weight
    rows.flags.writeable = False
    return rows


def spline(knots: Points, closed: bool = False, steps: int = 6) -> Points:
    """A smooth curve through knots, shape (…, n, d): shape (…, m, d), Catmull–Rom.

    >>> spline(np.array([[0.0, 0.0], [2.0, 2.0]]), steps=2).tolist()
    [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]
    """
    knots = np.asarray(knots, dtype=float)
    curve: Points = _basis(knots.shape[-2], closed, steps) @ knots
    return curve


def ribbon(line: Points, width: float | Points, taper: tuple[float, float] = (0.0, 0.0)) -> Points:
    """The outline of a stroke along a line, thick in the middle.

    Args:
        line: shape (n, 2).
        width: full width, one for all or shape (n,); same unit as the line.
        taper: width at the two ends, as shares.
    Returns:
        A polygon, shape (2n, 2).
    """
    outline: Points = ribbons(line[None], width, taper)[0]
    return outline


def ribbons(
    lines: Points, width: float | Points, taper: tuple[float, float] = (0.0, 0.0)
) -> Points:
    """The outlines of many strokes with equally many points at once.

    Args:
        lines: shape (k, n, 2).
        width: full width, or shape (k, 1) or (k, n).
        taper: as for `ribbon`.
    Returns:
        Polygons, shape (k, 2n, 2).
    """
    # A point as one complex number: a quarter turn is a product with i.
    count = lines.shape[1]
    z = np.ascontiguousarray(lines, dtype=float).view(complex)[..., 0]
    across = (_differences(count) @ lines).view(complex)[..., 0]
    across *= _profile(count, *taper) * width / (np.abs(across) + 1e-9)
    outline = np.concatenate((z + across, (z - across)[:, ::-1]), axis=1)
    return outline.view(float).reshape(len(z), 2 * count, 2)


@lru_cache(maxsize=64)
def _differences(count: int) -> NDArray[np.float64]:
    """The matrix that takes points to the steps between their neighbors."""
    matrix = np.zeros((count, count))
    for row in range(count):
        matrix[row, min(row + 1, count - 1)] += 1
        matrix[row, max(row - 1, 0)] -= 1
    matrix.flags.writeable = False
    return matrix


@lru_cache(maxsize=256)
def _profile(count: int, start: float, end: float) -> NDArray[np.complex128]:
    """Half the widths along a stroke as shares of the full one, times i."""
    t = np.linspace(0, 1, count)
    ends = start + (end - start) * t
    width = ends + (1 - ends) * np.sin(np.pi * t) ** 0.7
    profile: NDArray[np.complex128] = width.astype(complex) * 0.5j
    profile.flags.writeable = False
    return profile


@lru_cache(maxsize=16)
def circle(count: int) -> Points:
    """Points of the unit circle at equal angles from the right by the bottom, shape (count, 2)."""
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    points = np.stack((np.cos(angles), np.sin(angles)), axis=1)
    points.flags.writeable = False
    return points


def ring(center: Points, radii: tuple[float, float], count: int = 20) -> Points:
    """An upright ellipse as a polygon, shape (count, 2)."""
    return np.asarray(center) + circle(count) * radii


class Canvas:
    """A square RGB picture in float, painted from back to front.

    `pixels` has shape (3, size, size), values 0 to 255; planes come first so that a mask is
    applied along whole rows.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.pixels: Floats = np.empty((3, size, size), np.float32)

    def window(self, points: Points, pad: float = 0.0) -> Window:
        """The rows and columns that contain points, with a margin, inside the canvas."""
        return self._frame(_corners([points], 1)[1], 1, pad)

    def _frame(self, bounds: tuple[int, ...], scale: int, pad: float) -> Window:
        """The window around bounds (x, y, width, height) in parts of subpixels."""
        factor, edge = scale << _SHIFT, self.size
        left, top, width, height = bounds
        x0 = min(edge, max(0, int(left / factor - pad) - 1))
        y0 = min(edge, max(0, int(top / factor - pad) - 1))
        x1 = min(edge, int((left + width) / factor + pad) + 2)
        y1 = min(edge, int((top + height) / factor + pad) + 2)
        return slice(y0, max(y0, y1)), slice(x0, max(x0, x1))

    def mask(
        self,
        polygons: Polygons,
        window: Window,
        blur: float = 0.0,
        scale: int = 2,
        levels: list[float] | None = None,
    ) -> Floats:
        """How far each pixel of a window lies in the union of polygons, 0 to 1.

        Args:
            polygons: pixels of the canvas.
            window: from `window`.
            blur: standard deviation in pixels.
            scale: subpixels a pixel and axis, a power of 2.
            levels: a value for each polygon instead of 1; later ones replace earlier ones.
        """
        return _cover(_corners(polygons, scale)[0], window, blur, scale, levels)

    def blend(self, window: Window, color: object, alpha: Floats) -> None:
        """Move a window towards a color (3 numbers) or planes (3, h, w) by alpha (h, w)."""
        part = self.pixels[:, window[0], window[1]]
        if not part.size:
            return
        paint = np.asarray(color, dtype=np.float32)
        if part[0].size < _SMALL:
            part += (paint.reshape(3, *paint.shape[1:] or (1, 1)) - part) * alpha
            return
        # OpenCV needs a call for each plane, and half the time for large ones.
        rest = 1 - alpha
        for plane, ink in zip(part, paint, strict=True):
            if ink.ndim:
                cv2.blendLinear(ink, plane, alpha, rest, dst=plane)
            else:
                cv2.multiply(plane, rest, dst=plane)
                cv2.scaleAdd(alpha, float(ink), plane, dst=plane)

    def shade(self, window: Window, factor: Floats) -> None:
        """Multiply a window by factors, shape (h, w) or (3, h, w)."""
        self.pixels[:, window[0], window[1]] *= factor

    def fill(
        self,
        polygons: Polygons,
        color: object,
        opacity: float = 1.0,
        blur: float = 0.0,
        scale: int = 2,
        within: tuple[Window, Floats] | None = None,
        levels: list[float] | None = None,
    ) -> None:
        """Paint the union of polygons in one color, `within` a mask of a window if given.

        Args:
            polygons, blur, scale, levels: as for `mask`.
            color: RGB.
            opacity: 0 to 1.
            within: a window and its mask.
        """
        corners, bounds = _corners(polygons, scale)
        window = within[0] if within else self._frame(bounds, scale, 3 * blur)
        alpha = _cover(corners, window, blur, scale, levels, opacity)
        if within:
            alpha *= within[1]
        self.blend(window, color, alpha)

    def image(self) -> NDArray[np.uint8]:
        """The picture as (size, size, 3) uint8."""
        return np.asarray(cv2.merge([cv2.convertScaleAbs(p) for p in self.pixels]), dtype=np.uint8)


def _corners(polygons: Polygons, scale: int) -> tuple[list[Corners], tuple[int, ...]]:
    """Polygons and groups in parts of subpixels for OpenCV, and the rectangle around all of them."""
    parts = (polygons,) if isinstance(polygons, np.ndarray) else polygons
    rows = [part.reshape(-1, 2) for part in parts]
    points = rows[0] if len(rows) == 1 else np.concatenate(rows)
    # Half a subpixel moves from edges to centers; the other half bit rounds.
    fixed = (points * (scale << _SHIFT) + (0.5 - (1 << _SHIFT) // 2)).astype(np.int32)
    bounds = tuple(cv2.boundingRect(fixed))
    if len(parts) == 1:
        return [fixed.reshape(parts[0].shape)], bounds
    corners, start = [], 0
    for part, row in zip(parts, rows, strict=True):
        corners.append(fixed[start : start + len(row)].reshape(part.shape))
        start += len(row)
    return corners, bounds


def _cover(
    corners: list[Corners],
    window: Window,
    blur: float,
    scale: int,
    levels: list[float] | None = None,
    opacity: float = 1.0,
) -> Floats:
    """The mask of `Canvas.mask` from corners in parts of subpixels, times an opacity."""
    rows, columns = window
    height, width = rows.stop - rows.start, columns.stop - columns.start
    if height == 0 or width == 0:
        return np.zeros((height, width), np.float32)
    fine = np.zeros((height * scale, width * scale), np.uint8)
    factor = scale << _SHIFT
    offset = (-columns.start * factor, -rows.start * factor)
    for number, polygon in enumerate(corners):
        level = 255 if levels is None else round(255 * levels[number])
        group = [polygon] if polygon.ndim == 2 else list(polygon)
        cv2.fillPoly(fine, group, level, cv2.LINE_8, _SHIFT, offset)
    while scale > 1:
        # Halving twice is several times as fast as one step of another factor.
        scale //= 2
        fine = cv2.resize(fine, (width * scale, height * scale), interpolation=cv2.INTER_AREA)
    alpha = soften(fine, blur) if blur > 0 else fine.astype(np.float32)
    alpha *= np.float32(opacity / 255)
    return alpha


_SMALL = 1600  # pixels of a window in which NumPy's one call beats OpenCV's three
_WIDE = 1.8  # pixels; a wider blur is made on a smaller copy, which looks the same
_WIDER = 4.5


def soften(picture: NDArray[np.uint8] | Floats, sigma: float) -> Floats:
    """A Gaussian blur; OpenCV's own spends most of its time on making the kernel anew.

    Args:
        picture: shape (h, w) or (h, w, channels).
        sigma: pixels.
    """
    height, width = picture.shape[:2]
    if sigma > _WIDE and min(height, width) > 24:
        factor = 2 if sigma < _WIDER else 4
        small = cv2.resize(
            picture, (width // factor, height // factor), interpolation=cv2.INTER_AREA
        )
        soft = _blur(small, sigma / factor)
        return np.asarray(cv2.resize(soft, (width, height)), dtype=np.float32)
    return _blur(picture, sigma)


def _blur(picture: cv2.typing.MatLike, sigma: float) -> Floats:
    bell = _bell(round(_BELLS * sigma))
    return np.asarray(cv2.sepFilter2D(picture, cv2.CV_32F, bell, bell), dtype=np.float32)


_BELLS = 16  # kernels a pixel of standard deviation


@lru_cache(maxsize=256)
def _bell(width: int) -> Floats:
    """A Gaussian kernel of six standard deviations, given in parts of a pixel."""
    sigma = max(width, 1) / _BELLS
    kernel = np.asarray(cv2.getGaussianKernel(round(6 * sigma) | 1, sigma), np.float32)
    kernel.flags.writeable = False
    return kernel


_HALF = np.float32(-0.5)


class Field:
    """Sums of upright Gaussian bumps on a grid of the flat plane, and their slopes.

    A bump is a product of a row and a column, so that a sum of many is one matrix product.
    """

    def __init__(
        self, camera: Camera, step_px: float, low: Sequence[float], high: Sequence[float]
    ) -> None:
        """A grid that covers the flat plane from `low` to `high`; beyond, its edge goes on."""
        self.camera = camera
        self.step = step_px / camera.scale
        self.origin = (float(low[0]), float(low[1]))
        u, v = (
            start + self.step * (np.arange(-(-(stop - start) // self.step)) + 0.5)
            for start, stop in zip(low, high, strict=True)
        )
        self.u: Floats = u.astype(np.float32)
        self.v: Floats = v.astype(np.float32)

    def _factors(self, bumps: Points) -> tuple[Points, Points]:
        bumps = bumps.astype(np.float32)
        u = (self.u - bumps[:, 0:1]) / bumps[:, 2:3]
        v = (self.v - bumps[:, 1:2]) / bumps[:, 3:4]
        u *= u
        v *= v
        u *= _HALF
        v *= _HALF
        return np.exp(u, out=u), np.exp(v, out=v) * bumps[:, 4:5]

    def total(self, bumps: Points) -> Floats:
        """The sum of bumps, rows (u, v, σu, σv, height); shape (rows, columns)."""
        u, v = self._factors(bumps)
        return np.asarray(v.T @ u, dtype=np.float32)

    def slopes(self, bumps: Points) -> tuple[Floats, Floats]:
        """The derivatives of `total` along u and v."""
        u, v = self._factors(bumps)
        bumps = bumps.astype(np.float32)
        du = u * ((bumps[:, 0:1] - self.u) / np.square(bumps[:, 2:3]))
        dv = v * ((bumps[:, 1:2] - self.v) / np.square(bumps[:, 3:4]))
        return np.asarray(v.T @ du, np.float32), np.asarray(dv.T @ u, np.float32)

    def project(self, values: Floats, window: Window) -> Floats:
        """A field of the flat plane as a map of a window of the picture, shape (h, w)."""
        rows, columns = window
        height, width = rows.stop - rows.start, columns.stop - columns.start
        # Turned at about the step of the field, then enlarged, which is the faster of the two.
        fold = 4 if self.step * self.camera.scale >= 4 else 2
        matrix = self.camera.affine(self.origin, self.step)
        matrix[:, 2] += (0.5 - columns.start, 0.5 - rows.start)
        matrix /= fold
        matrix[:, 2] -= 0.5
        shape = (-(-width // fold), -(-height // fold))
        small = cv2.warpAffine(
            values, matrix, shape, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        large = cv2.resize(small, (fold * shape[0], fold * shape[1]))
        return np.asarray(large[:height, :width], dtype=np.float32)


@lru_cache(maxsize=1)
def _bezier() -> Points:
    """Weights of the three points of a quadratic Bézier curve at 256 steps, shape (256, 3)."""
    t = np.linspace(0, 1, 256)
    weights = np.stack(((1 - t) ** 2, 2 * t * (1 - t), t * t), axis=1)
    weights.flags.writeable = False
    return weights


def ramp(shadow: Points, middle: Points, top: Points, tone: Floats) -> Floats:
    """Colors along a quadratic Bézier curve: planes first, shape (3, h, w).

    Args:
        shadow, middle, top: RGB at tone 0, of the control point, and at tone 1.
        tone: shape (h, w); values beyond 0 to 1 are cut off.
    """
    table = (_bezier() @ np.stack((shadow, middle, top))).astype(np.float32)
    above = cv2.threshold(tone, 0, 0, cv2.THRESH_TOZERO)[1]
    index = cv2.convertScaleAbs(above, alpha=255)
    planes = np.empty((3, *tone.shape), np.float32)
    for plane, column in zip(planes, table.T, strict=True):
        cv2.LUT(index, np.ascontiguousarray(column), dst=plane)
    return planes
