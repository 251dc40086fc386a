from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from openaffect import documents
from openaffect.documents import decode_json, read_json
from openaffect.errors import FormatError, InputError, reason
from openaffect.labels import Expression
from openaffect.storage import open_file


@dataclass(frozen=True)
class Thing:
    name: str
    size: tuple[int, int] = (2, 3)
    labels: tuple[Expression, ...] = ()
    share: float = 0.5


DAMAGED = {
    "empty": b"",
    "no object": b"[]",
    "wrong type": b'{"name": 1}',
    "wrong inner type": b'{"name": "x", "size": ["a", 2]}',
    "three sizes": b'{"name": "x", "size": [1, 2, 3]}',
    "a label of no list": b'{"name": "x", "labels": ["hapy"]}',
    "NaN": b'{"name": "x", "share": NaN}',
    "beyond float64": b'{"name": "x", "share": 1e999}',
    "5,000 digits": b'{"name": "x", "share": ' + b"1" * 5000 + b"}",
    "no UTF-8": b'{"name": "\xff"}',
    "a lone surrogate": b'{"name": "\\ud800"}',
    "deep": b'{"name": "x", "other": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "truncated": b'{"name": "x"',
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_json_is_one_line_that_names_the_place(name: str, tmp_path: Path) -> None:
    path = tmp_path / "thing.json"
    path.write_bytes(DAMAGED[name])
    with pytest.raises(FormatError) as caught:
        read_json(path, Thing)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_text_with_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(FormatError, match="the card"):
        decode_json('{"name": "\ud800"}', Thing, "the card")


def test_what_json_writes_is_read_back() -> None:
    text = json.dumps({"name": "ä", "labels": ["happy"], "size": [4, 5], "unknown": {"a": [1]}})
    assert decode_json(text, Thing, "it") == Thing("ä", (4, 5), (Expression.HAPPY,))
    assert decode_json(text, dict[str, Any], "it")["unknown"] == {"a": [1]}


def test_a_file_beyond_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "thing.json"
    path.write_text('{"name": "x"}')
    monkeypatch.setattr(documents, "MAX_BYTES", 13)
    assert read_json(path, Thing).name == "x"
    monkeypatch.setattr(documents, "MAX_BYTES", 12)
    with pytest.raises(FormatError, match="more than 12"):
        read_json(path, Thing)


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path, Path("/dev/zero"), tmp_path / "missing", tmp_path / "a\0b"):
        with pytest.raises(InputError):
            open_file(path)
    link = tmp_path / "link"
    (tmp_path / "file").write_bytes(b"abc")
    link.symlink_to(tmp_path / "file")
    with open_file(link) as file:
        assert file.read() == b"abc"


def test_a_reason_is_one_bounded_line() -> None:
    assert reason(OSError(2, "No such file")) == "No such file"
    assert reason(ValueError("  first\nsecond")) == "first"
    assert reason(KeyError()) == "KeyError"
    assert reason(ValueError("\n")) == "ValueError"
    assert len(reason(ValueError("x" * 5000))) == 301
