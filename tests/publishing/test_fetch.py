"""Fetching: what comes must be what was released, whatever a server does."""

from __future__ import annotations

import csv
import dataclasses
import datetime
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freezing_builders import draw_picture, make_dataset, read_rows
from openaffect import schemas
from openaffect.dataset import open_dataset, save_dataset
from openaffect.errors import DestinationExists, FormatError, InputError, MismatchError
from openaffect.faces.signatures import sign_face
from openaffect.images import encode_image
from openaffect.legal import LegalFacts
from openaffect.publishing import ReleaseOptions, fetch_release, reconstruction, release_dataset
from openaffect.publishing.hosts import HostTurns, host_of, take_turns
from openaffect.withdrawals import Withdrawals, describe_withdrawal, write_withdrawn


class Site:
    """A server on loopback whose pages a test fills.

    Attributes:
        pages: by path: bytes, a status, or the address of a redirect.
        asked: the paths that were asked for.
        seconds: how long an answer takes.
        most: answers that were given at the same time.
    """

    def __init__(self) -> None:
        self.pages: dict[str, bytes | int | str] = {}
        self.asked: list[str] = []
        self.seconds = 0.0
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with site._lock:
                    site.asked.append(self.path)
                    site._now += 1
                    site.most = max(site.most, site._now)
                time.sleep(site.seconds)
                with site._lock:  # before the answer: whoever reads it may ask again
                    site._now -= 1
                found = site.pages.get(self.path, 404)
                if isinstance(found, bytes):
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(found)))
                    self.end_headers()
                    self.wfile.write(found)
                elif isinstance(found, int):
                    self.send_error(found)
                else:
                    self.send_response(302)
                    self.send_header("Location", found)
                    self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.allow = {("127.0.0.1", self.server.server_port)}
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}{path}"


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.server.shutdown()
    made.server.server_close()


def _release(site: Site, tmp_path: Path, count: int = 6, **columns: Any) -> Path:
    urls = {number: site.url(f"/{number}.png") for number in range(count)}
    for number in range(count):
        site.pages[f"/{number}.png"] = encode_image(draw_picture(number))
    size = dict.fromkeys(range(count), 64)
    dataset = make_dataset(
        tmp_path / "d",
        ["sad"] * count,
        url=urls | columns.pop("url", {}),
        split=dict.fromkeys(range(count), "train"),
        width=size,
        height=size,
        author={0: "Ada"},
        **columns,
    )
    release_dataset(dataset.path, tmp_path / "r", ReleaseOptions(pixels="none"))
    return tmp_path / "r"


def _outcomes(dataset: Path) -> dict[str, tuple[str, str]]:
    with (dataset / "fetch.csv").open(newline="", encoding="utf-8") as file:
        return {row["face_id"]: (row["outcome"], row["detail"]) for row in csv.DictReader(file)}


def test_a_release_without_pictures_comes_back_whole(site, tmp_path):
    release = _release(
        site,
        tmp_path,
        box={0: [4, 4, 20, 20]},
        landmarks={0: np.linspace(3, 25, 136, dtype=np.float32)},
        votes={1: [0, 0, 9, 1, 0, 0, 0, 0, 0, 0, 0]},
        soft_label={1: [0, 0, 0.9, 0.1, 0, 0, 0, 0]},
        valence={2: -0.5},
        arousal={2: 0.25},
        affect_origin={2: "human"},
        group={3: "photograph"},
    )
    done = fetch_release(release, tmp_path / "out", allow=site.allow)
    assert done.faces == 6
    before, after = open_dataset(tmp_path / "d"), open_dataset(tmp_path / "out")
    assert after.fingerprint() == before.fingerprint()
    for old, new in zip(before.faces.to_pylist(), after.faces.to_pylist(), strict=True):
        same = {*schemas.FACES.names, "author"} - {"extra"}
        assert {name: new[name] for name in same} == {name: old[name] for name in same}
    assert [path.read_bytes() for path in after.image_paths] == [
        path.read_bytes() for path in before.image_paths
    ]


def test_who_is_responsible_comes_back_with_the_faces(site, tmp_path):
    _release(site, tmp_path)
    legal = LegalFacts(controller="Example University", purpose="research")
    dataset = open_dataset(tmp_path / "d")
    info = dataclasses.replace(dataset.info, legal=legal)
    frozen = save_dataset(dataclasses.replace(dataset, info=info), tmp_path / "frozen")
    release_dataset(frozen.path, tmp_path / "r2", ReleaseOptions(pixels="none"))
    fetch_release(tmp_path / "r2", tmp_path / "out", allow=site.allow)
    assert open_dataset(tmp_path / "out").info.legal == legal


