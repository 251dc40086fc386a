"""The application, and the options that several commands share."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

import openaffect
from openaffect import console
from openaffect.errors import InputError

if TYPE_CHECKING:
    from openaffect.dataset import Dataset
    from openaffect.model import Model


class _Panels(TyperGroup):
    """The application, whose help lists the commands by panel."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # typer's own types
        panels: dict[str, list[tuple[str, str]]] = {}
        names = self.list_commands(ctx)
        width = max(map(len, names))
        for name in names:
            command = self.commands[name]
            panel = getattr(command, "rich_help_panel", None)
            text = command.get_short_help_str(1_000)
            panels.setdefault(str(panel), []).append((name.ljust(width), text))
        for panel, rows in panels.items():
            with formatter.section(panel):
                formatter.write_dl(rows)


app = typer.Typer(
    name="openaffect",
    cls=_Panels,
    help="The open implementation of the AffectNet system: expression, valence and arousal.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Seed = Annotated[int, typer.Option(help="Random seed.", min=0)]
ProjectPath = Annotated[Path, typer.Argument(metavar="PROJECT", help="A project folder.")]
DatasetPath = Annotated[Path, typer.Argument(metavar="DATASET", help="A dataset folder.")]
ModelName = Annotated[
    str, typer.Option("--model", metavar="MODEL", help="A run, an .onnx file, or default.")
]
Workers = Annotated[
    int | None, typer.Option(help="Number of threads (default: one per CPU core).", min=1)
]
Engine = Annotated[str, typer.Option(help="threads, processes or ray.")]
RayAddress = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Of a Ray cluster to join, or auto; by default the one that RAY_ADDRESS names, or a new one.",
    ),
]
Crew = Annotated[
    int | None,
    typer.Option(
        "--workers",
        help="Number of workers (default: one per CPU core, or per core of the cluster).",
        min=1,
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a key of the recipe; train --help has them all.",
    ),
]


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        console.say(f"openaffect {openaffect.__version__}")
        raise typer.Exit


def read_pairs(options: list[str] | None) -> dict[str, Any]:
    """The pairs of `--option key=value`; hyphens in keys become underscores."""
    pairs: dict[str, Any] = {}
    for text in options or []:
        key, sign, value = text.partition("=")
        if not sign:
            raise InputError(f"expected an option as key=value, but got '{text}'")
        pairs[key.strip().replace("-", "_")] = value.strip()
    return pairs


def open_chosen_model(name: str | Path, device: str) -> Model:
    """The model that a command was asked to use; where it runs is said if that is news."""
    from openaffect.model import open_model

    model = open_model(name, device=device)
    if model.device != "cpu":
        console.note(f"device: {model.device}")
    return model


@contextlib.contextmanager
def use_engine(engine: str, ray_address: str | None) -> Iterator[None]:
    """A block whose work an engine does; what to know of Ray is said before.

    Raises:
        UnknownName, InputError, MissingExtra: see `parallel.check_engine`.
    """
    from openaffect import parallel

    parallel.check_engine(engine, ray_address)
    if engine != "ray":
        yield
        return
    console.note(parallel.RAY_NOTICE)
    # Ray prints on stdout what becomes of its workers; there belong results alone.
    with contextlib.redirect_stdout(sys.stderr):
        yield


def read_list(text: str | None) -> list[str] | None:
    """The parts of a text with commas; None if the option was not given."""
    if text is None:
        return None
    return [part.strip() for part in text.split(",") if part.strip()]


def warn_of_model_labels(dataset: Dataset, split: str | None = "train") -> None:
    """Say how many labels of a split, or of all faces, a model gave, if any did."""
    train = dataset if split is None else dataset.where(split=split)
    for column, what in (
        ("expression_origin", "an expression"),
        ("affect_origin", "valence and arousal"),
    ):
        origins = train.column(column).to_pylist()
        count = origins.count("model")
        if count:
            known = len(origins) - origins.count(None)
            console.warn(
                f"{count:,} of {known:,} training faces with {what} have it from a model, not from "
                "people: what is learned repeats that model's mistakes, and the card says so"
            )


def print_classes(dataset: Path) -> None:
    """A table of classes by split."""
    from openaffect.info import describe

    console.print_counts(describe(dataset)["classes"])


def flatten(facts: dict[str, Any], prefix: str = "") -> dict[str, object]:
    """Nested facts as one level of `a.b` names; lists as text, what is empty left out."""
    flat: dict[str, object] = {}
    for key, value in facts.items():
        if isinstance(value, dict):
            flat.update(flatten(value, f"{prefix}{key}."))
        elif isinstance(value, list | tuple):
            flat[prefix + key] = ", ".join(map(str, value))
        elif value is not None and value != "":
            flat[prefix + key] = value
    return flat
