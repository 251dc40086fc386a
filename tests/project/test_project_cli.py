"""The commands of a project as a user gives them."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from openaffect.cli import main
from openaffect.dataset import Dataset
from openaffect.images import encode_image


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = main([str(one) for one in arguments])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def run_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    status, out, err = run(capsys, *arguments, "--json")
    assert status == 0, err
    return json.loads(out)


def test_a_project_from_its_beginning_to_its_copy(
    tmp_path: Path, drawn: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, photos = tmp_path / "faces", tmp_path / "photos"
    photos.mkdir()
    (photos / "none.png").write_bytes(encode_image(np.full((90, 90, 3), 128, np.uint8)))
    (photos / "broken.png").write_bytes(b"text")
    status, out, err = run(capsys, "new", folder, "--contact", "lab@example.org")
    assert (status, out) == (0, "")
    assert "openaffect add" in err
    added = run_json(capsys, "add", folder, drawn.path, photos)
    assert added[str(drawn.path)]["annotations"] == 8
    assert added[str(photos)]["rejected"] == {"not a picture (unknown first bytes)": 1}
    found = run_json(capsys, "detect", folder, "--workers", 1)
    assert (found["images"], found["measured"], found["without_faces"]) == (9, 8, 1)
    state = run_json(capsys, "status", folder)
    assert state["images"]["total"] == 9
    assert state["faces"]["total"] == state["annotations"]["total"] == 8
    assert state["steps"]["detect"] == {"pending": 0, "done": 9, "failed": {}, "refused": {}}
    status, out, _ = run(capsys, "status", folder)
    assert status == 0
    assert "detect          0     9        0       0" in out
    assert run(capsys, "backup", folder, tmp_path / "b.zip", "--with-store")[0] == 0
    assert run(capsys, "new", tmp_path / "copy", "--from", tmp_path / "b.zip")[0] == 0
    copied = run_json(capsys, "status", tmp_path / "copy")
    assert copied == state
    status, _, err = run(capsys, "upgrade", folder)
    assert status == 0
    assert "nothing to do" in err


def test_errors_are_one_line_with_what_to_do(
    tmp_path: Path, drawn: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "faces"
    cases: list[tuple[tuple[object, ...], str]] = [
        (("status", folder), "openaffect new"),
        (("new", folder, "--database", "postgresql://ada:geheim@host/x"), "PGPASSWORD"),
        (("new", folder, "--from", tmp_path / "none.zip"), "no such file"),
        (("new", folder, "--from", tmp_path / "none.zip", "--contact", "a"), "contact"),
    ]
    for arguments, words in cases:
        status, out, err = run(capsys, *arguments)
        assert (status, out, err.count("\n")) == (1, "", 1)
        assert words in err
        assert "geheim" not in err
    assert run(capsys, "new", folder)[0] == 0
    more: list[tuple[tuple[object, ...], str]] = [
        (("new", folder), "openaffect status"),
        (("add", folder, tmp_path / "nowhere"), "there is none"),
        (("add", folder, tmp_path, "--prefix", "x"), "--prefix"),
        (("add", folder, drawn.path, tmp_path, "--name", "x"), "--name"),
        (("detect", folder, "--engine", "proceses"), "did you mean 'processes'"),
    ]
    for arguments, words in more:
        status, out, err = run(capsys, *arguments)
        assert (status, out, err.count("\n")) == (1, "", 1), err
        assert words in err
    with sqlite3.connect(folder / "project.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    status, _, err = run(capsys, "add", folder, drawn.path)
    assert status == 1
    assert "update openaffect" in err