def test_each_server_that_does_otherwise_is_told_apart(site, tmp_path):
    release = _release(site, tmp_path, 9)
    site.pages["/1.png"] = 404
    site.pages["/2.png"] = encode_image(draw_picture(50))
    site.pages["/3.png"] = encode_image(draw_picture(3), ".jpg", 90)
    site.pages["/4.png"] = "http://10.0.0.1/private.png"
    site.pages["/5.png"] = encode_image(draw_picture(5, 128))  # larger: boxes would not fit
    site.pages["/6.png"] = b"<html>no picture</html>"
    site.pages["/7.png"] = site.url("/moved.png")
    site.pages["/moved.png"] = encode_image(draw_picture(7))
    rows = describe_withdrawal(datetime.date(2026, 1, 1), signatures=[sign_face(draw_picture(8))])
    write_withdrawn(Withdrawals(rows), tmp_path / "more.csv")
    done = fetch_release(
        release, tmp_path / "out", allow=site.allow, withdrawn=[tmp_path / "more.csv"]
    )
    found = _outcomes(tmp_path / "out")
    assert {face_id: outcome for face_id, (outcome, _) in found.items()} == {
        "f00": "same",
        "f01": "failed",
        "f02": "changed",
        "f03": "saved again",
        "f04": "failed",
        "f05": "changed",
        "f06": "failed",
        "f07": "same",
        "f08": "withdrawn",
    }
    assert "404" in found["f01"][1]
    assert "10.0.0.1" in found["f04"][1]
    assert "128 × 128" in found["f05"][1]
    assert done.faces == 3
    assert done.outcomes == {"failed": 3, "same": 2, "changed": 2, "saved again": 1, "withdrawn": 1}
    rows_now = read_rows(open_dataset(tmp_path / "out"))
    assert rows_now.keys() == {"f00", "f03", "f07"}
    assert rows_now["f03"]["sha256"] in rows_now["f03"]["image"]


def test_withdrawn_faces_are_not_even_asked_for(site, tmp_path):
    release = _release(site, tmp_path)
    day = datetime.date(2026, 1, 1)
    rows = describe_withdrawal(day, face_ids=["f01"], urls=[site.url("/2.png")])
    write_withdrawn(Withdrawals(rows), tmp_path / "more.csv")
    fetch_release(release, tmp_path / "out", allow=site.allow, withdrawn=[tmp_path / "more.csv"])
    assert sorted(site.asked) == [f"/{number}.png" for number in (0, 3, 4, 5)]
    outcomes = [outcome for outcome, _ in _outcomes(tmp_path / "out").values()]
    assert outcomes == ["same", "withdrawn", "withdrawn", "same", "same", "same"]
    assert (tmp_path / "out" / "withdrawn.csv").exists()


def test_two_faces_of_one_address_are_one_download(site, tmp_path):
    same = encode_image(draw_picture(0))
    release = _release(
        site,
        tmp_path,
        3,
        url={1: site.url("/0.png")},
        pictures={1: same},
        box={0: [2, 2, 20, 20], 1: [30, 30, 20, 20]},
    )
    done = fetch_release(release, tmp_path / "out", allow=site.allow)
    assert done.faces == 3
    assert sorted(site.asked) == ["/0.png", "/2.png"]


def test_a_fetch_that_was_killed_goes_on(site, tmp_path, monkeypatch):
    release = _release(site, tmp_path)

    class Killed(BaseException):
        pass

    real = reconstruction._fetch
    seen: list[str] = []

    def stop(*given: Any) -> Any:
        seen.append(given[-1][0])
        if len(seen) > 3:
            raise Killed
        return real(*given)

    monkeypatch.setattr(reconstruction, "_fetch", stop)
    with pytest.raises(Killed):
        fetch_release(release, tmp_path / "out", allow=site.allow, workers=1)
    monkeypatch.undo()
    assert not (tmp_path / "out").exists()
    first = len(site.asked)
    assert 1 <= first <= 3
    with pytest.raises(DestinationExists, match="resume"):
        fetch_release(release, tmp_path / "out", allow=site.allow)
    log = tmp_path / ".out.unfinished" / "outcomes.jsonl"
    log.write_text(log.read_text() + '{"url": "cut o')  # a line that a kill has cut off
    done = fetch_release(release, tmp_path / "out", allow=site.allow, resume=True)
    assert done.faces == 6
    assert len(site.asked) == 6  # nothing was asked for twice
    assert not (tmp_path / ".out.unfinished").exists()


def test_what_failed_is_tried_again(site, tmp_path):
    release = _release(site, tmp_path, 2)
    good = dict(site.pages)
    site.pages = {"/0.png": 503, "/1.png": 503}
    with pytest.raises(InputError, match="503"):
        fetch_release(release, tmp_path / "out", allow=site.allow)
    site.pages = good
    assert fetch_release(release, tmp_path / "out", allow=site.allow, resume=True).faces == 2


