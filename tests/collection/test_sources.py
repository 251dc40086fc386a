"""What holds for every source, found by its name: a folder, a list, an archive."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from collection.source_builders import INPUTS, make_image
from openaffect.cli import app
from openaffect.collection.providers import (
    Item,
    engine_names,
    load_engine,
    load_source,
    provider_names,
    source_names,
)
from openaffect.errors import FormatError, InputError

NAMES = source_names()
CASES = [
    pytest.param(name, make, id=f"{name}-{make.__name__}")
    for name in NAMES
    for make in INPUTS[name]
]
Make = Callable[[Path, int], Path]


def read(name: str, path: Path) -> list[Item]:
    return list(load_source(name).read_items(path))


def without_read(items: list[Item]) -> list[Item]:
    return [replace(item, read=None) for item in items]


def test_every_provider_is_a_search_engine_or_a_source_with_inputs() -> None:
    assert sorted([*engine_names(), *NAMES]) == list(provider_names())
    assert sorted(INPUTS) == list(NAMES)
    for name in NAMES:
        assert load_source(name).TITLE
        assert load_source(name).READS.startswith("a ")
        with pytest.raises(InputError, match=f"{name} is no search engine; it reads a "):
            load_engine(name)


@pytest.mark.parametrize(("name", "make"), CASES)
def test_every_image_comes_once_in_order_and_again(name: str, make: Make, tmp_path: Path) -> None:
    path = make(tmp_path, 12)
    items = read(name, path)
    assert [item.url for item in items] == [f"https://a.example/{n}.png" for n in range(12)]
    assert [item.error for item in items] == [None] * 12
    assert len({item.name for item in items}) == 12
    assert [item.read() for item in items if item.read] == (
        [] if name == "urls" else [make_image(n) for n in range(12)]
    )
    assert without_read(read(name, path)) == without_read(items)


@pytest.mark.parametrize(("name", "make"), CASES)
def test_the_first_image_does_not_wait_for_the_last(name: str, make: Make, tmp_path: Path) -> None:
    """No read goes beyond the first part of a file, and of a folder one image alone is opened."""
    path = make(tmp_path, {"folder": 9, "urls": 30_000, "archive": 2_000}[name])
    if path.is_file():
        os.truncate(path, path.stat().st_size // 2)  # the end is damaged: who reads it fails
    first = next(iter(load_source(name).read_items(path)))
    assert first.url == "https://a.example/0.png"
    if name == "folder":
        (path / "001.png").unlink()
        items = load_source(name).read_items(path)
        assert next(items).name == "000.png"
        assert next(items).name == "002.png"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["nothing", "pipe", "device", "other", "zero byte"])
def test_what_is_no_source_is_an_input_error(name: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path = Path("/dev/zero")
    elif kind == "other":
        path.mkdir() if name != "folder" else path.write_bytes(b"x")
    elif kind == "zero byte":
        path = Path("a\0b")
    with pytest.raises(InputError):
        read(name, path)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_source_is_an_input_error(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.mkdir() if name == "folder" else path.touch()
    with pytest.raises(InputError, match=r"expected (images|addresses)|empty"):
        read(name, path)


def read_all(name: str, path: Path) -> None:
    """Nothing but an InputError may come out, and items are those of a source."""
    with contextlib.suppress(InputError):
        for item in load_source(name).read_items(path):
            assert item.name.encode("utf-8")
            assert item.error != ""
            if item.read is not None:
                assert isinstance(item.read(), bytes)
                assert item.error is None


@pytest.mark.parametrize("name", NAMES)
@given(data=st.binary(max_size=2_000), head=st.sampled_from([b"", b"WARC/1.0\r\n", b"url,title\n"]))
@settings(max_examples=150)
def test_random_bytes_are_nothing_but_an_input_error(
    name: str, data: bytes, head: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("random") / "metadata.csv"
    path.write_bytes(head + data)
    if name == "folder":
        (path.parent / "a.png").write_bytes(data)
        path = path.parent
    read_all(name, path)


@pytest.mark.parametrize(("name", "make"), CASES)
@given(data=st.data())
@settings(max_examples=60)
def test_damage_is_nothing_but_an_input_error(
    name: str, make: Make, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    path = make(folder, 3)
    file = path / "metadata.csv" if path.is_dir() else path
    damaged = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(damaged[: data.draw(st.integers(0, len(damaged)))] or damaged)
    read_all(name, path)


def test_the_list_of_providers_has_the_sources() -> None:
    result = CliRunner().invoke(app, ["providers", "list"])
    assert result.exit_code == 0
    for name in NAMES:
        assert name in result.stdout
    found = json.loads(CliRunner().invoke(app, ["providers", "list", "--json"]).stdout)
    assert [one["name"] for one in found["engines"]] == list(engine_names())
    assert found["sources"] == [
        {"name": name, "title": load_source(name).TITLE, "reads": load_source(name).READS}
        for name in NAMES
    ]


def test_a_format_error_is_an_input_error() -> None:
    assert issubclass(FormatError, InputError)
