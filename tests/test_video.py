"""Videos: frames, times, tracks, damage, and drawing them again."""

from __future__ import annotations

import sys
from fractions import Fraction
from functools import partial

import av
import numpy as np
import pytest

from builders import tiny_model
from film_builders import wandering, write_film, write_sound
from narrowing import known
from openaffect.analysis import analyze, iterate_rows, overlay_folder, videos
from openaffect.analysis.pictures import Picture
from openaffect.analysis.searching import FULL_EVERY, DetectionPipeline, detect_and_crop, follow
from openaffect.analysis.tracking import Tracker
from openaffect.analysis.videos import SUFFIXES, Video, is_video
from openaffect.errors import DestinationExists, InputError, MissingExtra
from openaffect.images import encode_image, read_image
from openaffect.model import open_model
from openaffect.progress import Progress


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return open_model(tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx"))


@pytest.fixture(scope="module")
def frames():
    return wandering(24)


@pytest.fixture(scope="module")
def film(frames, tmp_path_factory):
    return write_film(tmp_path_factory.mktemp("film") / "one.mp4", frames)


@pytest.fixture(scope="module")
def analysis(film, model):
    return look(film, model)


def look(source, model, **choices):
    return analyze(source, model, detector="haar", **choices)


def rows_of(source, model, **choices):
    return look(source, model, **choices).table.to_pylist()


def test_every_frame_is_rows_with_its_number_time_and_track(analysis, frames):
    rows = analysis.table.to_pylist()
    assert [row["frame"] for row in rows] == list(range(24))
    assert [row["time_s"] for row in rows] == pytest.approx([n / 25 for n in range(24)])
    assert {row["status"] for row in rows} == {"ok"}
    assert {row["track_id"] for row in rows} == {0}
    centers = [row["box"][0] + row["box"][2] / 2 for row in rows]
    assert centers[-1] - centers[0] == pytest.approx(200 - 112, abs=10)


def test_a_frame_says_what_its_picture_says(analysis, frames, model):
    # What H.264 changes in the pixels moves the mean color of the crop, and the box, a little.
    alone = rows_of(frames[7], model)[0]
    inside = analysis.table.to_pylist()[7]
    assert inside["box"] == pytest.approx(alone["box"], abs=6)
    assert inside["valence"] == pytest.approx(alone["valence"], abs=0.05)


def test_threads_and_batches_change_nothing(analysis, film, model):
    other = look(film, model, workers=1, batch_size=5)
    assert other.table.drop_columns(_numbers(other)) == analysis.table.drop_columns(
        _numbers(analysis)
    )
    np.testing.assert_allclose(other.table["valence"], analysis.table["valence"], atol=1e-6)


def _numbers(analysis):
    kept = ("confidence", "valence", "arousal")
    return [name for name in analysis.table.column_names if name.startswith("p_") or name in kept]


def test_times_come_from_the_file_and_not_from_the_rate(model, tmp_path):
    times = [0.0, 0.04, 0.3, 0.31, 1.25, 2.0]
    film = write_film(tmp_path / "vfr.mp4", wandering(6), times=times)
    assert [row["time_s"] for row in rows_of(film, model)] == pytest.approx(times, abs=0.001)


def test_every_takes_one_frame_in_so_many(film, model):
    rows = rows_of(film, model, every=5)
    assert [row["frame"] for row in rows] == [0, 5, 10, 15, 20]
    assert {row["track_id"] for row in rows} == {0}


def test_a_track_survives_a_short_absence(model, tmp_path):
    film = write_film(tmp_path / "away.mp4", wandering(24, hidden=range(8, 14)))
    patient = rows_of(film, model)
    assert [row["status"] for row in patient[8:14]] == ["no_face_found"] * 6
    assert {row["track_id"] for row in patient if row["status"] == "ok"} == {0}
    hasty = rows_of(film, model, patience=3)
    assert {row["track_id"] for row in hasty[:8]} == {0}
    assert {row["track_id"] for row in hasty[14:]} == {1}


def test_videos_photos_and_broken_things_in_one_run(film, frames, model, tmp_path):
    photo = tmp_path / "photo.png"
    photo.write_bytes(encode_image(frames[0]))
    (tmp_path / "zero.mp4").write_bytes(b"")
    rows = rows_of([film, photo, tmp_path / "zero.mp4", film], model)
    assert len(rows) == 24 + 1 + 1 + 24
    assert rows[24]["frame"] is rows[24]["track_id"] is None
    assert (rows[25]["status"], rows[25]["error"]) == ("error", "empty video (0 bytes)")
    again = rows[26:]
    assert [row["frame"] for row in again] == list(range(24))
    assert {row["track_id"] for row in again} == {0}


@pytest.mark.parametrize(("turn", "quarter"), [(90, 1), (-90, 3), (180, 2)])
def test_a_turned_video_is_upright(turn, quarter, frames, tmp_path):
    film = write_film(tmp_path / "turned.mp4", frames[:2], rotation=turn)
    seen = next(Video(str(film)).pictures(0)).read()
    wanted = np.rot90(frames[0], quarter)
    assert seen.shape == wanted.shape
    assert np.abs(seen.astype(int) - wanted).mean() < 6


def damaged(path, film, kind):
    data = bytearray(film.read_bytes())
    if kind == "truncated":
        data = data[: len(data) // 2]
    elif kind == "noise":
        data = bytearray(np.random.default_rng(0).bytes(5000))
    elif kind == "zeroed":
        data[len(data) // 3 : 2 * len(data) // 3] = bytes(len(data) // 3)
    path.write_bytes(data)
    return path


def test_a_truncated_video_gives_its_frames_and_then_says_so(frames, model, tmp_path):
    film = write_film(tmp_path / "whole.mkv", wandering(40))
    rows = rows_of(damaged(tmp_path / "half.mkv", film, "truncated"), model)
    good = [row for row in rows if row["status"] == "ok"]
    assert 8 < len(good) < 35
    assert [row["frame"] for row in rows] == list(range(len(rows)))
    assert rows[-1]["status"] == "error"
    assert "truncated" in rows[-1]["error"] or "breaks off" in rows[-1]["error"]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".avi"])
def test_a_video_that_begins_late_is_not_called_truncated(suffix, model, tmp_path):
    path = tmp_path / f"late{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 200, 152, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((152, 200, 3), 90, np.uint8), format="rgb24")
            frame.pts, frame.time_base = 30_000 + 40 * number, Fraction(1, 1000)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    rows = look(path, model).table.to_pylist()
    assert "error" not in [row["status"] for row in rows]
    assert len(rows) == 20


def test_a_whole_video_is_not_called_truncated(analysis, tmp_path, frames):
    assert set(analysis.table["status"].to_pylist()) == {"ok"}
    for suffix, codec in ((".mkv", "libx264"), (".avi", "mpeg4"), (".ts", "libx264")):
        film = write_film(tmp_path / f"x{suffix}", frames, codec=codec)
        seen = list(Video(str(film)).pictures(0))
        assert [picture.broken for picture in seen] == [False] * 24, suffix
        assert seen[0].time_s == pytest.approx(0, abs=0.1)


def test_damage_in_the_middle_is_rows_and_never_the_end(model, tmp_path):
    film = write_film(tmp_path / "whole.mp4", wandering(24), codec="mpeg4", gop=6)
    rows = rows_of([damaged(tmp_path / "hurt.mp4", film, "zeroed"), film], model)
    hurt, whole = rows[:24], rows[24:]
    assert [row["frame"] for row in hurt] == list(range(24))
    broken = [row for row in hurt if row["status"] == "error"]
    assert 3 <= len(broken) <= 12
    assert {row["error"][:12] for row in broken} == {"broken frame"}
    assert {row["track_id"] for row in hurt[-4:]} == {0}
    assert [row["status"] for row in whole] == ["ok"] * 24


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("noise.mp4", lambda p, f: damaged(p, f, "noise"), "unreadable video (Invalid data"),
        ("head.mp4", lambda p, f: damaged(p, f, "truncated"), "unreadable video"),
        ("sound.mp4", lambda p, _: write_sound(p), "the file holds no video stream"),
        ("zero.webm", lambda p, _: p.write_bytes(b""), "empty video (0 bytes)"),
        ("text.avi", lambda p, _: p.write_text("no video"), "unreadable video"),
        ("dir.mov", lambda p, _: p.mkdir(), "the folder holds no picture"),
        ("gone.mp4", lambda *_: None, "there is no such file"),
    ],
)
def test_what_is_no_video_is_one_row(name, make, reason, film, model, tmp_path):
    path = tmp_path / name
    make(path, film)
    rows = rows_of([path, film], model)
    assert len(rows) == 25
    assert rows[0]["status"] == "error"
    assert reason in rows[0]["error"]


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXTINF:1,\none.mp4\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile one.mp4\n",
        "v=0\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    ],
)
@pytest.mark.parametrize("suffix", [".mp4", ".ts", ".mkv"])
def test_a_playlist_in_disguise_opens_nothing(text, suffix, film, model):
    path = film.with_name(f"list{suffix}")
    path.write_text(text)
    row, *others = rows_of([path, path], model)
    assert row["status"] == "error"
    assert "unreadable video" in row["error"]
    assert len(others) == 1