def _fetch_in_part(site: Site, tmp_path: Path) -> Path:
    """A release of six faces, fetched into `out`; of /1.png and /2.png nothing came, /3.png is another."""
    release = _release(site, tmp_path)
    good = dict(site.pages)
    site.pages |= {"/1.png": 503, "/2.png": 404, "/3.png": encode_image(draw_picture(50))}
    assert fetch_release(release, tmp_path / "out", allow=site.allow).faces == 3
    site.pages = good
    site.asked.clear()
    return release


def test_a_second_fetch_asks_only_for_what_failed(site, tmp_path):
    release = _fetch_in_part(site, tmp_path)
    site.pages["/2.png"] = 410
    done = fetch_release(release, tmp_path / "out", allow=site.allow, resume=True)
    assert sorted(site.asked) == ["/1.png", "/2.png"]
    assert done.outcomes == {"same": 4, "failed": 1, "changed": 1}
    before, after = open_dataset(tmp_path / "d"), open_dataset(tmp_path / "out")
    assert after.ids == ["f00", "f01", "f04", "f05"]
    assert after.fingerprint() == before.where(face_id=after.ids).fingerprint()
    assert [path.read_bytes() for path in after.image_paths] == [
        encode_image(draw_picture(number)) for number in (0, 1, 4, 5)
    ]
    found = _outcomes(tmp_path / "out")
    assert "410" in found["f02"][1]
    assert found["f03"][0] == "changed"
    assert "another picture" in found["f03"][1]
    site.asked.clear()
    fetch_release(release, tmp_path / "out", allow=site.allow, overwrite=True)
    assert len(site.asked) == 6  # all of it anew


def test_a_picture_that_was_lost_or_changed_since_is_asked_for_again(site, tmp_path):
    release = _fetch_in_part(site, tmp_path)
    paths = open_dataset(tmp_path / "out").image_paths
    paths[0].unlink()
    paths[1].write_bytes(paths[2].read_bytes())
    fetch_release(release, tmp_path / "out", allow=site.allow, resume=True)
    assert sorted(site.asked) == ["/0.png", "/1.png", "/2.png", "/4.png"]


def test_a_picture_that_was_withdrawn_since_leaves_the_dataset(site, tmp_path):
    release = _fetch_in_part(site, tmp_path)
    rows = describe_withdrawal(datetime.date(2026, 1, 1), signatures=[sign_face(draw_picture(4))])
    write_withdrawn(Withdrawals(rows), tmp_path / "more.csv")
    more = [tmp_path / "more.csv"]
    fetch_release(release, tmp_path / "out", allow=site.allow, resume=True, withdrawn=more)
    assert open_dataset(tmp_path / "out").ids == ["f00", "f01", "f02", "f05"]


def test_a_second_fetch_that_was_killed_goes_on(site, tmp_path, monkeypatch):
    release = _fetch_in_part(site, tmp_path)
    real = reconstruction._fetch
    seen: list[str] = []

    def stop(*given: Any) -> Any:
        seen.append(given[-1][0])
        if len(seen) > 2:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(reconstruction, "_fetch", stop)
    with pytest.raises(KeyboardInterrupt):
        fetch_release(release, tmp_path / "out", allow=site.allow, workers=1, resume=True)
    monkeypatch.undo()
    assert len(open_dataset(tmp_path / "out")) == 3  # as it was
    done = fetch_release(release, tmp_path / "out", allow=site.allow, resume=True)
    assert done.outcomes == {"same": 5, "changed": 1}
    assert sorted(site.asked) == ["/1.png", "/2.png"]


def test_what_is_no_fetch_of_this_release_is_not_gone_on_with(site, tmp_path):
    release = _fetch_in_part(site, tmp_path)
    with pytest.raises(DestinationExists):
        fetch_release(release, tmp_path / "out", allow=site.allow)
    with pytest.raises(DestinationExists):  # a dataset that no fetch has made
        fetch_release(release, tmp_path / "d", allow=site.allow, resume=True)
    (tmp_path / "other").mkdir()
    other = _release(site, tmp_path / "other", 3)
    with pytest.raises(MismatchError, match="another release"):
        fetch_release(other, tmp_path / "out", allow=site.allow, resume=True)
    (tmp_path / "out" / "fetch.csv").write_bytes(b"face_id,url\nf01,http://a\n\xff")
    with pytest.raises(FormatError, match=r"fetch\.csv.*--overwrite"):
        fetch_release(release, tmp_path / "out", allow=site.allow, resume=True)
    assert site.asked == []


