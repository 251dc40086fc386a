"""Tracks and means over time, against scenes whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openaffect.analysis.smoothing import Smoother
from openaffect.analysis.tracking import Track, Tracker
from openaffect.faces.boxes import Box


def at(x, y, side=40.0):
    return Box(x - side / 2, y - side / 2, side, side)


def follow(scene, **options):
    """The ids of a scene: for every frame, the id of each box in it."""
    tracker = Tracker(**options)
    return [tracker.update(boxes) for boxes in scene]


def test_faces_that_cross_far_apart_keep_their_ids():
    scene = [[at(50 + 10 * n, 100), at(450 - 10 * n, 200)] for n in range(40)]
    assert follow(scene) == [[0, 1]] * 40


def test_the_order_of_the_boxes_does_not_matter():
    scene = [[at(50 + 5 * n, 100), at(300, 100 + 3 * n), at(400 - n, 50)] for n in range(30)]
    turned = [boxes[n % 3 :] + boxes[: n % 3] for n, boxes in enumerate(scene)]
    plain, other = follow(scene), follow(turned)
    back = [ids[-(n % 3) :] + ids[: -(n % 3)] if n % 3 else ids for n, ids in enumerate(other)]
    assert back == plain == [[0, 1, 2]] * 30


@pytest.mark.parametrize("away", [1, 5, 12])
def test_a_moving_face_keeps_its_id_behind_an_occluder(away):
    scene = [[] if 20 <= n < 20 + away else [at(50 + 8 * n, 100)] for n in range(50)]
    ids = {i for frame in follow(scene, patience=12) for i in frame}
    assert ids == {0}


def test_patience_is_counted_in_frames():
    def ids(away, patience):
        scene = [[at(100, 100)], *[[]] * away, [at(100, 100)]]
        return follow(scene, patience=patience)[-1]

    assert ids(6, 6) == [0]
    assert ids(7, 6) == [1]
    assert ids(1, 0) == [1]


def test_a_fast_face_is_followed_without_overlap():
    # Two sides of the face a frame: nothing overlaps, its speed says where it will be.
    start = [10 * n * (n + 1) / 2 for n in range(9)]
    scene = [[at(x, 100)] for x in [*start, *(start[-1] + 80 * n for n in range(1, 20))]]
    assert follow(scene) == [[0]] * 28


def test_another_face_elsewhere_is_a_new_track():
    assert follow([[at(100, 100)], [at(400, 100)]]) == [[0], [1]]
    assert follow([[at(100, 100, 40)], [at(100, 100, 200)]]) == [[0], [1]]


def test_ids_start_where_they_are_told_and_never_come_back():
    scene = [[at(100, 100)], [], [], [at(100, 100)], [at(100, 100), at(300, 100)]]
    assert follow(scene, patience=1, first_id=7) == [[7], [], [], [8], [8, 9]]


@pytest.mark.parametrize(
    ("sides", "away", "id_"),
    [(1.2, 3, 1), (1.2, 13, 1), (1.2, 14, 0), (1.45, 25, 0), (1.6, 28, 1)],
)
def test_the_longer_a_face_was_away_the_further_off_it_may_come_back(sides, away, id_):
    # Beside where it was, without overlap: 0.5 sides and 0.05 more per frame, at most 1.5.
    scene = [[at(100, 100)], *[[]] * away, [at(100 + 40 * sides, 100)]]
    assert follow(scene)[-1] == [id_]


def test_the_speed_is_a_running_mean_that_keeps_six_tenths():
    one = Track(0, at(100, 100)).seen(at(110, 105))
    assert one.speed == pytest.approx((4, 2))
    assert one.seen(at(120, 110)).speed == pytest.approx((6.4, 3.2))


def test_speed_is_per_frame_also_over_frames_without_the_face():
    away = Track(0, at(100, 100), missed=4)
    assert away.seen(at(150, 100)).speed == pytest.approx((4, 0))


def test_a_track_moves_on_alone_for_ten_frames_and_then_waits():
    ahead = [Track(0, at(100, 100), (3.0, -1.0), n).expect().center for n in (0, 8, 9, 10, 25)]
    assert ahead == [(103, 99), (127, 91), (130, 90), (130, 90), (130, 90)]


boxes = st.lists(
    st.tuples(st.floats(0, 300), st.floats(0, 300), st.floats(5, 90)).map(lambda t: at(*t)),
    max_size=6,
)


@given(st.lists(boxes, max_size=12), st.integers(0, 4))
def test_every_box_has_one_id_of_its_own(scene, patience):
    tracker = Tracker(patience)
    highest = -1
    for frame in scene:
        ids = tracker.update(frame)
        assert len(set(ids)) == len(ids) == len(frame)
        new = sorted(i for i in ids if i > highest)
        assert new == list(range(highest + 1, highest + 1 + len(new)))
        highest = max([highest, *ids])
        assert all(track.missed <= patience for track in tracker.tracks)


def test_the_mean_follows_the_formula_whatever_the_steps():
    smoother = Smoother(0.5)
    assert smoother.update(0, 0.0, np.array([0.0])) == [0.0]
    one = smoother.update(0, 0.4, np.array([1.0]))
    assert one == pytest.approx([1 - np.exp(-0.4 / 0.5)])
    fine = Smoother(0.5)
    fine.update(0, 0.0, np.array([0.0]))
    for step in range(1, 41):
        last = fine.update(0, step / 100, np.array([1.0]))
    np.testing.assert_allclose(last, one, atol=1e-12)


def test_tracks_have_means_of_their_own_and_none_without_a_time_constant():
    smoother = Smoother(10.0)
    smoother.update(0, 0.0, np.array([1.0]))
    assert smoother.update(1, 0.1, np.array([0.0])) == [0.0]
    plain = Smoother(0.0)
    plain.update(0, 0.0, np.array([1.0]))
    assert plain.update(0, 0.1, np.array([0.25])) == [0.25]


def test_a_face_that_was_away_for_long_starts_afresh():
    smoother = Smoother(0.2)
    smoother.update(0, 0.0, np.array([1.0]))
    assert smoother.update(0, 60.0, np.array([0.0])) == pytest.approx([0.0], abs=1e-12)


def test_a_crowd_is_forgotten_in_time():
    smoother = Smoother(0.1)
    for track in range(3000):
        smoother.update(track, track * 0.04, np.array([0.5]))
    assert len(smoother._states) < 1200
