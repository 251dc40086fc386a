"""Drawings: what is drawn, where it may not be, and what a folder of drawings is called."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrowing import known
from openaffect.analysis import Analysis, analysis_schema, overlay_folder, overlay_image
from openaffect.analysis.overlay.image import GRAY, color_of
from openaffect.analysis.overlay.layout import place_all
from openaffect.errors import DestinationExists, InputError
from openaffect.faces.boxes import Box
from openaffect.images import encode_image, read_image
from openaffect.labels import EMOTIONS, EXPRESSIONS
from openaffect.progress import Progress


def row(box=(150, 120, 100, 120), **values):
    base = dict.fromkeys(analysis_schema(EMOTIONS).names)
    face = {
        "source": "x.png",
        "status": "ok",
        "face_index": 0,
        "box": list(box),
        "expression": "happy",
        "confidence": 0.87,
        "valence": 0.6,
        "arousal": 0.1,
    }
    return base | face | values


def gray(height=400, width=500, value=120):
    return np.full((height, width, 3), value, np.uint8)


def changed(before, after):
    return (before != after).any(axis=2)


def test_the_picture_itself_is_not_touched():
    image = gray()
    result = overlay_image(image, [row()])
    assert (image == 120).all()
    assert result.shape == image.shape
    assert result.dtype == np.uint8
    assert changed(image, result).any()


def test_no_rows_draw_nothing_and_no_face_says_so():
    image = gray()
    assert not changed(image, overlay_image(image, [])).any()
    said = changed(image, overlay_image(image, [row(status="no_face_found") | {"box": None}]))
    assert said[300:, :250].any()
    assert not said[:300].any()


@pytest.mark.parametrize("value", [0, 255])
def test_the_inside_of_the_face_stays_free(value):
    image = gray(value=value)
    different = changed(image, overlay_image(image, [row()]))
    assert not different[128:232, 158:242].any()
    assert different[115:245, 145:255].any()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_the_box_has_the_color_of_its_expression(expression):
    result = overlay_image(gray(), [row(expression=expression.value)])
    middle_of_left_side = result[180, 149:152].astype(int)
    assert np.abs(middle_of_left_side - color_of(expression)).max(axis=1).min() <= 2


def test_the_colors_can_be_told_apart():
    colors = np.array([*map(color_of, EMOTIONS), GRAY], float)
    assert len(colors) == 9
    distances = np.linalg.norm(colors[:, None] - colors[None], axis=2)
    assert distances[~np.eye(9, dtype=bool)].min() > 40


def test_without_an_answer_the_face_is_gray():
    result = overlay_image(gray(value=0), [row(expression=None)])
    assert np.abs(result[180, 149:152].astype(int) - GRAY).max(axis=1).min() <= 2


def test_the_dot_follows_valence_to_the_right_and_arousal_up():
    def dot(valence, arousal):
        # Only the dot and its line differ from the drawing of (0, 0).
        image = gray()
        center = overlay_image(image, [row(valence=0.0, arousal=0.0)])
        moved = overlay_image(image, [row(valence=valence, arousal=arousal)])
        y, x = np.nonzero(changed(center, moved))
        return x, y

    x0, y0 = (v.min() for v in dot(-0.7, 0.7))
    x1, y1 = (v.max() for v in dot(0.7, -0.7))
    left, up = dot(-0.7, 0.0)[0].min(), dot(0.0, 0.7)[1].min()
    right, down = dot(0.7, 0.0)[0].max(), dot(0.0, -0.7)[1].max()
    steps = [left - x0, up - y0, right - x1, down - y1]
    assert max(map(abs, steps)) <= 1
    assert right - left > 40
    assert abs((right - left) - (down - up)) <= 2


def test_a_point_outside_the_unit_circle_stays_on_its_rim():
    far = overlay_image(gray(), [row(valence=30.0, arousal=0.0)])
    rim = overlay_image(gray(), [row(valence=1.0, arousal=0.0)])
    np.testing.assert_array_equal(far, rim)


def test_a_small_picture_is_enlarged_by_a_whole_factor():
    assert overlay_image(gray(48, 48), [row(box=(10, 8, 28, 34))]).shape == (336, 336, 3)
    assert overlay_image(gray(1, 1), []).shape == (320, 320, 3)
    assert overlay_image(gray(100, 320), []).shape == (100, 320, 3)


def test_measures_grow_with_the_picture():
    small = changed(gray(), overlay_image(gray(), [row()]))
    image = gray(1600, 2000)
    large = changed(image, overlay_image(image, [row(box=(600, 480, 400, 480))]))
    # The dark edge is a pixel wide at any size, and no line is thinner than two.
    assert large.mean() == pytest.approx(small.mean(), rel=0.3)


def test_gray_pictures_landmarks_and_failed_rows():
    points = np.stack([np.linspace(160, 240, 68), np.full(68, 180.0)], 1).ravel().tolist()
    result = overlay_image(np.full((400, 500), 60, np.uint8), [row(landmarks=points)])
    assert (result[180, 160:240].max(axis=1) > 200).sum() > 30
    failed = row(status="error", expression=None, confidence=None, valence=None, arousal=None)
    assert changed(gray(), overlay_image(gray(), [failed])).any()


def test_models_with_one_output():
    both = changed(gray(), overlay_image(gray(), [row()])).sum()
    no_affect = changed(gray(), overlay_image(gray(), [row(valence=None, arousal=None)])).sum()
    assert 0 < no_affect < both
    only_affect = row(expression=None, confidence=None)
    assert changed(gray(), overlay_image(gray(), [only_affect])).any()


def test_where_no_disc_has_room_the_numbers_go_on_the_label():
    image = gray()
    fills = (-150, -150, 800, 700)  # no corner of the picture is off the face
    drawn = changed(image, overlay_image(image, [row(box=fills)]))
    assert not drawn[40:].any()
    longer = np.flatnonzero(drawn.any(axis=0)).max()
    without = overlay_image(image, [row(box=fills, valence=None, arousal=None)])
    assert longer > np.flatnonzero(changed(image, without).any(axis=0)).max() + 40


box_in_picture = st.tuples(
    st.floats(-80, 460), st.floats(-80, 360), st.floats(12, 300), st.floats(12, 300)
)


@settings(max_examples=60, deadline=None)
@given(st.lists(box_in_picture, min_size=1, max_size=6))
def test_places_are_inside_the_picture_and_insets_off_the_faces(boxes):
    faces = [Box(*box) for box in boxes]
    count = len(faces)
    places = place_all((480, 360), faces, [(90.0, 20.0)] * count, [60.0] * count, [6.0] * count)
    assert len(places) == count
    insets = [place.inset for place in places if place.inset is not None]
    for spot in [place.label for place in places] + insets:
        assert min(spot.x, spot.y) >= -1e-6
        assert max(spot.x + spot.w - 480, spot.y + spot.h - 360) <= 1e-6
    covered = [_on_ellipse(inset, face) for inset in insets for face in faces]
    assert max(covered, default=0) < 0.06
    others = [(a, b) for a in insets for b in insets if a is not b]
    assert max((a.iou(b) for a, b in others), default=0) == 0


def _on_ellipse(spot, face):
    """The share of a rectangle inside a face's ellipse, by its own fine grid."""
    x, y = np.meshgrid(np.linspace(0, 1, 60), np.linspace(0, 1, 60))
    (cx, cy), w, h = face.center, face.w / 2, face.h / 2
    dx, dy = (spot.x + x * spot.w - cx) / w, (spot.y + y * spot.h - cy) / h
    return float((dx**2 + dy**2 < 1).mean())


