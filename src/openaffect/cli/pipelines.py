"""Whole pipelines: the demo, the paper's tables, the six-emotion study's tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from openaffect import console
from openaffect.cli.options import DatasetPath, Overwrite, Seed, app
from openaffect.errors import InputError

if TYPE_CHECKING:
    from openaffect.pipelines.experiments import Result

TablesFolder = Annotated[
    Path, typer.Argument(metavar="DIR", help="The folder to make, or that of an earlier call.")
]
TableSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Set a key of every recipe, or of one: ROW:KEY=VALUE."
    ),
]
Split = Annotated[
    str | None, typer.Option(help="The scored split; test if present, else validation.")
]
Draws = Annotated[int, typer.Option(help="Balanced draws for Norm.", min=1)]
Rounds = Annotated[int, typer.Option(help="Bootstrap samples for intervals.", min=1)]


_DEMO_TIME = "3,000 faces and 8 epochs take two to three minutes on two CPU cores"


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make.")],
    faces: Annotated[int, typer.Option(help="Synthetic faces to learn from.", min=200)] = 3000,
    epochs: Annotated[int, typer.Option(help="Of each training.", min=1)] = 8,
    seed: Seed = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume an interrupted demo, if there is one.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """The whole pipeline, offline, on synthetic faces, to DIR/report.html.

    Example: openaffect demo demo
    """
    from openaffect.pipelines.demo import run_demo

    console.note(_DEMO_TIME)
    with console.resumable("the same command with --resume goes on from here"):
        page = run_demo(
            folder,
            faces=faces,
            epochs=epochs,
            seed=seed,
            overwrite=overwrite,
            resume=resume,
            bar=console.progress_bar,
            training_bar=console.training_bar,
            say=console.note,
        )
    console.say(f"done: open {page} in a browser")


@app.command()
def paper(
    dataset: DatasetPath,
    folder: TablesFolder,
    rows: Annotated[
        str | None,
        typer.Option(metavar="ROW,ROW", help="Only these rows, such as weighted-loss,svm."),
    ] = None,
    settings: TableSettings = None,
    split: Split = None,
    predictions: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FILE", help="An outside system's predictions, as a column."),
    ] = None,
    draws: Draws = 200,
    rounds: Rounds = 1000,
    overwrite: Overwrite = False,
) -> None:
    """The AffectNet paper's tables: every baseline, ours beside the published, to DIR/paper.html.

    The same call goes on after a kill, row by row.

    Example: openaffect paper affectnet tables --rows weighted-loss,svm
    """
    from openaffect.dataset import open_dataset
    from openaffect.pipelines.paper import run_paper

    _finish(
        run_paper(
            open_dataset(dataset),
            folder,
            rows=_read_list(rows),
            settings=settings or (),
            split=split,
            predictions=_read_files(predictions),
            draws=draws,
            rounds=rounds,
            overwrite=overwrite,
            bar=console.progress_bar,
            training_bar=console.training_bar,
            say=console.note,
        )
    )


@app.command()
def study(
    dataset: DatasetPath,
    folder: TablesFolder,
    tables: Annotated[
        str | None, typer.Option(metavar="N,N", help="Only these tables of 3 to 7, such as 3,5.")
    ] = None,
    settings: TableSettings = None,
    split: Split = None,
    draws: Draws = 200,
    rounds: Rounds = 1000,
    overwrite: Overwrite = False,
) -> None:
    """The six-emotion study's tables 3 to 7, ours beside the published, to DIR/study.html.

    The same call goes on after a kill, row by row.

    Example: openaffect study affectnet study --tables 3,5
    """
    from openaffect.dataset import open_dataset
    from openaffect.pipelines.study import run_study

    _finish(
        run_study(
            open_dataset(dataset),
            folder,
            tables=_read_list(tables),
            settings=settings or (),
            split=split,
            draws=draws,
            rounds=rounds,
            overwrite=overwrite,
            bar=console.progress_bar,
            training_bar=console.training_bar,
            say=console.note,
        )
    )


def _finish(result: Result) -> None:
    """Say where the page is and what failed; a failed row is exit status 1."""
    console.say(f"done: open {result.page} in a browser")
    for outcome in result.failed:
        console.fail(f"{outcome.row.title}: {outcome.reason}")
    if result.failed:
        raise typer.Exit(1)


def _read_list(text: str | None) -> list[str] | None:
    if text is None:
        return None
    return [part.strip() for part in text.split(",") if part.strip()]


def _read_files(options: list[str] | None) -> dict[str, Path]:
    """Names and files; unlike keys of options, a name stays as it is."""
    found: dict[str, Path] = {}
    for text in options or []:
        name, sign, path = text.partition("=")
        if not (sign and name.strip() and path.strip()):
            raise InputError(f"expected predictions as NAME=FILE, but got '{text}'")
        if name.strip() in found:
            raise InputError(f"two files are given for '{name.strip()}'")
        found[name.strip()] = Path(path.strip())
    return found
