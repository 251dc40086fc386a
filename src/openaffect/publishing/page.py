"""`index.html`: the page of a release, like the database's own: one file without script or network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openaffect.images import read_image, resize_image
from openaffect.pages import render
from openaffect.pages.environment import data_url
from openaffect.pages.plots import Frame
from openaffect.pages.svg import Element, drawing, titled
from openaffect.publishing.cards import FORBIDDEN, Subject, answer_legal, license_of
from openaffect.publishing.layouts import load_layout
from openaffect.schemas import SPLITS

_SAMPLES = 24
_SIDE = 112  # pixels
_CELLS = 21


def render_page(what: Subject, samples: Sequence[tuple[str, Path]]) -> str:
    """The whole text of `index.html`.

    Args:
        what: the release.
        samples: face_id and picture of faces that may be shown; the first of them are.
    """
    facts = what.facts
    rows = what.counts()
    columns = [n for n in range(len(SPLITS) + 1) if any(numbers[n] for _, numbers in rows)]
    shown = {name: place for place, name in enumerate(what.table.ids)}
    labels = what.table.column("expression").to_pylist()
    affect = what.table.affect
    placed = affect[~np.isnan(affect[:, 0])]
    pictures = [
        {
            "url": _thumbnail(path),
            "expression": labels[shown[face_id]] or "other",
            "affect": _point(affect[shown[face_id]]),
        }
        for face_id, path in samples[:_SAMPLES]
    ]
    return render(
        "publishing/templates/release.html.j2",
        facts=facts,
        numbers=_numbers(what, len(placed)),
        splits=[(*SPLITS, "no split")[n] for n in columns],
        rows=[(name, [counts[n] for n in columns], sum(counts)) for name, counts in rows],
        density=_density(placed) if len(placed) else None,
        placed=len(placed),
        samples=pictures,
        layouts=[(name, load_layout(name).ABOUT, n) for name, n in facts["layouts"].items()],
        licenses=sorted(facts["licenses"].items()),
        license_name=license_of(what)[1],
        without=sorted(facts["without_pictures"].items()),
        changes=[(name, n) for name, n in facts["changes"].items() if n],
        responsible=[] if what.table.info.legal is None else answer_legal(what.legal),
        forbidden=FORBIDDEN,
        contact=what.contact,
        warnings=_warnings(what),
    )


def _numbers(what: Subject, placed: int) -> list[tuple[str, str, str]]:
    facts = what.facts
    return [
        ("", f"{facts['faces']:,}", " faces"),
        ("", f"{facts['pictures']:,}", " with a picture"),
        ("", f"{placed:,}", " with valence and arousal"),
        ("version ", facts["version"], ""),
    ]


def _warnings(what: Subject) -> list[str]:
    facts = what.facts
    found = []
    if facts["private"]:
        found.append(f"Private: it holds pictures that may not be given on ({facts['because']}).")
    if facts["non_commercial"]:
        found.append("For non-commercial use alone.")
    if facts["whole_photographs"]:
        found.append("Whole photographs: they may show other people.")
    if facts["personality_rights"]:
        found.append(
            f"{facts['personality_rights']:,} pictures show people whose provider speaks of their own "
            "rights."
        )
    return found


def _density(points: NDArray[np.float32]) -> Element:
    """How many faces lie where on the circumplex, in cells; the square root of their number shows."""
    frame = Frame.of(20, 20, 360, 360, low=-1.12, high=1.12)
    edges = np.linspace(-1.05, 1.05, _CELLS + 1)  # cells around tenths, as many tools give them
    counts, _, _ = np.histogram2d(points[:, 0], points[:, 1], bins=(edges, edges))
    cells = []
    for i, j in np.argwhere(counts > 0):
        x0, x1 = frame.x.at(float(edges[i])), frame.x.at(float(edges[i + 1]))
        y0, y1 = frame.y.at(float(edges[j + 1])), frame.y.at(float(edges[j]))
        share = float(np.sqrt(counts[i, j] / counts.max()))
        rect = Element(
            "rect",
            class_="cell",
            x=x0,
            y=y0,
            width=x1 - x0,
            height=y1 - y0,
            style=f"opacity:{0.12 + 0.88 * share:.2f}",
        )
        title = (
            f"{int(counts[i, j]):,} faces: valence {edges[i]:.1f} to {edges[i + 1]:.1f}, arousal "
            f"{edges[j]:.1f} to {edges[j + 1]:.1f}"
        )
        cells.append(titled(title, rect))
    cx, cy = frame.x.at(0.0), frame.y.at(0.0)
    unit = frame.x.at(1.0) - cx
    words = (
        (cx, cy - unit - 8, "excited"),
        (cx, cy + unit + 17, "calm"),
        (cx - unit + 42, cy - 6, "unpleasant"),
        (cx + unit - 34, cy - 6, "pleasant"),
    )
    return drawing(
        400,
        400,
        "density of faces on the valence–arousal circumplex",
        *cells,
        Element("circle", class_="disc", cx=cx, cy=cy, r=unit, fill="none"),
        frame.segment("grid", (-1, 1), (0, 0)),
        frame.segment("grid", (0, 0), (-1, 1)),
        *(
            Element("text", word, class_="tick", x=x, y=y, text_anchor="middle")
            for x, y, word in words
        ),
    )


def _thumbnail(path: Path) -> str:
    image = read_image(path)
    height, width = image.shape[:2]
    scale = 2 * _SIDE / max(height, width)
    if scale < 1:
        image = resize_image(image, max(1, round(width * scale)), max(1, round(height * scale)))
    return data_url(image, quality=80)


def _point(affect: NDArray[np.float32]) -> str:
    return "" if np.isnan(affect[0]) else f"{affect[0]:.2f}, {affect[1]:.2f}".replace("-", "−")
