"""The page, the summaries and the notebook's table of an analysis with known numbers."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest

from film_builders import wandering, write_film
from openaffect.analysis import Analysis, analysis_schema, summarize, write_page
from openaffect.analysis.page import render_page
from openaffect.analysis.timeline import COLORS, TrackSeries, timeline_plot
from openaffect.errors import DestinationExists
from openaffect.images import encode_image
from openaffect.labels import EMOTIONS

EVIL = "<script>alert('1')</script>.mp4"


def row(**values):
    base = dict.fromkeys(analysis_schema(EMOTIONS).names)
    face = {
        "source": "film.mp4",
        "status": "ok",
        "face_index": 0,
        "box": [10, 10, 40, 50],
        "p_happy": 0.75,
        "p_sad": 0.25,
        "expression": "happy",
        "confidence": 0.75,
        "valence": 0.5,
        "arousal": -0.25,
    }
    return base | face | values


def frame(number, **values):
    return row(frame=number, time_s=number / 25, **({"track_id": 0} | values))


def analysis_of(rows):
    return Analysis(pa.Table.from_pylist(rows, schema=analysis_schema(EMOTIONS)))


def test_a_summary_has_the_means_of_its_track():
    rows = [
        frame(0, p_happy=0.9, p_sad=0.1, valence=1.0),
        frame(0, track_id=1, face_index=1, expression="sad", p_happy=0.2, p_sad=0.8),
        frame(1, status="no_face_found", track_id=None, p_happy=None),
        frame(2, p_happy=0.3, p_sad=0.7, valence=0.0, expression="sad"),
        frame(3, status="error", error="broken", p_happy=None),
        row(),
    ]
    first, second = summarize(rows)
    assert (first.source, first.track, first.frames) == ("film.mp4", 0, 2)
    assert (first.start_s, first.end_s) == (0.0, 2 / 25)
    assert first.probabilities == pytest.approx({"happy": 0.6, "sad": 0.4})
    assert (first.expression, first.valence) == ("happy", 0.5)
    assert (second.track, second.frames, second.expression) == (1, 1, "sad")
    assert summarize([row()]) == []


def test_a_model_without_classes_or_affect_has_none_in_its_summary():
    bare = dict.fromkeys([k for k in row() if k.startswith("p_")])
    one = summarize([frame(0, **bare, expression=None, confidence=None)])[0]
    assert (one.expression, one.probabilities) == (None, {})
    two = summarize([frame(0, valence=None, arousal=None)])[0]
    assert two.valence is two.arousal is None
    assert "<svg" in render_page(analysis_of([frame(0, **bare, expression=None)]))
    assert "<svg" in render_page(analysis_of([frame(0, valence=None, arousal=None)]))


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.seen, self.text = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def page():
    rows = []
    for n in range(50):
        rows.append(frame(n, source=EVIL, valence=np.sin(n / 9)))
        if 20 <= n < 30:
            rows.append(frame(n, source=EVIL, track_id=3, expression=None))
    rows += [frame(50, source=EVIL, status="error", error="<b>broken</b>", track_id=None)]
    rows += [row(source="a.jpg"), row(source="b.jpg", status="no_face_found", face_index=None)]
    return render_page(analysis_of(rows))


def test_the_page_needs_nothing_else_and_runs_nothing(page):
    tags = Tags(page)
    names = {tag for tag, _ in tags.seen}
    assert not names & {"script", "link", "iframe", "img"}
    assert not re.search(r"https?://|url\(", page.replace("http://www.w3.org", ""))
    assert tags.text.count(EVIL) == 1  # the heading; in the list of errors a frame follows
    assert "<b>broken</b>" in "".join(tags.text)


def test_the_page_says_what_was_seen(page):
    text = " ".join("".join(Tags(page).text).split())
    assert "1 video" in text
    assert "51 frames" in text
    assert "2 tracks" in text
    assert "2 photos" in text
    assert "Frames analyzed: 51; without a face 0, not readable 1." in text
    assert "With a face 1, without one 1, not readable 0." in text
    assert "frame 50" in text


def test_the_strip_and_the_curves_are_where_the_track_was(page):
    pieces = [a for tag, a in Tags(page).seen if tag == "rect" and "piece" in a.get("class", "")]
    assert [a["class"].strip() for a in pieces] == ["piece c-happy", "piece"]
    whole, part = pieces
    assert float(whole["width"]) == pytest.approx(1040, abs=30)
    assert float(part["width"]) / float(whole["width"]) == pytest.approx(10 / 50, abs=0.03)
    assert (float(part["x"]) - float(whole["x"])) / 1040 == pytest.approx(20 / 49, abs=0.03)
    assert sum(tag == "polyline" for tag, _ in Tags(page).seen) == 4


def test_a_curve_breaks_where_the_track_was_away():
    course = TrackSeries()
    for number in [*range(100), *range(200, 300)]:
        course.add(frame(number))
    svg = str(timeline_plot({0: course}, "x"))
    assert svg.count("<polyline") == 4  # valence and arousal, two pieces each


def test_many_tracks_show_the_longest():
    rows = [frame(n, track_id=t) for n in range(20) for t in range(30) if n <= t]
    text = render_page(analysis_of(rows))
    assert f"The plot has the {len(COLORS)} longest of 30 tracks." in text
    strips = re.findall(r">#(\d+)</text>", text)
    assert len(strips) == len(COLORS)
    assert min(map(int, strips)) >= 18


def test_a_page_is_written_once(tmp_path):
    analysis = analysis_of([row()])
    write_page(analysis, tmp_path / "p.html")
    with pytest.raises(DestinationExists):
        write_page(analysis, tmp_path / "p.html")
    write_page(analysis, tmp_path / "p.html", overwrite=True)
    assert "Faces in photos" in (tmp_path / "p.html").read_text(encoding="utf-8")
    render_page(analysis_of([]))


def test_a_notebook_shows_faces_and_escapes_text(tmp_path):
    frames = wandering(3)
    photo, film = tmp_path / "<i>.png", tmp_path / "film.mp4"
    photo.write_bytes(encode_image(frames[0]))
    write_film(film, frames)
    rows = [
        row(source=str(photo), box=[10.0, 20.0, 90.0, 100.0]),
        frame(2, source=str(film), box=[100.0, 20.0, 90.0, 100.0]),
        row(source="gone.png"),
        row(source="x.png", status="error", error="<script>"),
    ]
    text = analysis_of(rows)._repr_html_()
    tags = Tags(text)
    images = [a for tag, a in tags.seen if tag == "img"]
    assert len(images) == 2
    assert all(a["src"].startswith("data:image/jpeg;base64,") for a in images)
    assert not {tag for tag, _ in tags.seen} & {"i", "script"}
    assert "<script>" in "".join(tags.text)
    assert "0.08 s" in "".join(tags.text)


def test_a_notebook_shows_a_few_rows_of_many():
    text = analysis_of([row(source=f"{n}.png") for n in range(500)])._repr_html_()
    assert text.count("<tr>") == 13
    assert "the first 12 rows of 500" in text
    assert "<table>" in analysis_of([])._repr_html_()
