"""Cards: a model's own, and one for an outside model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from openaffect import console
from openaffect.cli.options import AsJson, Overwrite, app, flatten
from openaffect.errors import InputError
from openaffect.labels import Expression
from openaffect.texts import counted

_NEEDED = ("--size", "--channels", "--scale", "--mean", "--std", "--margin", "--license")


@app.command()
def card(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A run, an .onnx file, or default.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Adopt an outside model as this .onnx."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the model; its file's by default.")] = None,
    labels: Annotated[
        str | None, typer.Option(help="Of the columns, in their order: happy,sad,…")
    ] = None,
    expression: Annotated[
        str | None, typer.Option(metavar="OUTPUT", help="Such as logits or output[0:8].")
    ] = None,
    scores: Annotated[
        str | None, typer.Option(help="probabilities or logits, what that output gives.")
    ] = None,
    affect: Annotated[
        str | None, typer.Option(metavar="OUTPUT", help="Valence and arousal: output[8:10].")
    ] = None,
    input: Annotated[str | None, typer.Option(help="Name of the input, if there are two.")] = None,
    size: Annotated[str | None, typer.Option(help="Of the input: 224 or 224x196.")] = None,
    channels: Annotated[str | None, typer.Option(help="rgb, bgr or gray.")] = None,
    layout: Annotated[str, typer.Option(help="nchw or nhwc.")] = "nchw",
    scale: Annotated[
        float | None, typer.Option(help="Pixels of 0–255 are divided by it: 255 or 1.")
    ] = None,
    mean: Annotated[str | None, typer.Option(help="Then subtracted: 0.5 or 0.485,0.456,…")] = None,
    std: Annotated[str | None, typer.Option(help="Then divided by: 1 or 0.229,0.224,…")] = None,
    margin: Annotated[
        float | None, typer.Option(help="Share of the box that a crop takes on each side.")
    ] = None,
    license: Annotated[str | None, typer.Option(help="Of the weights.")] = None,
    notes: Annotated[str, typer.Option(help="Limits, intended use.")] = "",
    json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """A model's card, checked against its golden face; or with -o, a card for an outside model.

    Example: openaffect card theirs.onnx -o ours.onnx --labels 8 --expression "output[0:8]"
    --scores logits --affect "output[8:10]" --size 224 --channels rgb --scale 255
    --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --margin 0.1 --license Apache-2.0
    """
    if output is None:
        _show(model, json)
        return
    from openaffect.faces.crops import CropRule
    from openaffect.outside_models import Wiring, adopt_model, describe_graph

    given: dict[str, Any] = {
        "--size": size,
        "--channels": channels,
        "--scale": scale,
        "--mean": mean,
        "--std": std,
        "--margin": margin,
        "--license": license,
    }
    missing = [key for key in _NEEDED if given[key] is None]
    if expression is not None:
        missing += [k for k, v in (("--labels", labels), ("--scores", scores)) if v is None]
    if expression is None and affect is None:
        missing.append("--expression and/or --affect")
    if missing:
        raise InputError(
            f"the card of an outside model cannot be guessed: say {', '.join(missing)}; "
            f"the graph has {describe_graph(model)}"
        )
    made = adopt_model(
        model,
        output,
        Wiring(
            size=_size(str(size)),
            channels=str(channels),
            scale=float(scale or 0),
            mean=_numbers("--mean", str(mean)),
            std=_numbers("--std", str(std)),
            layout=layout,
            input=input,
            expression=expression,
            scores=scores or "probabilities",
            affect=affect,
        ),
        name=name or Path(model).stem,
        labels=_labels(labels) if expression is not None and labels else (),
        crop=CropRule(margin=float(margin or 0)),
        license=str(license),
        notes=notes,
        overwrite=overwrite,
    )
    console.note(f"adopted: {output}")
    _show(made.path, json)


def _show(path: str | Path, json: bool) -> None:
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
        console.note("the card has no golden face to check the copy by")
    elif difference <= TOLERANCE:
        console.note(
            f"the golden face is judged as when the model was made (within {difference:.1g})"
        )
    else:
        console.fail(
            "outputs on the golden sample differ from those stored in the card, by "
            f"{difference:.2g}: the file, the runtime or the drawing of faces has changed"
        )
        raise typer.Exit(1)


def _labels(text: str) -> tuple[Expression, ...]:
    """A label set by its number, or names in the order that was given, which is the columns'."""
    from openaffect.labels import LABEL_SETS, parse_expression

    if text in LABEL_SETS:
        return LABEL_SETS[text]
    names = tuple(parse_expression(name.strip(), "--labels") for name in text.split(","))
    if len({*names}) < len(names):
        raise InputError(f"expected each label once in --labels, but got '{text}'")
    return names


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    try:
        return int(width), int(height or width)
    except ValueError:
        raise InputError(f"expected --size as 224 or 224x196, but got '{text}'") from None


def _numbers(option: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"expected {option} as 0.5 or 0.485,0.456,0.406, but got '{text}'"
        ) from None
