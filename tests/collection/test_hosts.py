"""Hosts that are left alone, and the pace and the rests of the others."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openaffect.collection import hosts
from openaffect.collection.hosts import (
    FAILURES,
    RECOVERY_S,
    Breaker,
    HostLists,
    Pace,
    read_host_lists,
    write_host_lists,
)
from openaffect.errors import DestinationExists, FormatError, InputError


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> HostLists:
    folder = tmp_path_factory.mktemp("project") / "hosts"
    write_host_lists(folder)
    return read_host_lists(folder)


def write(folder: Path, **lists: str | bytes) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in lists.items():
        data = text if isinstance(text, bytes) else text.encode()
        (folder / f"{name}.txt").write_bytes(data)
    return folder


# Lists.


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("shutterstock.com", "stock"),
        ("image.shutterstock.com", "stock"),
        ("a.b.c.shutterstock.com", "stock"),
        ("WWW.Shutterstock.COM", "stock"),
        ("shutterstock.com.", "stock"),
        ("media.gettyimages.com", "stock"),
        ("media.istockphoto.com", "stock"),
        ("c8.alamy.com", "stock"),
        ("thumbs.dreamstime.com", "stock"),
        ("st2.depositphotos.com", "stock"),
        ("previews.123rf.com", "stock"),
        ("stock.adobe.com", "stock"),
        ("t4.ftcdn.net", "stock"),
        ("static8.bigstockphoto.com", "stock"),
        ("i.imgflip.com", "watermark"),
        ("photos.smugmug.com", "watermark"),
        ("notshutterstock.com", None),
        ("shutterstock.com.example", None),
        ("shutterstock.co", None),
        ("adobe.com", None),  # only what is below stock.adobe.com
        ("www.adobe.com", None),
        ("upload.wikimedia.org", None),
        ("live.staticflickr.com", None),
        ("com", None),
        ("", None),
        (".", None),
        ("..", None),
        ("shutterstock..com", None),
        ("203.0.113.7", None),
        ("2001:db8::1", None),
    ],
)
def test_our_lists(ours: HostLists, host: str, name: str | None) -> None:
    assert ours.find(host) == name


@pytest.mark.parametrize("name", ["stock", "watermark"])
def test_each_domain_is_in_our_lists_once(name: str) -> None:
    file = Path(hosts.__file__).parent / "host_lists" / f"{name}.txt"
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line]
    domains = [line for line in lines if not line.startswith("#")]
    assert len(domains) > 20
    assert len(set(domains)) == len(domains)
    above = [d for d in domains for other in domains if d.endswith(f".{other}")]
    assert above == []  # it would stand there for nothing


@pytest.mark.parametrize("written", ["bücher.example", "xn--bcher-kva.example", "BÜCHER.Example."])
@pytest.mark.parametrize("host", ["bücher.example", "xn--bcher-kva.example", "img.Bücher.example"])
def test_a_domain_in_unicode_is_the_one_in_dns(tmp_path: Path, written: str, host: str) -> None:
    assert read_host_lists(write(tmp_path, a=written)).find(host) == "a"


def test_lists_of_ones_own(tmp_path: Path) -> None:
    text = "\ufeff# a comment\r\n\r\n  a.example  # why\r\nsub.b.example\r\n\r\n"
    (tmp_path / "notes.md").write_text("no domain at all", encoding="utf-8")
    lists = read_host_lists(write(tmp_path, mine=text, other="c.example\na.example\nd_1.example"))
    found = {host: lists.find(host) for host in ("a.example", "b.example", "x.sub.b.example")}
    assert found == {"a.example": "mine", "b.example": None, "x.sub.b.example": "mine"}
    assert lists.find("img.c.example") == lists.find("d_1.example") == "other"


def test_the_nearest_domain_names_the_list(tmp_path: Path) -> None:
    lists = read_host_lists(write(tmp_path, a="example.com", b="img.example.com"))
    assert lists.find("x.img.example.com") == "b"
    assert lists.find("x.example.com") == "a"


@pytest.mark.parametrize(
    "line",
    [
        *("https://a.example", "a.example/b", "*.example.com", ".example.com", "a..example", "com"),
        *("a b.example", "a.example,b.example", "a.example:80", "2001:db8::1", "ü" * 70 + ".example"),
        *("a" * 64 + ".example", "a." * 130 + "example", "a.example\0", "\u3002.example"),
    ],
)  # fmt: skip
def test_what_is_no_domain_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    folder = write(tmp_path, mine=f"# mine\na.example\n{line}\n")
    with pytest.raises(
        FormatError, match=r"expected a domain such as example\.com, but got"
    ) as error:
        read_host_lists(folder)
    assert str(error.value).startswith(f"{folder / 'mine.txt'}, line 3: ")


def test_a_list_in_another_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"expected text in UTF-8 in .*mine\.txt"):
        read_host_lists(write(tmp_path, mine="bücher.example".encode("latin-1")))


def test_a_list_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").mkdir()
    with pytest.raises(FormatError, match=r"mine\.txt, but it is a folder"):
        read_host_lists(tmp_path)


def test_a_folder_without_lists_leaves_nobody_out(tmp_path: Path) -> None:
    assert read_host_lists(tmp_path).find("shutterstock.com") is None
    with pytest.raises(InputError, match="expected a folder of host lists at"):
        read_host_lists(tmp_path / "hosts")


def test_a_list_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    folder = write(tmp_path / "hosts", stock="mine.example")
    write_host_lists(folder)
    assert (folder / "stock.txt").read_text(encoding="utf-8") == "mine.example"
    assert {path.name for path in folder.iterdir()} == {"stock.txt", "watermark.txt"}
    (folder / "stock.txt").write_text("", encoding="utf-8")  # how a list is switched off
    write_host_lists(folder)
    assert read_host_lists(folder).find("shutterstock.com") is None
    assert read_host_lists(folder).find("imgflip.com") == "watermark"


def test_another_process_may_write_the_lists_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def arrive_late(path: Path, *, overwrite: bool) -> None:
        assert not overwrite
        raise DestinationExists(path)

    monkeypatch.setattr(hosts, "atomic_file", arrive_late)
    write_host_lists(tmp_path)
    assert list(tmp_path.iterdir()) == []


@given(st.text())
def test_no_host_is_an_error(host: str) -> None:
    lists = HostLists({"a.example": "a"})
    assert lists.find(host) in (None, "a")
    assert lists.find(f"{host}.b.example") is None


# Pace.


def test_turns_come_at_a_steady_rate() -> None:
    pace = Pace(rate=2)
    assert [pace.reserve(100.0) for _ in range(4)] == [0, 0.5, 1.0, 1.5]
    assert pace.reserve(101.75) == 0.25
    assert pace.reserve(200.0) == 0  # a rest gives one turn and no more
    assert pace.reserve(200.0) == 0.5


def test_a_burst_is_given_at_once_and_again_after_a_rest() -> None:
    pace = Pace(rate=1, burst=3)
    assert [pace.reserve(0.0) for _ in range(5)] == [0, 0, 0, 1, 2]
    assert [pace.reserve(4.0) for _ in range(3)] == [0, 0, 1]  # two of three had come back
    assert [pace.reserve(99.0) for _ in range(4)] == [0, 0, 0, 1]


GAPS = st.lists(st.integers(0, 8), min_size=1, max_size=40)


@given(GAPS, st.sampled_from([0.25, 1, 2, 8]), st.integers(1, 5))
def test_the_bucket_is_one_that_counts_its_tokens(gaps: list[int], rate: float, burst: int) -> None:
    pace, tokens = Pace(rate, burst), float(burst)
    for place, now in enumerate(itertools.accumulate(gap / 4 for gap in gaps)):
        tokens = min(burst, tokens + (gaps[place] / 4 * rate if place else 0)) - 1
        assert pace.reserve(now) == pytest.approx(max(0, -tokens) / rate)


def test_a_delay_of_robots_txt_makes_it_slower_and_never_faster() -> None:
    pace = Pace(rate=1)
    pace.slow_down(0.1)
    assert [pace.reserve(0.0) for _ in range(3)] == [0, 1, 2]
    pace.slow_down(10)
    assert [pace.reserve(2.0) for _ in range(2)] == [10, 20]  # ten after the last one, at 2
    pace.slow_down(5)
    assert pace.reserve(2.0) == 30


def test_a_delay_ends_bursts_and_none_does_not() -> None:
    pace = Pace(rate=1, burst=3)
    pace.slow_down(0)
    assert [pace.reserve(0.0) for _ in range(3)] == [0, 0, 0]
    pace.slow_down(0.5)
    assert [pace.reserve(9.0) for _ in range(3)] == [0, 1, 2]


def test_a_burst_that_was_taken_is_paid_for_before_the_delay_counts() -> None:
    pace = Pace(rate=1, burst=3)
    assert [pace.reserve(0.0) for _ in range(3)] == [0, 0, 0]
    pace.slow_down(0.5)
    assert [pace.reserve(0.0) for _ in range(2)] == [3, 4]


def test_a_pause_holds_back_what_is_not_booked_yet() -> None:
    pace = Pace(rate=1)
    assert pace.reserve(0.0) == 0
    pace.pause(30.0)
    pace.pause(20.0)  # an earlier end changes nothing
    assert [pace.reserve(1.0), pace.reserve(1.0)] == [29, 30]
    assert pace.reserve(40.0) == 0
    pace.pause(35.0)  # it is over
    assert pace.reserve(50.0) == 0


@pytest.mark.parametrize("rate", [0, -1, math.nan])
def test_a_rate_is_above_zero(rate: float) -> None:
    with pytest.raises(InputError, match="rate: expected a number above 0, but got"):
        Pace(rate)


def test_a_burst_has_a_turn() -> None:
    with pytest.raises(InputError, match="burst: expected 1 or more, but got 0"):
        Pace(1, 0)


# Breaker.


def fail(breaker: Breaker, times: int, now: float = 0.0) -> None:
    for _ in range(times):
        breaker.note_failure(now)


def test_a_host_is_left_alone_after_five_failures_in_a_row() -> None:
    assert (FAILURES, RECOVERY_S) == (5, 600)
    breaker = Breaker()
    fail(breaker, 4)
    assert breaker.allow(0.0)
    breaker.note_success()
    fail(breaker, 4)
    assert breaker.allow(0.0)
    fail(breaker, 1)
    assert not breaker.allow(0.0)
    assert not breaker.allow(599.9)


def test_one_trial_after_the_rest() -> None:
    breaker = Breaker()
    fail(breaker, 5, now=100.0)
    assert not breaker.allow(699.9)
    assert [breaker.allow(700.0), breaker.allow(700.0), breaker.allow(1299.9)] == [
        True,
        False,
        False,
    ]
    assert breaker.allow(1300.0)  # nobody has heard of the first one


def test_a_trial_that_succeeds_closes_it_and_one_that_fails_does_not() -> None:
    breaker = Breaker()
    fail(breaker, 5)
    assert breaker.allow(600.0)
    fail(breaker, 1, now=650.0)
    assert not breaker.allow(1249.9)
    assert breaker.allow(1250.0)
    breaker.note_success()
    assert [breaker.allow(1251.0) for _ in range(3)] == [True, True, True]
    fail(breaker, 4, now=1252.0)
    assert breaker.allow(1252.0)  # the count has begun anew


def test_a_breaker_of_another_size() -> None:
    breaker = Breaker(failures=1, recovery_s=2)
    assert breaker.allow(0.0)
    breaker.note_failure(0.0)
    assert [breaker.allow(1.9), breaker.allow(2.0)] == [False, True]


def test_a_look_at_a_breaker_books_no_trial() -> None:
    breaker = Breaker()
    assert not breaker.is_open(0.0)
    fail(breaker, 4)
    assert not breaker.is_open(0.0)
    fail(breaker, 1)
    assert [breaker.is_open(0.0), breaker.is_open(599.9)] == [True, True]
    assert [breaker.is_open(600.0), breaker.is_open(600.0)] == [False, False]
    assert breaker.allow(600.0)
    assert breaker.is_open(600.0)  # the trial is under way
    breaker.note_success()
    assert not breaker.is_open(600.0)