CODECS = {
    ".webm": "libvpx",
    ".wmv": "wmv2",
    ".flv": "flv",
    ".ogv": "libvpx",  # there is no encoder of Theora here
    ".mjpeg": "mjpeg",
    ".y4m": "rawvideo",
    **dict.fromkeys((".mpg", ".mpeg"), "mpeg2video"),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_suffix_has_its_demuxer(suffix, frames, model, tmp_path):
    formats = {".ogv": "ogg", ".mts": "mpegts", ".m2ts": "mpegts", ".m4v": "mp4", ".mjpeg": "mjpeg"}
    codec = CODECS.get(suffix, "mpeg4")
    kind = formats.get(suffix)
    path = write_film(tmp_path / f"x{suffix}", frames[:6], codec=codec, container=kind)
    pictures = [*Video(str(path)).pictures(0)]
    assert [picture.read().shape for picture in pictures] == [(150, 200, 3)] * 6


def test_frames_are_bounded(film, model, tmp_path, monkeypatch):
    monkeypatch.setattr(videos, "MAX_FRAME_PIXELS", 200 * 150)
    assert {row["status"] for row in rows_of(film, model)} == {"ok"}
    monkeypatch.setattr(videos, "MAX_FRAME_PIXELS", 200 * 150 - 1)
    rows = rows_of([film, film], model)
    assert [row["error"] for row in rows] == ["frames of 200 × 150; the limit is 29,999 pixels"] * 2
    # Frames that become larger on the way.
    small = write_film(tmp_path / "s.ts", wandering(12, (80, 60), 40), codec="libx264")
    large = write_film(tmp_path / "l.ts", wandering(12), codec="libx264")
    small.write_bytes(small.read_bytes() + large.read_bytes())
    rows = rows_of(small, model)
    assert [row["status"] for row in rows] == ["ok"] * 12 + ["error"] * 12
    assert {row["error"] for row in rows[12:]} == {
        "frames of 200 × 150; the limit is 29,999 pixels"
    }
    # FFmpeg itself stops at twice as many.
    monkeypatch.setattr(videos, "MAX_FRAME_PIXELS", 200 * 150 // 2)
    errors = [row["error"] for row in rows_of(small, model)]
    assert errors[:11] == [None] * 11
    assert "broken frame" in errors[-1]


def test_an_animated_gif_is_its_first_frame(frames, model, tmp_path):
    from PIL import Image

    pictures = [Image.fromarray(frame) for frame in (frames[0], frames[-1])]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:])
    rows = rows_of(tmp_path / "a.gif", model)
    assert len(rows) == 1
    assert rows[0]["frame"] is None


