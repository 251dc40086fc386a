"""Model files of other people: one file, no loops, no functions; what is wrong is one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import helper

from builders import tiny_model
from model_builders import LOOPS, REFUSED
from openaffect import model_files
from openaffect.errors import FormatError
from openaffect.external_models import inspect_graph
from openaffect.model import open_model
from openaffect.model_files import check_graph, read_model_file

CHANGES = [(change, said) for said, changes in REFUSED.items() for change in changes]


@pytest.mark.parametrize(("change", "said"), CHANGES)
def test_a_graph_that_may_never_end_or_needs_other_files_is_refused(
    tmp_path: Path, change: Callable[[onnx.ModelProto], None], said: str
) -> None:
    model = onnx.load(tiny_model(tmp_path / "whole.onnx"))
    check_graph(model.SerializeToString(), "m.onnx")
    change(model)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    for open_it in (open_model, inspect_graph):
        with pytest.raises(FormatError, match=said) as caught:
            open_it(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", LOOPS)
def test_everything_that_repeats_is_a_loop(name: str) -> None:
    graph = helper.make_graph([helper.make_node(name, ["x"], ["y"])], "g", [], [])
    with pytest.raises(FormatError, match=rf"has a loop \({name}\)"):
        check_graph(helper.make_model(graph).SerializeToString(), "m.onnx")


def nested(*parts: tuple[int, bytes]) -> bytes:
    """Fields inside fields: the number of each and what stands before its own field."""
    data = b""
    for number, before in reversed(parts):
        body = before + data
        data = bytes([number << 3 | 2, len(body)]) + body
    return data


@pytest.mark.parametrize(
    "number", [b"\x01", b"\x81\x80\x80\x80\x00", b"\x81\x80\x80\x80\x80\x80\x80\x80\x80\x01"]
)
def test_a_location_is_seen_in_whatever_way_its_number_is_written(number: bytes) -> None:
    """Protobuf takes a number with more bytes than it needs, or cut to 32 bits."""
    with pytest.raises(FormatError, match="another file"):
        check_graph(nested((7, b""), (5, b"\x70" + number)), "m.onnx")


def test_a_field_that_is_longer_than_its_message_is_damage() -> None:
    whole = nested((7, b""), (1, b""), (4, b"Abs"))
    check_graph(whole, "m.onnx")
    for data in (
        whole[:-1],
        whole[:1],  # a tag alone
        b"\x3b",  # a wire type that protobuf no longer has
        b"\x08" + b"\xff" * 10,  # a number of more than ten bytes
        nested((7, b"\x0a\x09Abs")),  # a node that reaches out of its graph
    ):
        with pytest.raises(FormatError, match="damaged"):
            check_graph(data, "m.onnx")


def test_fields_of_every_wire_type_are_passed_over() -> None:
    strange = b"\x98\x06\x05" + b"\x9d\x06abcd" + b"\x99\x06abcdefgh" + b"\x9a\x06\x02ab"
    check_graph(strange, "m.onnx")
    with pytest.raises(FormatError, match="has a loop"):
        check_graph(strange + nested((7, strange), (1, strange), (4, b"Loop")), "m.onnx")


def test_messages_inside_messages_take_no_stack(tmp_path: Path) -> None:
    graph = b""
    for _ in range(3000):  # a graph in an attribute of a node of a graph …
        for number in (6, 5, 1):
            length = len(graph)
            size = bytearray()
            while length > 127:
                size.append(length & 127 | 128)
                length >>= 7
            graph = bytes([number << 3 | 2]) + bytes([*size, length]) + graph
    path = tmp_path / "m.onnx"
    path.write_bytes(helper.make_model(onnx.GraphProto()).SerializeToString() + b"\x3a\x00" + graph)
    check_graph(path.read_bytes(), "m.onnx")
    with pytest.raises(FormatError):
        open_model(path)


def test_the_size_of_a_model_file_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiny_model(tmp_path / "m.onnx")
    size = path.stat().st_size
    monkeypatch.setattr(model_files, "MAX_BYTES", size)
    assert len(read_model_file(path)) == size
    monkeypatch.setattr(model_files, "MAX_BYTES", size - 1)
    with pytest.raises(FormatError, match=f"{size - 1:,} bytes"):
        read_model_file(path)
