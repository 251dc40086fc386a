"""Opt-outs: inputs written after the standards, as sites write them, and as somebody who means harm does."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protego import Protego

from openaffect.collection.opt_outs import (
    ALLOWED,
    OptOut,
    Robots,
    find_in_headers,
    judge_robots,
    parse_robots,
    parse_tdm_file,
    speaks_on_tdm,
)
from openaffect.collection.opt_outs.robots import MAX_ROBOTS_BYTES
from openaffect.collection.opt_outs.statements import make_opt_out
from openaffect.collection.opt_outs.tdm_files import MAX_TDM_BYTES
from openaffect.collection.opt_outs.url_patterns import UrlPattern, read_path

SITE = "https://pictures.example"
CLOUDFLARE = """\
# As a condition of accessing this website, you agree to abide by the following content signals:
# (a)  If a Content-Signal = yes, you may collect content for the corresponding use.
# BEGIN Cloudflare Managed content
User-agent: *
Content-Signal: search=yes,ai-train=no,use=reference
Allow: /

User-agent: GPTBot
Disallow: /
# END Cloudflare Managed Content
"""
AIPREF = """\
User-Agent: *
Allow: /
Disallow: /never/
Content-Usage: train-ai=n
Content-Usage: /ai-ok/ train-ai=y