def test_a_killed_replacement_of_another_release_goes_on(site, tmp_path, monkeypatch):
    _fetch_in_part(site, tmp_path)
    (tmp_path / "other").mkdir()
    other = _release(site, tmp_path / "other", 3)

    def stop(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(reconstruction, "_write", stop)
    with pytest.raises(KeyboardInterrupt):
        fetch_release(other, tmp_path / "out", allow=site.allow, overwrite=True)
    monkeypatch.undo()
    site.asked.clear()
    assert fetch_release(other, tmp_path / "out", allow=site.allow, resume=True).faces == 3
    assert site.asked == []


def test_a_dataset_that_others_link_to_is_refused_before_anything_is_asked(site, tmp_path):
    release = _fetch_in_part(site, tmp_path)
    save_dataset(open_dataset(tmp_path / "out"), tmp_path / "part")
    with pytest.raises(InputError, match="part"):
        fetch_release(release, tmp_path / "out", allow=site.allow, resume=True)
    assert site.asked == []


@pytest.mark.parametrize("per_host", [1, 3])
def test_a_host_is_asked_by_so_many_at_a_time(site, tmp_path, per_host):
    release = _release(site, tmp_path, 9)
    site.seconds = 0.05
    fetch_release(release, tmp_path / "out", allow=site.allow, workers=8, per_host=per_host)
    assert site.most == per_host


def test_one_host_after_the_other_is_asked(tmp_path, monkeypatch):
    urls = {n: f"http://{'ab'[n // 3]}.example/{n}.png" for n in range(6)}
    dataset = make_dataset(tmp_path / "d", ["sad"] * 6, url=urls)
    release_dataset(dataset.path, tmp_path / "r", ReleaseOptions(pixels="none"))
    asked: list[str] = []

    def answer(url: str, **_: Any) -> bytes:
        asked.append(url)
        return encode_image(draw_picture(int(url[-5])))

    monkeypatch.setattr(reconstruction, "download", answer)
    done = fetch_release(tmp_path / "r", tmp_path / "out", workers=1)
    assert done.outcomes == {"same": 6}
    assert asked == [urls[n] for n in (0, 3, 1, 4, 2, 5)]


def test_hosts_take_turns():
    urls = ["http://a/1", "http://a/2", "http://b/1", "http://a/3", "http://[::1", "http://b/2"]
    turns = ["http://a/1", "http://b/1", "http://[::1", "http://a/2", "http://b/2", "http://a/3"]
    assert take_turns(urls) == turns
    assert host_of("https://me@EXAMPLE.org:8080/a?b") == "example.org:8080"
    held = HostTurns(1)
    with held.turn("http://a/1"), held.turn("http://b/1"):  # another host has its own places
        pass
    with pytest.raises(ValueError, match="gone"), held.turn("http://a/1"):
        raise ValueError("gone")
    with held.turn("http://A/2"):  # the place was given back
        pass


def test_an_address_that_is_not_public_is_not_opened(site, tmp_path):
    release = _release(site, tmp_path, 2)
    with pytest.raises(InputError, match="not one picture"):
        fetch_release(release, tmp_path / "out")
    assert site.asked == []


def test_the_unfinished_fetch_of_another_release_is_refused(site, tmp_path):
    release = _release(site, tmp_path, 2)
    with pytest.raises(InputError):
        fetch_release(release, tmp_path / "out")
    (tmp_path / "other").mkdir()
    other = _release(site, tmp_path / "other", 3)
    with pytest.raises(MismatchError, match="another release"):
        fetch_release(other, tmp_path / "out", allow=site.allow, resume=True)
    assert fetch_release(other, tmp_path / "out", allow=site.allow, overwrite=True).faces == 3
    with pytest.raises(DestinationExists):
        fetch_release(other, tmp_path / "out", allow=site.allow)


def test_a_release_that_was_changed_is_refused(site, tmp_path):
    release = _release(site, tmp_path, 2)
    with pytest.raises(FormatError, match="release"):
        fetch_release(tmp_path / "d", tmp_path / "out")
    (release / "withdrawn.csv").write_text("kind,hash,hash_version,at\n\n")
    with pytest.raises(FormatError, match=r"withdrawn\.csv"):
        fetch_release(release, tmp_path / "out", allow=site.allow)


def test_faces_without_an_address_are_named(site, tmp_path):
    release = _release(site, tmp_path, 3, url={1: None})
    fetch_release(release, tmp_path / "out", allow=site.allow)
    assert _outcomes(tmp_path / "out")["f01"] == ("no address", "")


def test_a_release_that_names_no_address_is_refused(tmp_path):
    dataset = make_dataset(tmp_path / "d", ["sad"] * 2)
    release_dataset(dataset.path, tmp_path / "r", ReleaseOptions(pixels="none"))
    with pytest.raises(InputError, match="address to fetch"):
        fetch_release(tmp_path / "r", tmp_path / "out")
    assert not (tmp_path / ".out.unfinished").exists()