def test_an_only_video_without_pyav_is_one_clear_error(film, model, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtra, match=r"\[video\]"):
        look(film, model)
    rows = rows_of([film, film], model)
    assert [row["status"] for row in rows] == ["error"] * 2
    assert "[video]" in rows[0]["error"]


def test_frames_are_decoded_a_few_ahead_only(film, model, monkeypatch):
    taken = 0
    whole = Video.pictures

    def counted(self, place, first=0):
        nonlocal taken
        for picture in whole(self, place, first):
            taken += 1
            yield picture

    monkeypatch.setattr(Video, "pictures", counted)
    rows = iterate_rows(film, model, detector="haar", batch_size=2, workers=2)
    lead = [taken - number for number, _ in enumerate(rows)]
    assert len(lead) == 24
    assert max(lead) <= 2 * 2 + 3 * 2


def test_smoothing_follows_time_and_not_frames(model, tmp_path):
    # The face's color steps from dark to light: the mean of the crop, and so valence, jumps.
    frames = [frame // 2 if n < 6 else frame for n, frame in enumerate(wandering(18))]
    film = write_film(tmp_path / "step.mp4", frames)
    raw = [row["valence"] for row in rows_of(film, model)]
    smooth = [row["valence"] for row in rows_of(film, model, smooth=0.1)]
    expected, mean = [], raw[0]
    for value in raw:
        mean += (1 - np.exp(-0.04 / 0.1)) * (value - mean)
        expected.append(mean)
    expected[0] = raw[0]
    assert raw[6] - raw[5] > 0.3
    np.testing.assert_allclose(smooth, expected, atol=1e-5)
    first = rows_of(film, model, smooth=0.1)[9]
    assert sum(v for k, v in first.items() if k.startswith("p_")) == pytest.approx(1, abs=1e-6)


def test_small_frames_are_searched_as_they_are_and_large_ones_small(frames, model, monkeypatch):
    sizes = []
    search = DetectionPipeline(card=model.card, detector="haar")

    def note(_, pixels):
        sizes.append(pixels.shape[1])
        return []

    monkeypatch.setattr(DetectionPipeline, "find", note)
    large = np.zeros((480, 640, 3), np.uint8)
    for frame in (0, 2, FULL_EVERY - 1, FULL_EVERY):
        detect_and_crop(Picture("x", 0, frame, lambda: large, frame, 0.0), search)
    detect_and_crop(Picture("x", 0, 0, lambda: large), search)
    detect_and_crop(Picture("x", 0, 2, lambda: frames[0], 2, 0.0), search)
    assert sizes == [640, 320, 320, 640, 640, 200]


@pytest.fixture
def searches(model, monkeypatch):
    """For each frame the searches that it took, whether they were close ones, and its tracks."""
    calls, find = [], DetectionPipeline.find

    def spy(self, pixels, *, close=False):
        calls.append(close)
        return find(self, pixels, close=close)

    monkeypatch.setattr(DetectionPipeline, "find", spy)

    def run(frames, **changes):
        search, tracker = DetectionPipeline(card=model.card, detector="haar", **changes), Tracker()
        result = []
        for number, pixels in enumerate(frames):
            calls.clear()
            picture = Picture("x", 0, number, partial(np.asarray, pixels), number, number / 25)
            tracks = follow(detect_and_crop(picture, search), tracker, search).tracks
            result.append((list(calls), list(known(tracks))))
        return result

    return run


@pytest.fixture(scope="module")
def places():
    """A wide frame with a face at the left, with one at the right, with both, and with none."""
    left = wandering(2, (560, 150))[0]
    right = np.ascontiguousarray(left[:, ::-1])
    return left, right, np.where(left != 128, left, right), np.full_like(left, 128)


def test_every_second_frame_is_looked_at_only_where_its_face_should_be(searches, frames):
    assert searches(frames[:6]) == [([False], [0]), ([True], [0])] * 3
    assert searches(frames[:4], full_size=True) == [([False], [0])] * 4


def test_a_face_that_is_not_where_it_should_be_is_searched_for_at_once(searches, places):
    left, right, _, none = places
    found = searches([left, left, left, right])
    assert found[3][0][:2] == [True, False]
    assert found[3][1] == [1]
    assert [tracks for _, tracks in searches([none, right, none, left])] == [[], [0], [], [1]]


def test_a_face_that_comes_to_another_is_seen_a_frame_late_at_most(searches, places):
    left, _, both, _ = places
    tracks = [sorted(ids) for _, ids in searches([left, left, left, both, both, both])]
    assert tracks == [[0], [0], [0], [0], [0, 1], [0, 1]]
    assert [sorted(ids) for _, ids in searches([left, left, both, both])][2:] == [[0, 1]] * 2


def test_a_drawn_video_has_the_frames_and_times_of_its_source(model, tmp_path):
    times = [0.0, 0.04, 0.3, 0.31, 1.25, 2.0]
    frames = [frame[:239, :319] for frame in wandering(6, (320, 240))]
    even = [np.pad(f, ((0, 1), (0, 1), (0, 0)), "edge") for f in frames]
    film = write_film(tmp_path / "in.mkv", even, times=times)
    made = overlay_folder(look(film, model, every=2), tmp_path / "out")
    assert made == {str(film): tmp_path / "out" / "in.mp4"}
    with av.open(str(tmp_path / "out" / "in.mp4")) as container:
        drawn = [(f.time, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
    assert [time for time, _ in drawn] == pytest.approx(times, abs=0.002)
    plain = [np.abs(d.astype(int) - e).max() for (_, d), e in zip(drawn, even, strict=True)]
    assert min(plain) > 60  # something is drawn in all, also in those between the analyzed ones
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["in.mp4"]


def test_videos_and_photos_are_drawn_side_by_side(film, frames, model, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.png").write_bytes(encode_image(frames[0]))
    (folder / "a.mp4").write_bytes(film.read_bytes())
    (folder / "zero.mp4").write_bytes(b"")
    seen: list[Progress] = []
    made = overlay_folder(look(folder, model), tmp_path / "out", on_progress=seen.append)
    names = {k.rsplit("/", 1)[-1]: v and v.name for k, v in made.items()}
    assert names == {"a.png": "a.png", "a.mp4": "a.mp4", "zero.mp4": None}
    counts = [event.done for event in seen]
    assert counts == sorted(counts)
    assert counts[-1] == 25
    assert read_image(tmp_path / "out" / "a.png").shape == (300, 400, 3)
    with pytest.raises(DestinationExists):
        overlay_folder(look(folder, model, every=9), tmp_path / "out")
    with pytest.raises(InputError, match="would replace"):
        overlay_folder(look(folder, model, every=9), folder, overwrite=True)


def test_video_endings():
    assert is_video("x/A.MOV")
    assert not is_video("mp4")