User-Agent: ExampleBot
Allow: /
Content-Usage: train-ai=y
"""  # the example of the draft


def ask(text: str | bytes, path: str = "/a.jpg") -> OptOut | None:
    body = text if isinstance(text, bytes) else text.encode()
    return parse_robots(body).find_opt_out(SITE + path)


def in_group(*lines: str, agent: str = "*") -> str:
    return "\n".join((f"User-agent: {agent}", *lines))


# Paths in robots.txt.


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (in_group("Disallow: /"), "Disallow: /"),
        (in_group("Disallow: /", agent="openaffect"), "Disallow: /"),
        (in_group("Disallow: /", agent="OpenAffect"), "Disallow: /"),
        (in_group("Disallow: /", agent="openaffect/0.1"), "Disallow: /"),
        (in_group("Disallow: /", agent="googlebot, openaffect"), "Disallow: /"),
        (in_group("Disallow: /a", "Disallow: /a.jpg"), "Disallow: /a.jpg"),
        (in_group("Disallow: /a.jpg", "Disallow: /"), "Disallow: /a.jpg"),
        (in_group("Disallow: /*.jpg$  # images"), "Disallow: /*.jpg$"),
        (in_group("dissalow : /a"), "dissalow : /a"),
        (in_group("Disallow /a"), "Disallow /a"),
        ("User-agent: googlebot\nUser-agent: openaffect\nDisallow: /", "Disallow: /"),
        ("User-agent: a\nSitemap: /s.xml\nsome words\nUser-agent: *\nDisallow: /", "Disallow: /"),
        ("User-agent: *\n\n# a comment\n\nDisallow: /", "Disallow: /"),
        ("user agent *\nDISALLOW: /", "DISALLOW: /"),
        ("User-agent: *\rDisallow: /", "Disallow: /"),
        (in_group("Allow: /a", "Disallow: /a.j"), "Disallow: /a.j"),
        ("User-agent: openaffect\nAllow: /b\nUser-agent: x\nUser-agent: openaffect\nDisallow: /a", "Disallow: /a"),
    ],
)  # fmt: skip
def test_a_path_rule_for_us_is_a_no(text: str, rule: str) -> None:
    assert ask(text) == OptOut("robots.txt", rule)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Disallow: /",  # of no group
        in_group("Disallow:"),
        in_group("Disallow: /A.jpg"),
        in_group("Disallow: /b"),
        in_group("Disallow: /a$"),
        in_group("Disallow: /", "Allow: /a"),
        in_group("Disallow: /a", "Allow: /a"),  # of two of one length the kinder one
        in_group("# Disallow: /"),
        in_group("Disallow: /", agent="open"),  # not our token, though it begins like it
        in_group("Disallow: /", agent="openaffect-other"),
        in_group("Disallow: /", agent="notopenaffect"),
        in_group("Disallow: /") + "\n" + in_group("Allow: /", agent="openaffect"),
        in_group("Disallow: /") + "\n" + in_group(agent="openaffect"),
        in_group("Allow: /", agent="openaffect") + "\n" + in_group("Disallow: /"),
        "User-agent: a\nCrawl-delay: 5\nUser-agent: b\nDisallow: /",
        "User-agent: a\nCrawl-delay: 5\nUser-agent: *\nAllow: /\nUser-agent: a\nDisallow: /",
        "<!DOCTYPE html><title>Not found: Disallow: /",
    ],
)
def test_other_rules_are_none(text: str) -> None:
    assert ask(text) is None


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbfUser-agent: *\nDisallow: /",
        in_group("Disallow: /").encode("utf-16"),
        in_group("Disallow: /").encode("utf-16-be"),
        b"\xff\xfe\x00\nUser-agent: *\nDisallow: /caf\xe9\nDisallow: /",
        b"User-agent: *\n\0\0\0Disallow\0: /",
    ],
)
def test_a_file_in_another_encoding_is_read(body: bytes) -> None:
    assert ask(body) == OptOut("robots.txt", "Disallow: /")


def test_a_rule_that_only_protego_finds_is_a_no_all_the_same() -> None:
    # Protego compares what is escaped, so half an escape fits the beginning of another one.
    expected = OptOut("robots.txt", "a rule that closes /a?b")
    assert ask(in_group("Disallow: /a%"), "/a?b") == expected


def test_an_address_in_another_encoding_is_compared() -> None:
    assert ask(in_group("Disallow: /b"), "/caf%E9.jpg") is None
    assert ask(in_group("Disallow: /caf"), "/caf%E9.jpg") == OptOut("robots.txt", "Disallow: /caf")


LINES = st.sampled_from(
    [
        *("User-agent: *", "User-agent: openaffect", "User-agent: otherbot", "user-agent:openaffect"),
        *("Disallow: /", "Disallow: /a", "Disallow: /a/b", "Disallow: /*b", "Disallow:", "Allow: /a"),
        *("Allow: /a/", "Allow: /*.jpg$", "Allow: /a/b.jpg", "Disallow: /a*.jpg", "Crawl-delay: 2"),
        *("", "# User-agent: *", "Sitemap: https://pictures.example/s.xml", "Disallow: /a/$"),
    ]
)  # fmt: skip
PATHS = ("/", "/a", "/a/b.jpg", "/a/", "/c.jpg", "/ab?x=b", "/b/a.jpg")


@settings(max_examples=500)
@given(st.lists(LINES, max_size=12))
def test_groups_and_paths_are_those_of_protego(lines: list[str]) -> None:
    text = "\n".join(lines)
    theirs, ours = Protego.parse(text), parse_robots(text.encode())
    for path in PATHS:
        found = ours.find_opt_out(SITE + path)
        assert (found is None) == theirs.can_fetch(SITE + path, "openaffect")
        assert found is None or found.text in lines
    assert ours.delay_s == theirs.crawl_delay("openaffect")


@given(
    st.text("/ab*$.", max_size=8).map(lambda text: f"/{text}"),
    st.text("/ab.?é", max_size=10).map(lambda text: f"/{text}"),
)
def test_a_pattern_fits_what_protego_says_it_fits(pattern: str, path: str) -> None:
    theirs = Protego.parse(f"User-agent: *\nDisallow: {pattern}")
    expected = not theirs.can_fetch(SITE + path, "openaffect")
    assert UrlPattern(pattern).matches(read_path(SITE + path)) == expected


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("/fish", "/fish.jpg", True),  # the examples of Google's page
        ("/fish", "/Fish.asp", False),
        ("/fish*", "/fishheads/yummy.html", True),
        ("/fish/", "/fish", False),
        ("/*.php", "/folder/filename.php?parameters", True),
        ("/*.php$", "/filename.php?parameters", False),
        ("/fish*.php", "/fishheads/catfish.php?parameters", True),
        ("/fish*.php", "/Fish.PHP", False),
        ("/path/file-with-a-%2A.html", "/path/file-with-a-*.html", True),  # of RFC 9309
        ("/path/foo-%24", "/path/foo-$", True),
        ("/path/foo-%24", "/path/foo-bar", False),
        ("/foo/bar/%E3%83%84", "/foo/bar/ツ", True),
        ("/foo/bar/ツ", "/foo/bar/%E3%83%84", True),
        ("/foo/bar/%62%61%7A", "/foo/bar/baz", True),
        ("/caf%e9", "/caf%E9/a.jpg", True),  # Latin-1
        ("/caf%e9", "/caf%E8", False),
        ("/a*b$", "/ab", True),
        ("/a%2fb", "/a%2Fb", True),
        ("/a%2Fb", "/a/b", False),
        ("/a%3Fb", "/a?b", False),
        ("/100%25", "/100%2", False),
        ("*", "/a", True),
        ("/a*a$", "/a", False),
        ("/*a*a", "/a", False),
        ("/ab*ba$", "/aba", False),
        ("/a$", "/a#fragment", True),
        ("/?size=", "?size=2", True),
    ],
)
def test_patterns_of_the_standards(pattern: str, path: str, fits: bool) -> None:
    assert UrlPattern(pattern).matches(read_path(SITE + path)) is fits


# What robots.txt says of use.


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        (CLOUDFLARE, "/a.jpg", "Content-Signal: search=yes,ai-train=no,use=reference"),
        (AIPREF, "/test", "Content-Usage: train-ai=n"),
        (AIPREF, "/never/test", "Disallow: /never/"),
        (AIPREF, "/ai-ok/test", None),
        (AIPREF.replace("ExampleBot", "openaffect"), "/test", None),
        (AIPREF.replace("ExampleBot", "openaffect"), "/never/test", None),
        ("Content-Signal: ai-train=no\nUser-agent: *\nAllow: /", "/", "Content-Signal: ai-train=no"),
        ("Content-Usage: train-ai=n\nUser-agent: openaffect\nAllow: /", "/", "Content-Usage: train-ai=n"),
        ("Content-Signal: ai-train=no\nDisallow: /", "/", "Content-Signal: ai-train=no"),
        (in_group("content-usage:train-ai=n"), "/", "content-usage:train-ai=n"),
        (in_group("Content-Usage: / train-ai=n # no"), "/", "Content-Usage: / train-ai=n"),
        (in_group("Content-Usage: /a\ttrain-ai=n"), "/ab", "Content-Usage: /a\ttrain-ai=n"),
        (in_group("Content-Usage: /*.jpg$ train-ai=n"), "/a.jpg", "Content-Usage: /*.jpg$ train-ai=n"),
        (in_group("Content-Usage: /*.jpg$ train-ai=n"), "/a.png", None),
        (in_group("Content-Usage: /a train-ai=n"), "/b", None),
        (in_group("Content-Usage: /a"), "/a", None),
        (in_group("Content-Usage:"), "/a", None),
        (in_group("Content-Usage: train-ai=n", agent="otherbot"), "/", None),
        (in_group("Content-Usage: /a train-ai=n", "Content-Usage: /a/b train-ai=y"), "/a/b", None),
        (in_group("Content-Usage: /a/b train-ai=n", "Content-Usage: /a train-ai=y"), "/a/b", "Content-Usage: /a/b train-ai=n"),
        (in_group("Content-Usage: /a train-ai=y", "Content-Usage: /a train-ai=n"), "/a", "Content-Usage: /a train-ai=n"),
        (in_group("Content-Usage: /a train-ai=n", "Content-Usage: /a train-ai=y"), "/a", "Content-Usage: /a train-ai=n"),
        (in_group("Content-Usage: train-ai=n", "Content-Usage: / train-ai=y"), "/a", None),
        (in_group("Content-Usage: train-ai=n", "Content-Usage: /a search=y"), "/a", "Content-Usage: train-ai=n"),
        (in_group("Content-Usage: train-ai=y", "Content-Signal: ai-train=no"), "/a", "Content-Signal: ai-train=no"),
        (in_group("Content-Signal: /de/* ai-train=no", "Content-Signal: ai-train=yes"), "/de/a", "Content-Signal: /de/* ai-train=no"),
        (in_group("Content-Signal: /de/* ai-train=no", "Content-Signal: ai-train=yes"), "/en/a", None),
        (in_group("Content-Signal: search=yes") + "\n" + in_group("Content-Signal: ai-train=no"), "/", "Content-Signal: ai-train=no"),
    ],
)  # fmt: skip
def test_what_robots_txt_says_of_use(text: str, path: str, expected: str | None) -> None:
    found = ask(text, path)
    assert (found.text if found else None) == (expected and " ".join(expected.split()))
    if expected is not None:
        kind = expected.partition(":")[0].title()
        assert found.kind == ("robots.txt" if kind == "Disallow" else kind)


def test_a_path_rule_comes_before_usage_and_usage_before_signal() -> None:
    lines = ["Content-Signal: ai-train=no", "Content-Usage: train-ai=n", "Disallow: /"]
    assert [ask(in_group(*lines[:count])).kind for count in (1, 2, 3)] == [
        "Content-Signal", "Content-Usage", "robots.txt",
    ]  # fmt: skip


USAGE = [
    ("train-ai=n", True),
    ("train-ai=y", False),
    ("search=y, train-ai=n", True),
    ("train-ai=n;until=2030, search=y", True),
    (" train-ai = n ", True),
    ("Train-AI=N", True),
    ("train-ai=no", True),
    ('note="a, b", train-ai=n', True),
    ("train-ai=n, broken==, 7=, ,", True),
    ("train-ai=y, train-ai=n", True),
    ("train-ai=n, train-ai=y", True),
    ("ai=n", True),  # labels of earlier drafts
    ("tdm=n", True),
    ("all=n", True),
    ("bots=n", True),
    ("all=n, train-ai=y", False),
    ("tdm=n, ai=y", False),
    ("bots=y, train-ai=n", True),
    ("tdm=y, all=n", True),
    ("", False),
    ("train-ai", False),
    ('train-ai="n"', False),
    ("train-ai=?0", False),
    ("train-ai=never", False),
    ("train-ai=(n)", False),
    ("train-ai;x=n, search=n", False),
    ('note="train-ai=n, ai=n"', False),
    ('note="a\\", train-ai=n', False),
    ("xtrain-ai=n", False),
    ("train-genai=n, ai-use=n, search=n, ai-output=n", False),
    ("ai-train=no", False),
]
SIGNALS = [
    ("ai-train=no", True),
    ("search=yes, ai-train=no", True),
    ("search=yes,ai-train=no,use=reference", True),
    ("AI-Train = No", True),
    ("ai-train=n", True),
    ("use=immediate", True),
    ("search=yes, use=reference", True),
    ("use=full", False),
    ("ai-train=yes, use=reference", False),
    ("ai-train=yes", False),
    ("ai-input=no, search=no", False),
    ("train-ai=n", False),
    ("ai-train", False),
    ("", False),
]


@pytest.mark.parametrize(
    ("kind", "text", "is_no"),
    [("Content-Usage", *one) for one in USAGE] + [("Content-Signal", *one) for one in SIGNALS],
)
def test_lists_are_read_alike_in_headers_and_in_robots_txt(
    kind: str, text: str, is_no: bool
) -> None:
    found = find_in_headers([("Content-Type", "image/jpeg"), (kind, text)])
    assert (found is not None) is is_no
    assert (ask(in_group(f"{kind}: {text}")) is not None) is is_no
    if is_no:
        assert found == make_opt_out(kind, f"{kind}: {text}")


# Status and pace of robots.txt.


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451, 499, 301, 399])
def test_a_site_without_the_file_allows_everything(status: int) -> None:
    assert judge_robots(status, in_group("Disallow: /").encode()) is ALLOWED
    assert ALLOWED.find_opt_out(f"{SITE}/a.jpg") is None
    assert ALLOWED.delay_s is None


@pytest.mark.parametrize("status", [None, 0, 199, 429, 500, 503, 599, 700])
def test_a_site_that_cannot_be_asked_has_said_neither_yes_nor_no(status: int | None) -> None:
    assert judge_robots(status, b"User-agent: *\nAllow: /") is None


@pytest.mark.parametrize("status", [200, 203, 299])
def test_a_file_that_is_there_is_read(status: int) -> None:
    found = judge_robots(status, in_group("Disallow: /b").encode())
    assert isinstance(found, Robots)
    assert found.find_opt_out(f"{SITE}/b") == OptOut("robots.txt", "Disallow: /b")
    assert found.find_opt_out(f"{SITE}/a") is None


@pytest.mark.parametrize(
    ("lines", "delay"),
    [
        (["Crawl-delay: 10"], 10.0),
        (["crawl-delay: 0.5 # half a second"], 0.5),
        (["Crawl-delay: 0"], 0.0),
        (["Crawl-delay: 300"], 300.0),
        (["Crawl-delay: 86400"], 300.0),
        (["Crawl-delay: -1"], None),
        (["Crawl-delay: nan"], None),
        (["Crawl-delay: inf"], None),
        (["Crawl-delay: soon"], None),
        (["Crawl-delay:"], None),
        (["Request-rate: 1/5"], 5.0),
        (["Request-rate: 30/1m"], 2.0),
        (["Request-rate: 1/1d"], 300.0),
        (["Request-rate: 10000000/86400000000"], 300.0),
        (["Request-rate: 0/5"], None),
        ([f"Request-rate: 1/{'9' * 4000}"], 300.0),
        ([f"Request-rate: {'9' * 4000}/1"], 0.0),
        ([f"Request-rate: {'9' * 5000}/1"], None),
        (["Request-rate: 1/5", "Crawl-delay: 2"], 5.0),
        (["Crawl-delay: 7", "Request-rate: 1/5"], 7.0),
        (["Disallow: /b"], None),
    ],
)
def test_the_delay_is_bounded(lines: list[str], delay: float | None) -> None:
    assert parse_robots(in_group(*lines).encode()).delay_s == delay


def test_the_delay_of_others_is_not_ours() -> None:
    text = in_group("Crawl-delay: 9") + "\n" + in_group("Allow: /", agent="openaffect")
    assert parse_robots(text.encode()).delay_s is None
    assert parse_robots(in_group("Crawl-delay: 9", agent="bingbot").encode()).delay_s is None


# Headers.


@pytest.mark.parametrize(
    "value",
    [
        *("noai", "noimageai", "noindex", "noimageindex", "noml", "none", "NoAI", "NONE"),
        *("noai, noimageai", "nofollow, noindex", "nofollow,noml", "noindex nofollow", " noai "),
        *("openaffect: noai", "OpenAffect: noindex", "*: noindex", "openaffect/0.1: noai"),
        *("googlebot: nofollow, openaffect: noai", "openaffect: nofollow, noai"),
        "unavailable_after: 25 Jun 2010 15:00:00 PST, noai",
        "unavailable_after: Wed, 03 Dec 2025 13:09:53 GMT, noindex",
        "unavailable_after: 2025-12-03, 15:00:00 GMT, noindex",
        *("max-snippet: 50, noindex", "max-image-preview: large, noai", "noindex: 1"),
        "openaffect: unavailable_after: 25 Jun 2010 15:00:00 PST, noai",
    ],
)
def test_a_robots_tag_for_us_is_a_no(value: str) -> None:
    expected = OptOut("X-Robots-Tag", f"X-Robots-Tag: {value.strip()}")
    assert find_in_headers([("X-Robots-Tag", value)]) == expected


@pytest.mark.parametrize(
    "value",
    [
        *("", "all", "nofollow", "noarchive, nosnippet, notranslate", "indexifembedded", "noaia"),
        *("googlebot: noindex", "googlebot: noindex, noai", "BadBot: noindex, nofollow"),
        *("otherbot: noindex, googlebot: noai", "notopenaffect: noai", "open: noai"),
        *("openaffect: nofollow, googlebot: noai", "*: nofollow", "googlebot-news: none"),
        *("max-image-preview: none", "openaffect: max-image-preview: none", "max-snippet: 0"),
        "unavailable_after: 25 Jun 2010 15:00:00 PST",
        "googlebot: unavailable_after: 25 Jun 2010 15:00:00 PST, noindex",
        "googlebot: max-snippet: 0, noindex",
    ],
)
def test_other_robots_tags_are_none(value: str) -> None:
    assert find_in_headers([("X-Robots-Tag", value)]) is None


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], None),
        ([("Server", "noai"), ("Robots-Tag", "noai")], None),
        ([("x-robots-tag", "noai")], OptOut("X-Robots-Tag", "x-robots-tag: noai")),
        ([("X-ROBOTS-TAG", "noai")], OptOut("X-Robots-Tag", "X-ROBOTS-TAG: noai")),
        (
            [("X-Robots-Tag", "googlebot: noindex"), ("X-Robots-Tag", "noml")],
            OptOut("X-Robots-Tag", "X-Robots-Tag: noml"),
        ),
        ([("tdm-reservation", "1")], OptOut("TDMRep", "tdm-reservation: 1")),
        ([("TDM-Reservation", " 1 ")], OptOut("TDMRep", "TDM-Reservation: 1")),
        ([("tdm-reservation", "0"), ("tdm-reservation", "1")], OptOut("TDMRep", "tdm-reservation: 1")),
        ([("tdm-reservation", "1, 1")], OptOut("TDMRep", "tdm-reservation: 1, 1")),
        ([("tdm-reservation", "0"), ("tdm-policy", "https://a.example/policy.json")], None),
        *(([("tdm-reservation", value)], None) for value in ("", "2", "11", "true", "yes", '"1"')),
        (
            [("Content-Usage", "train-ai=y"), ("Content-Usage", "train-ai=n")],
            OptOut("Content-Usage", "Content-Usage: train-ai=n"),
        ),
    ],
)  # fmt: skip
def test_headers(headers: list[tuple[str, str]], expected: OptOut | None) -> None:
    assert find_in_headers(headers) == expected


@pytest.mark.parametrize(
    ("headers", "speaks"),
    [
        ([("tdm-reservation", "0")], True),
        ([("TDM-Reservation", "1")], True),
        ([("tdm-reservation", "2"), ("tdm-reservation", " 0")], True),
        ([("tdm-reservation", "2")], False),  # a protocol error: unset
        ([("tdm-reservation", "")], False),
        ([("tdm-policy", "0"), ("X-Robots-Tag", "noai")], False),
        ([], False),
    ],
)
def test_whether_headers_speak_on_tdm(headers: list[tuple[str, str]], speaks: bool) -> None:
    assert speaks_on_tdm(headers) is speaks


def test_the_header_wins_over_the_file() -> None:
    file = parse_tdm_file(b'[{"location": "/", "tdm-reservation": 1}]')
    headers = [("tdm-reservation", "0")]
    assert file.find_opt_out(f"{SITE}/a.jpg").kind == "TDMRep"
    assert find_in_headers(headers) is None
    assert speaks_on_tdm(headers)  # so the file is not asked


# tdmrep.json.

REPORT = [  # the example of the report
    {"location": "/directory-a/", "tdm-reservation": 1},
    {
        "location": "/directory-b/html/",
        "tdm-reservation": 1,
        "tdm-policy": "https://provider.com/policies/policy.json",
    },
    {"location": "/directory-b/images/*.jpg", "tdm-reservation": 0},
]


def reserve(location: Any = "/", reservation: Any = 1) -> dict[str, Any]:
    return {"location": location, "tdm-reservation": reservation}


def find_entry(entries: Any, path: str = "/a.jpg") -> Any:
    found = parse_tdm_file(json.dumps(entries).encode()).find_opt_out(SITE + path)
    assert found is None or found.kind == "TDMRep"
    return None if found is None else json.loads(found.text)


@pytest.mark.parametrize(
    ("entries", "path", "place"),
    [
        (REPORT, "/directory-a/a.pdf", 0),
        (REPORT, "/directory-b/html/a.html", 1),
        (REPORT, "/directory-b/images/a.jpg", None),
        (REPORT, "/directory-c/", None),
        ([reserve()], "/a.jpg", 0),
        ([reserve(reservation="1")], "/a.jpg", 0),
        ([reserve("*")], "/a.jpg", 0),
        ([reserve("/a", 0), reserve("/")], "/a.jpg", None),  # the first one decides …
        ([reserve("/"), reserve("/a", 0)], "/a.jpg", 0),  # … and not the longest one
        ([reserve("/a.png"), reserve("/a.jpg$")], "/a.jpg", 1),
        ([reserve("/A")], "/a.jpg", None),
        ([reserve("/", "0"), reserve("/")], "/a.jpg", None),
        ([reserve("/%61.jpg")], "/a.jpg", 0),
        ([reserve("/", 2), reserve("/a")], "/a.jpg", 1),  # an entry that is none is left out
        ([{"location": "/"}, {"tdm-reservation": 1}, 7, None, [], reserve()], "/a.jpg", 5),
    ],
)
def test_entries_of_a_tdm_file(entries: Any, path: str, place: int | None) -> None:
    expected = None if place is None else entries[place]
    assert find_entry(entries, path) == expected


@pytest.mark.parametrize("value", [0, "0", 2, -1, 1.5, True, "true", None, [1], {"a": 1}, ""])
def test_other_reservations_say_nothing(value: Any) -> None:
    assert find_entry([reserve(reservation=value)]) is None


@pytest.mark.parametrize("value", ["", "a.jpg", "https://pictures.example/", 1, None, ["/"], {}])
def test_other_locations_say_nothing(value: Any) -> None:
    assert find_entry([reserve(value)]) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[",
        b"null",
        b"<html>",
        b"\xff\xfe[\0]\0",
        b'{"location": "/", "tdm-reservation": 1}',
        b'[{"location": "/", "tdm-reservation": 1}',
        b'[{"location": "/", "tdm-reservation": 1},]',
        b'[{"location": "/\xff", "tdm-reservation": 1}]',
        b'[{"location": "/", "tdm-reservation": NaN}]',
        b'[{"location": "/", "tdm-reservation": 1e999}]',
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'[{"tdm-reservation": 1, "location": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]",
    ],
)
def test_what_is_no_tdm_file_says_nothing(body: bytes) -> None:
    assert parse_tdm_file(body).rules == ()


def test_a_tdm_file_with_a_mark_of_its_encoding_is_read() -> None:
    body = b"\xef\xbb\xbf" + json.dumps([reserve()]).encode()
    assert len(parse_tdm_file(body).rules) == 1


def test_a_tdm_file_is_read_up_to_a_size() -> None:
    body = json.dumps([reserve()]).encode()
    assert len(parse_tdm_file(body.ljust(MAX_TDM_BYTES)).rules) == 1
    assert parse_tdm_file(body.ljust(MAX_TDM_BYTES + 1)).rules == ()


# The text that is kept.


def test_a_long_text_is_cut() -> None:
    assert len(make_opt_out("TDMRep", "a" * 500).text) == 500
    found = ask(in_group("Disallow: /" + "a" * 3_000), "/" + "a" * 4_000)
    assert found.text == "Disallow: /" + "a" * 488 + "…"
    assert len(found.text) == 500


@given(st.text())
def test_any_database_can_keep_the_text(text: str) -> None:
    found = make_opt_out("TDMRep", text + "\ud800\0\n")
    assert len(found.text) <= 500
    assert "\0" not in found.text
    assert len(found.text.splitlines()) <= 1
    assert found.text.encode().decode() == found.text


# Anything at all.


@given(st.binary(max_size=400))
def test_no_bytes_are_an_error(body: bytes) -> None:
    parse_tdm_file(body).find_opt_out(f"{SITE}/a.jpg")
    robots = parse_robots(body)
    robots.find_opt_out(f"{SITE}/a.jpg")
    assert robots.delay_s is None or 0 <= robots.delay_s <= 300


FIELDS = st.sampled_from(["Disallow", "Allow", "Content-Usage", "Content-Signal", "Crawl-delay"])


@given(st.lists(st.tuples(FIELDS, st.text(max_size=30))), st.text(max_size=30))
def test_no_rule_and_no_address_is_an_error(rules: list[tuple[str, str]], path: str) -> None:
    text = in_group(*(f"{field}: {value}" for field, value in rules))
    robots = parse_robots(text.encode("utf-8", "surrogatepass"))
    found = robots.find_opt_out(f"{SITE}/{path}")
    assert found is None or found.text


@given(st.lists(st.tuples(st.text(max_size=20), st.text())), st.text())
def test_no_header_is_an_error(headers: list[tuple[str, str]], value: str) -> None:
    names = ("X-Robots-Tag", "tdm-reservation", "Content-Usage", "Content-Signal")
    headers = [*headers, *((name, value) for name in names)]
    found = find_in_headers(headers)
    assert found is None or found.text
    assert speaks_on_tdm(headers) in (True, False)


LONG_PATH = "/" + "ab" * 4_000
HOSTILE_FILES = {
    "10 MB": b"User-agent: *\n" + b"Disallow: /b\n" * 800_000,
    "endless line": b"User-agent: *\nDisallow: /" + b"b" * 10_000_000,
    "10 MB of zeros": bytes(10_000_000),
    "10 MB of 0xFF": b"\xff" * 10_000_000,
    "stars": b"User-agent: *\nDisallow: /" + b"*a" * 200_000 + b"$",
    "many stars": b"User-agent: *\n" + b"Disallow: /*a*a*a*a*a*a*c$\n" * 18_000,
    "agents": b"User-agent: *\n" * 18_000 + b"Disallow: /c\n" * 18_000,
    "agents in a line": b"User-agent: " + b"*," * 200_000 + b"\n" + b"Disallow: /c\n" * 5_000,
    "spaces": b"User-agent" + b" " * 400_000 + b"x\nallow" + b" " * 100_000,
    "usages": b"User-agent: *\n" + b"Content-Usage: /*c train-ai=n\n" * 16_000,
    "quotes": b'User-agent: *\nContent-Usage: "' + b'\\"a,' * 120_000,
}
HOSTILE_HEADERS = {
    "commas": "," * 1_000_000,
    "agents": "a:" * 500_000,
    "one agent": "a" * 1_000_000 + "!: noai",
    "quotes": '"' * 1_000_000,
    "backslashes": '"' + "\\" * 1_000_000,
    "members": "a=b," * 250_000,
    "words": "noindexx " * 100_000,
}


def seconds(run: Callable[[], object]) -> float:
    """Of this process alone: others use the machine, too."""
    start = time.process_time()
    run()
    return time.process_time() - start


@pytest.mark.parametrize("name", HOSTILE_FILES)
def test_no_robots_txt_takes_long(name: str) -> None:
    body = HOSTILE_FILES[name]
    assert seconds(lambda: parse_robots(body).find_opt_out(SITE + LONG_PATH)) < 3
    assert parse_robots(body).find_opt_out(SITE + LONG_PATH) is None


@pytest.mark.parametrize("name", HOSTILE_HEADERS)
@pytest.mark.parametrize("header", ["X-Robots-Tag", "tdm-reservation", "Content-Usage"])
def test_no_header_takes_long(header: str, name: str) -> None:
    assert seconds(lambda: find_in_headers([(header, HOSTILE_HEADERS[name])])) < 3
    assert find_in_headers([(header, HOSTILE_HEADERS[name])]) is None


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"0," * 490_000 + b"0]",
        b"[" + b"{}," * 330_000 + b"{}]",
        b"[" + b'{"location":"/*c","tdm-reservation":1},' * 24_000 + b"{}]",
        b'[{"location":"/' + b"*a" * 400_000 + b'c","tdm-reservation":1}]',
    ],
)
def test_no_tdm_file_takes_long(body: bytes) -> None:
    assert len(body) <= MAX_TDM_BYTES
    assert seconds(lambda: parse_tdm_file(body).find_opt_out(SITE + LONG_PATH)) < 3
    assert parse_tdm_file(body).find_opt_out(SITE + LONG_PATH) is None


def test_robots_txt_is_read_up_to_500_kib() -> None:
    head, rule = b"User-agent: *\n", b"\nDisallow: /a\n"
    whole = head.ljust(MAX_ROBOTS_BYTES - len(rule), b"#") + rule
    assert len(whole) == 512_000
    assert ask(whole) == OptOut("robots.txt", "Disallow: /a")
    assert ask(whole + b"Disallow: /b\n", "/b") is None
    assert ask(whole.replace(b"\n", b"\r")) == OptOut("robots.txt", "Disallow: /a")


@pytest.mark.parametrize("rest", [b"", b".png\n", b".png"])
def test_a_line_that_may_have_been_cut_is_left_out(rest: bytes) -> None:
    # Whoever fetches may have cut it; half a rule may say the opposite of the whole one.
    head, rule = b"User-agent: *\n", b"\nDisallow: /a"
    whole = head.ljust(MAX_ROBOTS_BYTES - len(rule), b"#") + rule
    assert ask(whole + rest) is None
    shorter = head.ljust(MAX_ROBOTS_BYTES - len(rule) - 1, b"#") + rule
    assert ask(shorter) == OptOut("robots.txt", "Disallow: /a")
