"""Every provider against a server on this computer that answers as documented, and as badly as servers do."""

from __future__ import annotations

import asyncio
import datetime
import json
import re
import threading
from collections.abc import Iterator
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner

from collection.replies import ERRORS_INSIDE, KEYS, TOKEN, expected_hit, make_reply
from openaffect.cli import app
from openaffect.collection import search as search_module
from openaffect.collection.providers import (
    BadAnswer,
    Cursor,
    KeyRefused,
    ProviderError,
    QueryRefused,
    QuotaUsedUp,
    ResultPage,
    Search,
    TooManyRequests,
    choose_options,
    engine_names,
    load_engine,
    parse_retry_after,
    read_keys,
)
from openaffect.collection.providers._reading import strip_html
from openaffect.collection.search import FAILURES, Searcher, describe_providers, plan_search
from openaffect.errors import DownloadError, InputError, UnknownName
from openaffect.project.queries import Query

NAMES = engine_names()
PAGED = [name for name in NAMES if name != "brave"]
QUERY = Query("happy man", "en", "happy")
CONTACT = "lab@example.org"
MEANINGS = {"wait": TooManyRequests, "bad": BadAnswer, "query": QueryRefused, "key": KeyRefused}

Reply = tuple[int, dict[str, str], bytes]


class Engine:
    """A server that gives the replies that it was told, the last one again and again."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.asked: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        engine = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                engine.paths.append(parts.path)
                found = parse_qs(parts.query, keep_blank_values=True)
                engine.asked.append({key: value[0] for key, value in found.items()})
                engine.headers.append({key.lower(): value for key, value in self.headers.items()})
                self._answer(*engine._next())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                engine.paths.append(self.path)
                engine.asked.append({key: value[0] for key, value in parse_qs(body).items()})
                token = {"access_token": TOKEN, "expires_in": 43_200, "token_type": "Bearer"}
                self._answer(200, {}, json.dumps(token).encode())

            def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                for key, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.base = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def _next(self) -> Reply:
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]

    def tell(self, *replies: bytes | Reply) -> None:
        self.replies = [one if isinstance(one, tuple) else (200, {}, one) for one in replies]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close()


class Asked:
    """What a searcher found, and how long it has waited."""

    def __init__(self) -> None:
        self.pages: list[ResultPage] = []
        self.waited: list[float] = []


def ask(engine: Engine, name: str, *, excluded: tuple[str, ...] = (), **options: Any) -> Asked:
    """All pages of the query, without waiting."""
    found = Asked()

    async def sleep(seconds: float) -> None:
        found.waited.append(seconds)

    async def collect() -> None:
        async with Searcher(
            name,
            **{
                "contact": CONTACT,
                "keys": KEYS[name],
                "base": engine.base,
                "allow": {("127.0.0.1", engine.port)},
                "sleep": sleep,
                **options,
            },
        ) as searcher:
            async for page in searcher.search(QUERY, excluded):
                found.pages.append(page)

    asyncio.run(collect())
    return found


def searches(engine: Engine) -> list[dict[str, str]]:
    return [asked for asked in engine.asked if "grant_type" not in asked]


def test_every_provider_has_replies() -> None:
    assert sorted(KEYS) == sorted(ERRORS_INSIDE) == sorted(NAMES)
    assert len(NAMES) == 5


@pytest.mark.parametrize("name", NAMES)
def test_a_hit_keeps_what_the_provider_says_of_it(name: str, engine: Engine) -> None:
    engine.tell(make_reply(name, [3, 1, 2]))
    found = ask(engine, name)
    assert [hit for page in found.pages for hit in page.hits] == [
        expected_hit(name, number, rank) for rank, number in enumerate([3, 1, 2], 1)
    ]


@pytest.mark.parametrize("name", PAGED)
def test_pages_follow_one_another_to_the_end(name: str, engine: Engine) -> None:
    engine.tell(make_reply(name, range(20), more=True), make_reply(name, range(20, 30)))
    found = ask(engine, name)
    hits = [hit for page in found.pages for hit in page.hits]
    assert [hit.url for hit in hits] == [f"https://live.example/{n}.jpg" for n in range(30)]
    first, second = searches(engine)
    changed = {key for key in first if first[key] != second[key]}
    assert changed == {
        "openverse": {"page"}, "commons": {"gsroffset"}, "flickr": {"page"}, "serpapi": {"ijn"},
    }[name]  # fmt: skip
    ranks = [hit.rank for hit in hits]
    assert ranks == sorted(set(ranks))
    assert ranks[:20] == list(range(1, 21))


def test_texts_lose_tags_scripts_and_what_cannot_be_printed() -> None:
    text = '<a href="x">Ada &amp; Ben</a><script>alert(1)</script>\u202e <style>b{}</style>\nCem'
    assert strip_html(text) == "Ada & Ben Cem"
    assert strip_html("<" * 50_000 + "a &lt;b") == strip_html("<" * 50_000)


def test_serpapi_speaks_each_engines_language(engine: Engine) -> None:
    seen = {}
    for one in ("google", "bing", "yahoo"):
        engine.asked.clear()
        engine.tell(make_reply("serpapi", range(35), more=True), make_reply("serpapi", []))
        ask(engine, "serpapi", options={"engine": one})
        seen[one] = [
            {key: asked[key] for key in ("q", "p", "ijn", "first", "b") if key in asked}
            for asked in engine.asked
        ]
    assert seen == {
        "google": [{"q": "happy man", "ijn": "0"}, {"q": "happy man", "ijn": "1"}],
        "bing": [{"q": "happy man", "first": "1"}, {"q": "happy man", "first": "36"}],
        "yahoo": [{"p": "happy man", "b": "1"}, {"p": "happy man", "b": "36"}],
    }


@pytest.mark.parametrize("name", PAGED)
def test_the_cap_of_a_query_ends_it(name: str, engine: Engine) -> None:
    caps = load_engine(name).get_caps(KEYS[name], choose_options(name, {}))
    size = caps.per_page
    number = iter(range(10**9))

    class Endless(list[Reply]):
        def __len__(self) -> int:
            return 2

        def pop(self, _: Any = 0) -> Reply:
            reply = json.loads(make_reply(name, [next(number) for _ in range(size)], more=True))
            if name == "commons":
                reply["continue"]["gsroffset"] = 50 + int(engine.asked[-1]["gsroffset"])
            return 200, {}, json.dumps(reply).encode()

    engine.replies = Endless()
    found = ask(engine, name)
    assert sum(len(page.hits) for page in found.pages) == caps.per_query
    assert len(searches(engine)) == caps.per_query / size


@pytest.mark.parametrize("name", PAGED)
def test_a_page_that_comes_again_ends_the_query(name: str, engine: Engine) -> None:
    engine.tell(make_reply(name, range(20), more=True))
    if name == "commons":
        second = json.loads(engine.replies[0][2])
        second["continue"]["gsroffset"] = 100
        engine.tell(engine.replies[0], (200, {}, json.dumps(second).encode()))
    found = ask(engine, name)
    assert [len(page.hits) for page in found.pages] == [20]
    assert len(searches(engine)) == 2


@pytest.mark.parametrize("name", NAMES)
def test_a_query_that_finds_nothing_ends(name: str, engine: Engine) -> None:
    nothing = {
        "commons": {"batchcomplete": True},
        # https://serpapi.com/search-errors, 2026-11-25
        "serpapi": {
            "search_metadata": {"status": "Success"},
            "error": "Google hasn't returned any results for this query.",
        },
    }
    reply = nothing.get(name)
    engine.tell(make_reply(name, []) if reply is None else json.dumps(reply).encode())
    assert [page.hits for page in ask(engine, name).pages] == [()]


@pytest.mark.parametrize("name", NAMES)
def test_odd_items_are_dropped_and_counted(name: str, engine: Engine) -> None:
    text = make_reply(name, range(4)).decode()
    for number, odd in enumerate(
        ["file:///etc/passwd", "https://me:secret@live.example/a.jpg", "https://a b/c", "none"]
    ):
        text = text.replace(f"https://live.example/{number}.jpg", odd)
    text = re.sub(r"https://upload\.example/\d\.jpg", "", text)
    engine.tell(text.encode())
    assert [(page.hits, page.dropped) for page in ask(engine, name).pages] == [((), 4)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [None, 7, [], {}, "x" * 5_000, "\u202e\x00", True, -1])
def test_values_of_other_types_harm_nobody(name: str, value: Any, engine: Engine) -> None:
    def spoil(node: Any, path: tuple[str, ...] = ()) -> Any:
        if isinstance(node, dict):
            kept = ("url", "thumburl", "url_l", "original", "imageinfo", "properties", "index")
            return {
                key: spoil(one, (*path, key))
                if isinstance(one, dict | list) or key in kept or len(path) < 2
                else value
                for key, one in node.items()
            }
        return [spoil(one, (*path, "[]")) for one in node] if isinstance(node, list) else node

    engine.tell(json.dumps(spoil(json.loads(make_reply(name, [5])))).encode())
    [page] = ask(engine, name).pages
    [hit] = page.hits
    assert hit.url == "https://live.example/5.jpg"
    texts = [hit.title, hit.author, hit.rights, hit.restrictions]
    assert all(text is None or (text.isprintable() and len(text) <= 1_000) for text in texts)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b"\xff", b'{"a":' * 9_000])
def test_an_answer_that_cannot_be_read_is_asked_for_again(
    name: str, body: bytes, engine: Engine
) -> None:
    engine.tell(body, make_reply(name, [1]))
    found = ask(engine, name)
    assert len(found.pages[0].hits) == 1
    assert len(searches(engine)) == 2
    assert 2.0 in found.waited


@pytest.mark.parametrize(
    ("name", "body", "meaning"),
    [(name, body, meaning) for name, rows in ERRORS_INSIDE.items() for body, meaning in rows],
)
def test_an_error_inside_an_answer_is_one(
    name: str, body: dict[str, Any], meaning: str, engine: Engine
) -> None:
    engine.tell(json.dumps(body).encode())
    with pytest.raises(MEANINGS[meaning], match=name) as caught:
        ask(engine, name)
    assert type(caught.value) is MEANINGS[meaning]
    assert len(searches(engine)) == (4 if meaning in ("wait", "bad") else 1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("status", "kind", "times"),
    [
        (400, QueryRefused, 1),
        (401, KeyRefused, 1),
        (402, QuotaUsedUp, 1),
        (403, KeyRefused, 1),
        (301, BadAnswer, 4),
        (408, BadAnswer, 4),
        (500, BadAnswer, 4),
        (503, BadAnswer, 4),
    ],
)
def test_a_status_ends_in_its_error(
    name: str, status: int, kind: type[ProviderError], times: int, engine: Engine
) -> None:
    headers = {"Location": "http://127.0.0.1:1/"} if status == 301 else {}
    engine.tell((status, headers, b"no"))
    with pytest.raises(ProviderError, match=f"{name} answered {status}") as caught:
        ask(engine, name)
    assert type(caught.value) is kind
    assert len(searches(engine)) == times


def test_openverse_says_401_where_a_query_goes_no_deeper(engine: Engine) -> None:
    # api/conf/settings and issue #4474 of WordPress/openverse, 2026-11-25
    engine.tell((401, {}, b'{"page_size": ["anonymous requests may not exceed 20"]}'))
    with pytest.raises(QueryRefused):
        ask(engine, "openverse")


def test_serpapi_says_429_for_two_things(engine: Engine) -> None:
    engine.tell((429, {}, b'{"error": "Your account has run out of searches."}'))
    with pytest.raises(QuotaUsedUp):
        ask(engine, "serpapi")
    hourly = b'{"error": "Your account has exceeded its hourly throughput limit."}'
    engine.tell((429, {"Retry-After": "9"}, hourly), make_reply("serpapi", [1]))
    found = ask(engine, "serpapi")
    assert len(found.pages) == 1
    assert 9.0 in found.waited


def test_serpapis_small_copies_are_no_results(engine: Engine) -> None:
    text = make_reply("serpapi", [1, 2]).decode()
    engine.tell(text.replace("live.example/1", "encrypted-tbn0.gstatic.com/1").encode())
    [page] = ask(engine, "serpapi").pages
    assert [hit.url for hit in page.hits] == ["https://live.example/2.jpg"]
    assert page.dropped == 1


def test_brave_says_422_for_a_wrong_key(engine: Engine) -> None:
    body = b'{"type": "ErrorResponse", "error": {"code": "SUBSCRIPTION_TOKEN_INVALID"}}'
    engine.tell((422, {}, body))
    with pytest.raises(KeyRefused, match="brave"):
        ask(engine, "brave")


@pytest.mark.parametrize("as_date", [False, True])
def test_who_is_asked_to_wait_waits(as_date: bool, engine: Engine) -> None:
    at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=100)
    wait = format_datetime(at, usegmt=True) if as_date else "100"
    engine.tell((429, {"Retry-After": wait}, b"slow down"), make_reply("commons", [1]))
    found = ask(engine, "commons")
    assert max(found.waited) == pytest.approx(100, abs=5 if as_date else 0)
    assert len(found.pages) == 1


def test_who_is_asked_to_wait_for_too_long_stops(engine: Engine) -> None:
    engine.tell((429, {"Retry-After": "301"}, b""))
    with pytest.raises(TooManyRequests, match="301 s") as caught:
        ask(engine, "commons")
    assert caught.value.retry_after == 301.0
    assert len(engine.asked) == 1


def test_without_a_time_to_wait_waits_grow(engine: Engine) -> None:
    engine.tell((429, {}, b""))
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    with pytest.raises(TooManyRequests):
        ask(engine, "commons", sleep=sleep)
    assert len(engine.asked) == 4
    assert [seconds for seconds in waited if seconds > 1.5] == [2, 8, 32]


def test_retry_after_is_seconds_or_a_date() -> None:
    now = datetime.datetime(2026, 11, 26, 12, 0, tzinfo=datetime.UTC)
    assert parse_retry_after("Thu, 26 Nov 2026 12:02:00 GMT", now) == 120
    assert parse_retry_after("Thu, 26 Nov 2026 11:00:00 GMT", now) == 0
    assert parse_retry_after("soon", now) is None
    assert parse_retry_after("-3", now) is None
    assert parse_retry_after(None, now) is None


def test_a_provider_that_fails_again_and_again_is_left_alone(engine: Engine) -> None:
    engine.tell((500, {}, b""))

    async def ask_often() -> list[str]:
        texts = []
        async with Searcher(
            "commons",
            contact=CONTACT,
            base=engine.base,
            allow={("127.0.0.1", engine.port)},
            sleep=_no_wait,
        ) as searcher:
            for _ in range(3):
                with pytest.raises(BadAnswer) as caught:
                    await searcher.ask(QUERY)
                texts.append(str(caught.value))
        return texts

    first, second, third = asyncio.run(ask_often())
    assert "answered 500" in first
    assert f"failed {FAILURES} times in a row" in second
    assert second == third
    assert len(engine.asked) == FAILURES


async def _no_wait(_: float) -> None:
    pass


def test_requests_keep_the_pace(engine: Engine) -> None:
    replies = [make_reply("flickr", range(5 * n, 5 * n + 5), more=n < 2) for n in range(3)]
    engine.tell(*replies)
    waited = ask(engine, "flickr").waited  # which does not wait: 60 a minute are 0, 1 and 2 s
    assert len(waited) == 2
    assert 0.5 < waited[0] <= 1.0
    assert 1.5 < waited[1] <= 2.0


def test_a_days_requests_are_not_exceeded(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = load_engine("openverse")
    monkeypatch.setattr(provider, "_PER_QUERY", 20_000)
    number = iter(range(10**9))

    class Endless(list[Reply]):
        def __len__(self) -> int:
            return 2

        def pop(self, _: Any = 0) -> Reply:
            reply = json.loads(make_reply("openverse", [next(number)], more=True))
            return 200, {}, json.dumps({**reply, "page_count": 9_999}).encode()

    engine.replies = Endless()
    with pytest.raises(QuotaUsedUp, match="200 requests a day"):
        ask(engine, "openverse", keys={})
    assert len(engine.asked) == 200


def test_openverse_takes_a_token_for_its_keys(engine: Engine) -> None:
    engine.tell(make_reply("openverse", [1], more=True), make_reply("openverse", [2]))
    ask(engine, "openverse")
    assert engine.paths == ["/v1/auth_tokens/token/", "/v1/images/", "/v1/images/"]
    assert engine.asked[0]["grant_type"] == "client_credentials"
    assert [one["authorization"] for one in engine.headers] == [f"Bearer {TOKEN}"] * 2
    engine.headers.clear()
    ask(engine, "openverse", keys={})
    assert "authorization" not in engine.headers[0]


def test_a_token_that_ends_early_is_replaced_once(engine: Engine) -> None:
    refused: Reply = (401, {}, b"The access token has expired.")
    engine.tell(make_reply("openverse", [1], more=True), refused, make_reply("openverse", [2]))
    assert len(ask(engine, "openverse").pages) == 2
    token, images = "/v1/auth_tokens/token/", "/v1/images/"
    assert engine.paths == [token, images, images, token, images]
    engine.tell(make_reply("openverse", [1], more=True), refused)
    engine.paths.clear()
    with pytest.raises(KeyRefused):
        ask(engine, "openverse")
    assert engine.paths == [token, images, images, token, images]


@pytest.mark.parametrize("name", NAMES)
def test_the_operator_is_named_and_no_cookie_is_sent(name: str, engine: Engine) -> None:
    engine.tell(
        (200, {"Set-Cookie": "a=b"}, make_reply(name, [1], more=True)), make_reply(name, [2])
    )
    numbers = {("127.0.0.1", engine.port), ("::1", engine.port)}
    ask(engine, name, base=f"http://localhost:{engine.port}", allow=numbers)
    for headers in engine.headers:
        assert re.fullmatch(r"openaffect/\S+ \(lab@example\.org\)", headers["user-agent"])
        assert headers["accept-encoding"] == "identity"
        assert "cookie" not in headers
    assert engine.headers


@pytest.mark.parametrize("name", NAMES)
def test_excluded_words_are_written_as_the_provider_wants(name: str, engine: Engine) -> None:
    engine.tell(make_reply(name, [1]))
    ask(engine, name, excluded=("cartoon", "drawn by hand"))
    [asked] = searches(engine)
    assert 'happy man -cartoon -"drawn by hand"' in asked.values() or (
        asked.get("gsrsearch") == 'filetype:bitmap happy man -cartoon -"drawn by hand"'
    )


@pytest.mark.parametrize(("name", "longest"), [("openverse", 200), ("commons", 300)])
def test_a_query_is_never_cut_by_the_provider(name: str, longest: int, engine: Engine) -> None:
    engine.tell(make_reply(name, [1]))
    ask(engine, name, excluded=tuple(f"word{number:03}" for number in range(99)))
    [asked] = searches(engine)
    text = asked["q" if name == "openverse" else "gsrsearch"]
    assert longest - 9 <= len(text) <= longest


def test_brave_takes_fifty_words(engine: Engine) -> None:
    engine.tell(make_reply("brave", [1]))
    ask(engine, "brave", excluded=tuple(f"a{number}" for number in range(99)))
    assert len(engine.asked[0]["q"].split()) == 50


def test_only_open_licenses_are_asked_for(engine: Engine) -> None:
    engine.tell(make_reply("flickr", [1]))
    ask(engine, "flickr")
    ask(engine, "flickr", any_license=True)
    assert [asked.get("license") for asked in engine.asked] == ["1,2,3,4,5,6,9,10", None]


BROKEN: list[tuple[int, dict[str, str], str]] = [
    (200, {}, "not JSON, and it says {key}"),
    (200, {}, '{{"error": "{key}", "stat": "fail", "message": "{key}", "code": 1}}'),
    (200, {}, '{{"error": {{"code": "x", "info": "{key}"}}}}'),
    (302, {"Location": "http://127.0.0.1:1/?api_key={key}"}, ""),
    *((status, {"X-Key": "{key}"}, "the key {key}") for status in (400, 401, 403, 404, 429, 500)),
]


@pytest.mark.parametrize("name", [name for name in NAMES if KEYS[name]])
@pytest.mark.parametrize(("status", "headers", "body"), BROKEN)
def test_no_error_repeats_a_key(
    name: str, status: int, headers: dict[str, str], body: str, engine: Engine
) -> None:
    secrets = [*KEYS[name].values(), *([TOKEN] if name == "openverse" else [])]
    key = " ".join(secrets)
    told = {header: value.format(key=secrets[0]) for header, value in headers.items()}
    engine.tell((status, told, body.format(key=key).encode()))
    with pytest.raises(ProviderError) as caught:
        ask(engine, name)
    shown = repr(caught.value) + str(caught.value) + repr(caught.value.__cause__)
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    assert [secret for secret in secrets if secret in shown] == []


@pytest.mark.parametrize("name", [name for name in NAMES if KEYS[name]])
def test_no_hit_and_no_request_shows_a_key(name: str, engine: Engine) -> None:
    secret = next(iter(KEYS[name].values()))
    text = make_reply(name, [1]).decode().replace("/1.jpg", f"/1.jpg?k={secret}")
    engine.tell(text.replace("Face", f"Face {secret}").encode())
    shown = repr(ask(engine, name).pages)
    assert "live.example" in shown
    assert "canary" not in shown
    provider = load_engine(name)
    question = Search("x", "en", options=choose_options(name, {}), keys=KEYS[name])
    assert "canary" not in repr(question)
    assert "canary" not in repr(provider.make_request(question, Cursor()))


def test_a_server_that_is_not_there_is_one_line(engine: Engine) -> None:
    port = engine.port
    engine.close()
    with pytest.raises(BadAnswer, match="flickr: no answer from the address") as caught:
        ask(engine, "flickr", base=f"http://127.0.0.1:{port}")
    assert "canary" not in str(caught.value)


def test_no_other_address_is_reached(engine: Engine) -> None:
    engine.tell(make_reply("commons", [1]))
    for allow in ((), {("127.0.0.1", engine.port + 1)}):
        with pytest.raises(BadAnswer, match="not on the public internet"):
            ask(engine, "commons", allow=allow)
    with pytest.raises(BadAnswer, match="not on the public internet"):
        ask(engine, "commons", base=f"http://localhost:{engine.port}", allow=())
    assert engine.asked == []


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate"])
def test_a_compressed_answer_that_nobody_asked_for_is_refused(
    encoding: str, engine: Engine
) -> None:
    engine.tell((200, {"Content-Encoding": encoding}, b"\x1f\x8b" + bytes(100)))
    with pytest.raises(BadAnswer, match=encoding):
        ask(engine, "commons", tries=1)


def test_an_endless_answer_is_cut_off(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "_MAX_BYTES", 100_000)
    engine.tell(b" " * 100_001)
    with pytest.raises(BadAnswer, match="more than 100,000 bytes"):
        ask(engine, "commons", tries=1)


@pytest.mark.parametrize(
    "contact", ["", "me", "me@x", "a@b.c\r\nX-Y: 1", "é@b.org", "a b@c.org", "ftp://a.b"]
)
def test_nobody_asks_without_a_contact(contact: str) -> None:
    with pytest.raises(InputError, match="contact"):
        Searcher("commons", contact=contact)


def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BRAVE_API_KEY", raising=False)
    with pytest.raises(InputError, match="BRAVE_API_KEY"):
        Searcher("brave", contact=CONTACT)
    monkeypatch.setenv("BRAVE_API_KEY", " abc\n")
    assert read_keys("brave") == {"BRAVE_API_KEY": "abc"}
    monkeypatch.setenv("BRAVE_API_KEY", "a\r\nb canary")
    with pytest.raises(InputError, match="BRAVE_API_KEY") as caught:
        read_keys("brave")
    assert "canary" not in str(caught.value)
    assert read_keys("commons") == {}


def test_options_have_names_and_values() -> None:
    assert choose_options("serpapi", {}) == {"engine": "google"}
    for name, given in (("serpapi", {"engin": "bing"}), ("serpapi", {"engine": "bin"})):
        with pytest.raises(UnknownName, match="did you mean"):
            choose_options(name, given)
    with pytest.raises(UnknownName):
        choose_options("commons", {"engine": "bing"})


def test_a_plan_computes_requests_time_and_money_from_the_caps() -> None:
    plan = plan_search("openverse", 1250)
    assert (plan.requests, plan.hits, plan.days, plan.usd) == (15_000, 300_000, 75, 0)
    keyed = plan_search("openverse", 1250, keys=KEYS["openverse"])
    assert (keyed.requests, keyed.days) == (15_000, 2)
    some = plan_search("openverse", 1250, hits=5_000)
    assert (some.requests, some.hits, some.days) == (250, 5_000, 2)
    few = plan_search("openverse", 10, hits=100)
    assert few.days == pytest.approx(5 / 20 / 1_440)
    brave = plan_search("brave", 1250)
    assert (brave.requests, brave.hits, brave.usd) == (1250, 250_000, 6.25)
    assert plan_search("serpapi", 1250).usd is None


def test_the_list_shows_whether_a_key_is_set_and_never_the_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FLICKR_API_KEY", "canary")
    monkeypatch.delenv("BRAVE_API_KEY", raising=False)
    found = {one.name: one for one in describe_providers(10)}
    assert sorted(found) == sorted(NAMES)
    assert found["flickr"].keys == {"FLICKR_API_KEY": True}
    assert found["brave"].keys == {"BRAVE_API_KEY": False}
    for options in ([], ["--json"]):
        result = CliRunner().invoke(app, ["providers", "list", *options])
        assert result.exit_code == 0
        assert "canary" not in result.output
        assert "openverse" in result.stdout


def test_try_shows_what_was_found(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.tell(make_reply("commons", [1, 2], more=True))
    real = search_module.Searcher

    def local(name: str, **options: Any) -> Searcher:
        options |= {"base": engine.base, "allow": {("127.0.0.1", engine.port)}}
        return real(name, **options)

    monkeypatch.setattr(search_module, "Searcher", local)
    command = ["providers", "try", "commons", "sad woman", "--contact", CONTACT]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "https://live.example/2.jpg" in result.stdout.replace("\n", "")
    assert "results: 2, without a usable address: 0; there are more" in result.stderr
    assert engine.asked[0]["gsrsearch"].startswith("filetype:bitmap sad woman -drawing -cartoon")
    found = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    assert [hit["rank"] for hit in found["hits"]] == [1, 2]


@pytest.mark.parametrize(
    "arguments", [["commons"], ["commons", "--contact", "x"], ["bing", "--contact", CONTACT]]
)
def test_try_says_what_is_missing(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, ["providers", "try", *arguments])
    assert isinstance(result.exception, InputError)


def test_a_download_error_is_what_the_guard_says() -> None:
    from openaffect.collection import sessions

    async def reach() -> None:
        async with sessions.open_session(CONTACT) as session:
            await sessions.fetch(session, "http://10.0.0.1/", max_bytes=9, seconds=9)

    with pytest.raises(DownloadError, match="not on the public internet"):
        asyncio.run(reach())
