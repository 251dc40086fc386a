"""What `card` reads and shows."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import typer

from openaffect import console
from openaffect.cli.options import flatten
from openaffect.errors import InputError
from openaffect.labels import Expression
from openaffect.texts import counted


def print_card(path: str | Path, json: bool) -> None:
    """A model's card, and whether the model still gives the outputs of its golden sample.

    Raises:
        typer.Exit: with the status 1, where it does not.
    """
    from openaffect.golden import TOLERANCE, compare_golden
    from openaffect.model import open_model

    model = open_model(path)
    facts = dataclasses.asdict(model.card)
    difference = compare_golden(model)
    if json:
        console.print_json(facts | {"golden_difference": difference})
    else:
        facts.pop("golden")
        facts["learned"] = (
            counted(len(model.card.learned_hashes()), "image") if facts["learned"] else ""
        )
        console.print_facts(flatten(facts))
    if difference is None:
        console.note("the card has no golden sample to check the copy by")
    elif difference <= TOLERANCE:
        console.note(
            f"outputs on the golden sample are those stored in the card (within {difference:.1g})"
        )
    else:
        console.fail(
            "outputs on the golden sample differ from those stored in the card, by "
            f"{difference:.2g}: the file, the runtime or the renderer of faces has changed"
        )
        raise typer.Exit(1)


def parse_labels(text: str) -> tuple[Expression, ...]:
    """A label set by its number, or names in the order that was given, which is the columns'."""
    from openaffect.labels import LABEL_SETS, parse_expression

    if text in LABEL_SETS:
        return LABEL_SETS[text]
    names = tuple(parse_expression(name.strip(), "--labels") for name in text.split(","))
    if len({*names}) < len(names):
        raise InputError(f"expected each label once in --labels, but got '{text}'")
    return names


def parse_size(text: str) -> tuple[int, int]:
    """Width and height, of one number or two."""
    width, _, height = text.lower().partition("x")
    try:
        return int(width), int(height or width)
    except ValueError:
        raise InputError(f"expected --size as 224 or 224x196, but got '{text}'") from None


def parse_numbers(option: str, text: str) -> tuple[float, ...]:
    """One number, or one per channel."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"expected {option} as 0.5 or 0.485,0.456,0.406, but got '{text}'"
        ) from None