@settings(max_examples=25, deadline=None)
@given(
    st.lists(box_in_picture, max_size=4),
    st.tuples(st.integers(1, 500), st.integers(1, 500)),
    st.sampled_from([*EMOTIONS, None]),
)
def test_any_box_in_any_picture_can_be_drawn(boxes, size, expression):
    rows = [row(box=box, expression=expression) for box in boxes]
    assert overlay_image(gray(*size), rows).ndim == 3


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_image(image, path.suffix))
    return str(path)


def analysis_of(*rows):
    return Analysis(pa.Table.from_pylist(list(rows), schema=analysis_schema(EMOTIONS)))


def test_a_folder_of_drawings_mirrors_the_pictures(tmp_path):
    names = ["a.JPG", "deep/a.jpg", "deep/b.tif", "deep/b.png", "deep/B-2.png"]
    sources = [save(tmp_path / "in" / name, gray()) for name in names]
    gone = str(tmp_path / "in" / "gone.jpg")
    rows = [row(source=sources[0]), row(source=sources[0], box=(300, 100, 80, 90))]
    rows += [row(source=source) for source in sources[1:]]
    rows += [row(source=gone, status="error", error="missing") | {"box": None}]
    seen: list[Progress] = []
    drawn = overlay_folder(analysis_of(*rows), tmp_path / "out", on_progress=seen.append)
    relative = {s.removeprefix(f"{tmp_path}/in/"): p for s, p in drawn.items()}
    out = {
        name: path and path.relative_to(tmp_path / "out").as_posix()
        for name, path in relative.items()
    }
    assert out == {
        "a.JPG": "a.JPG",
        "deep/a.jpg": "deep/a.jpg",
        "deep/b.tif": "deep/b.png",
        "deep/b.png": "deep/b-2.png",
        "deep/B-2.png": "deep/B-2-2.png",
        "gone.jpg": None,
    }
    assert [event.done for event in seen] == [1, 2, 3, 4, 5, 6]
    files = sorted(
        p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*")
    )
    assert files == sorted(name for name in out.values() if name)
    expected = overlay_image(read_image(sources[0]), rows[:2])
    difference = np.abs(read_image(known(drawn[sources[0]])).astype(int) - expected)
    assert difference.mean() < 2  # JPEG


def test_nothing_is_replaced_without_being_asked(tmp_path):
    analysis = analysis_of(
        *[row(source=save(tmp_path / "in" / n, gray())) for n in ("a.png", "b.png")]
    )
    out = tmp_path / "out"
    save(out / "b.png", gray(9, 9))
    with pytest.raises(DestinationExists):
        overlay_folder(analysis, out)
    assert [p.name for p in out.iterdir()] == ["b.png"]
    overlay_folder(analysis, out, overwrite=True)
    assert read_image(out / "b.png").shape == (400, 500, 3)


def test_a_drawing_never_replaces_a_picture(tmp_path):
    source = save(tmp_path / "in" / "a.png", gray())
    with pytest.raises(InputError, match="would replace the picture"):
        overlay_folder(analysis_of(row(source=source)), tmp_path / "in", overwrite=True)
    assert (read_image(source) == 120).all()


def test_arrays_have_no_name_to_draw_under(tmp_path):
    with pytest.raises(InputError, match=r"array\[0\] was given as an array"):
        overlay_folder(analysis_of(row(source="array[0]")), tmp_path / "out")


def test_an_empty_analysis_draws_nothing(tmp_path):
    assert overlay_folder(analysis_of(), tmp_path / "out") == {}
