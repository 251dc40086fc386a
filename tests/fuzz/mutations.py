"""Changes that break an input; all of them are made by the random numbers that they are given."""

from __future__ import annotations

import json
import random
import struct
from typing import Any

NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1)
TEXTS = (
    *("", "NaN", "nan", "Infinity", "-inf", "1e999", "-1", "0", "999999999999", "1" * 5000),
    *(
        "1,5",
        "null",
        "None",
        "\ud800",
        "a\0b",
        "\x1b[31m",
        "\u202e",
        "../../etc/passwd",
        "/dev/zero",
    ),
    *("happy", "11", "-2", "0.5", "true", "[" * 3000, '"', ";", "\n", "\r", "'", "ä" * 300),
)
VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        -1,
        0,
        10**25,
        1.5,
        float("nan"),
        float("inf"),
        "",
        "x",
        "1",
        [],
        {},
        [[]],
        {"a": 1},
    ),
    *(["happy"], [1, 2], [None], "\ud800", "a\0b", "\x1b[2J", "happy"),
)


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """A few changes of bytes, of length fields, of pieces."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 12))):
        if not changed:
            break
        # Headers matter most.
        at = rng.randrange(min(len(changed), rng.choice((16, 64, 512, len(changed)))))
        match rng.randrange(8):
            case 0:
                changed[at] = rng.randrange(256)
            case 1:
                changed[at] ^= 1 << rng.randrange(8)
            case 2:
                changed[at : at + 4] = struct.pack(rng.choice("<>") + "I", rng.choice(NUMBERS))
            case 3:
                changed[at : at + 2] = struct.pack(
                    rng.choice("<>") + "H", rng.choice(NUMBERS) & 0xFFFF
                )
            case 4:
                del changed[at:]
            case 5:
                start = rng.randrange(len(changed))
                changed[at:at] = changed[start : start + rng.randrange(1, 200)]
            case 6:
                del changed[at : at + rng.randrange(1, 60)]
            case 7:
                changed[at:at] = rng.choice(TEXTS).encode("utf-8", "surrogatepass")
    return bytes(changed)


def mutate_text(data: bytes, rng: random.Random, separators: str = ",;\t\n ") -> bytes:
    """Fields of a table or a document replaced, doubled, left out; or its bytes changed."""
    if rng.random() < 0.25:
        return mutate_bytes(data, rng)
    text = data.decode("utf-8", "replace")
    for _ in range(rng.choice((1, 1, 2, 5))):
        places = [number for number, sign in enumerate(text) if sign in separators]
        if len(places) < 2:
            break
        number = rng.randrange(len(places) - 1)
        start, end = places[number] + 1, places[number + 1]
        match rng.randrange(4):
            case 0 | 1:
                text = text[:start] + rng.choice(TEXTS) + text[end:]
            case 2:
                text = text[:start] + text[end:]
            case 3:
                text = text[:end] + text[start:end] + text[end:]
    kind = rng.choice(("utf-8", "utf-8", "utf-8", "utf-16", "utf-8-sig", "latin-1"))
    errors = "surrogatepass" if kind.startswith("utf") else "replace"
    return text.encode(kind, errors)


def mutate_json(data: bytes, rng: random.Random) -> bytes:
    """Values of a document replaced by others, keys left out or doubled; or its text changed."""
    if rng.random() < 0.2:
        return mutate_text(data, rng, ",:{}[]")
    document = json.loads(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        document = _change(document, rng)
    return json.dumps(document).encode("utf-8", "surrogatepass")


def _change(value: Any, rng: random.Random) -> Any:
    if not isinstance(value, dict | list) or not value or rng.random() < 0.15:
        return rng.choice(VALUES)
    if isinstance(value, list):
        number = rng.randrange(len(value))
        if rng.random() < 0.2:
            return value[:number] + value[number + 1 :]
        return [*value[:number], _change(value[number], rng), *value[number + 1 :]]
    key = rng.choice([*value])
    if rng.random() < 0.15:
        return {other: item for other, item in value.items() if other != key}
    return value | {key: _change(value[key], rng)}
