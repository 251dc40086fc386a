"""Model files: ONNX that anybody may have written, read whole, checked, and opened on a device.

A model is one file. Weights in other files are refused, for a hash of the model would not cover
them. Loops and local functions are refused, for a file of one kilobyte could then run, or grow,
without end.
"""

from __future__ import annotations

from pathlib import Path

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from openaffect.errors import FormatError, InputError, UnknownName, reason
from openaffect.parallel import is_worker
from openaffect.storage import open_file

# onnxruntime's errors share no base class but Exception. RuntimeError, ValueError: of its Python part.
ORT_ERRORS = (
    *(ort_errors.EPFail, ort_errors.EngineError, ort_errors.Fail, ort_errors.InvalidArgument),
    *(ort_errors.InvalidGraph, ort_errors.InvalidProtobuf, ort_errors.NoModel),
    *(ort_errors.NoSuchFile, ort_errors.NotFound, ort_errors.NotImplemented),
    *(ort_errors.RuntimeException, RuntimeError, ValueError, MemoryError),
)
"""What onnxruntime raises for a model that it cannot open or run."""

DEVICES = ("auto", "cpu", "cuda")
"""Where a model may run; `auto` is a CUDA device where there is one, else the CPU."""

CUDA = "CUDAExecutionProvider"
"""onnxruntime's name for its CUDA part."""

MAX_BYTES = 2**31 - 1
"""The largest model file: protobuf holds no more."""

_CPU = "CPUExecutionProvider"
_LOOPS = (b"Loop", b"Scan", b"SequenceMap")

# The messages of onnx.proto, and which of their fields hold messages that must be looked into.
_INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # protobuf's wire types
_OP_TYPE, _DATA_LOCATION = 4, 14  # fields of a node and of a tensor


def read_model_file(path: str | Path) -> bytes:
    """The bytes of an ONNX file that is whole in itself.

    Raises:
        FormatError: no such file, not a regular file, empty, too large, or what `check_graph`
            refuses.
    """
    try:
        with open_file(path, "an ONNX model") as file:
            data = file.read(MAX_BYTES + 1)
    except InputError as error:
        raise FormatError(str(error)) from error
    except (OSError, MemoryError) as error:
        raise FormatError(f"cannot read {path}: {reason(error)}") from error
    if not data:
        raise FormatError(f"expected an ONNX model at {path}, but it is empty (0 bytes)")
    if len(data) > MAX_BYTES:
        raise FormatError(f"{path} has more than {MAX_BYTES:,} bytes, too many for an ONNX model")
    check_graph(data, str(path))
    return data


def check_graph(data: bytes, where: str) -> None:
    """Refuse an ONNX graph that needs other files, or that may never end.

    It reads protobuf by itself, for the core does without the package onnx.

    Args:
        data: the file.
        where: its name, for messages.

    Raises:
        FormatError: weights in another file, a loop, a local function, or damaged protobuf.
    """
    waiting = [("model", 0, len(data))]
    while waiting:
        kind, at, end = waiting.pop()
        inside = _INSIDE[kind]
        while at < end:
            number, wire, start, at, value = _read_field(data, at, end, where)
            if wire == _BYTES and number in inside:
                if inside[number] == "function":
                    raise FormatError(
                        f"{where} has local functions, which may grow without end when they are "
                        "inlined; inline them once: "
                        "onnx.inliner.inline_local_functions(onnx.load(path))"
                    )
                waiting.append((inside[number], start, at))
            elif kind == "tensor" and number == _DATA_LOCATION and value:
                raise FormatError(
                    f"the weights of {where} are in another file, but a model is one file; join "
                    "them: onnx.save(onnx.load(path), new_path, save_as_external_data=False)"
                )
            elif kind == "node" and number == _OP_TYPE and data[start:at] in _LOOPS:
                raise FormatError(
                    f"{where} has a loop ({data[start:at].decode()}), which may never end; "
                    "export the model without loops"
                )


def open_session(
    data: bytes, where: str, *, device: str = "auto", threads: int = 0
) -> onnxruntime.InferenceSession:
    """An onnxruntime session for the bytes of a model.

    Args:
        data: from `read_model_file`.
        where: its name, for messages.
        device: one of `DEVICES`.
        threads: for one prediction on the CPU; 0 leaves the choice to onnxruntime, and is 1 in a
            worker of `parallel`.

    Raises:
        FormatError: onnxruntime cannot open it.
        InputError: `cuda`, and onnxruntime cannot use it.
        UnknownName: no such device.
    """
    providers = _providers(device)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or int(is_worker())
    options.log_severity_level = 3
    # Never onnxruntime's own format, which `check_graph` cannot read.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        session = onnxruntime.InferenceSession(data, options, providers=providers)
    except ORT_ERRORS as error:
        raise FormatError(f"expected an ONNX model at {where}, but: {reason(error)}") from error
    if device == "cuda" and CUDA not in session.get_providers():
        raise InputError(f"onnxruntime could not start its CUDA part for {where}; see its messages")
    return session


def _providers(device: str) -> list[str]:
    """The parts of onnxruntime that may run a model, the first one that can does."""
    if device not in DEVICES:
        raise UnknownName("device", device, DEVICES)
    here = onnxruntime.get_available_providers()
    if device == "cuda" and CUDA not in here:
        raise InputError(
            "this onnxruntime has no CUDA: `pip uninstall onnxruntime`, then "
            "`pip install onnxruntime-gpu` (the two overwrite each other)"
        )
    cuda = [CUDA] if device != "cpu" and CUDA in here else []
    return [*cuda, _CPU]


def _read_field(data: bytes, at: int, end: int, where: str) -> tuple[int, int, int, int, int]:
    """A field of a message: its number, wire type, where its value begins and ends, the value.

    The value is that of a varint, and 0 for the other wire types.
    """
    tag, at = _read_varint(data, at, end, where)
    number, wire = tag >> 3, tag & 7
    if wire == _VARINT:
        value, stop = _read_varint(data, at, end, where)
        return number, wire, at, stop, value
    if wire == _BYTES:
        length, at = _read_varint(data, at, end, where)
        stop = at + length
    elif wire in (_FIXED64, _FIXED32):
        stop = at + (8 if wire == _FIXED64 else 4)
    else:
        raise _damaged(where)
    if stop > end:
        raise _damaged(where)
    return number, wire, at, stop, 0


def _read_varint(data: bytes, at: int, end: int, where: str) -> tuple[int, int]:
    """A number of protobuf, at most 64 bits in 10 bytes, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
    raise _damaged(where)


def _damaged(where: str) -> FormatError:
    return FormatError(
        f"expected an ONNX model at {where}, but it is damaged, or another kind of file"
    )
