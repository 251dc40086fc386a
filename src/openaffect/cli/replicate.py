"""The demo, cross-validation, and the tables of publications."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from openaffect import console
from openaffect.cli.models import print_report
from openaffect.cli.options import (
    AsJson,
    DatasetPath,
    Overwrite,
    Seed,
    Settings,
    app,
    read_list,
    warn_of_model_labels,
)
from openaffect.errors import InputError

if TYPE_CHECKING:
    from openaffect.replication.experiments import ReplicationResult

publications = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
_HELP = "Train and evaluate what a publication did, and put the results beside the published ones."
# Short help is what the list of commands shows; the parser would cut the other.
app.add_typer(
    publications, name="replicate", help=_HELP, short_help=_HELP, rich_help_panel="Replicate"
)

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
    from openaffect.demo import run_demo

    console.note(_DEMO_TIME)
    hint = "the same command with --resume goes on from here"
    with console.resumable(hint), console.show_progress() as on_progress:
        page = run_demo(
            folder,
            faces=faces,
            epochs=epochs,
            seed=seed,
            overwrite=overwrite,
            resume=resume,
            on_progress=on_progress,
        )
    console.say(f"done: open {page} in a browser")


@app.command("cross-validate")
def cross_validate(
    dataset: DatasetPath,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder to make, or that of an earlier call.")
    ],
    recipe: Annotated[
        str, typer.Option(metavar="NAME", help="A recipe's name, or a .toml file.")
    ] = "resnet-small-imbalanced",
    settings: Settings = None,
    folds: Annotated[int, typer.Option(help="Number of folds.", min=2)] = 5,
    seed: Seed = 0,
    json: AsJson = False,
) -> None:
    """Score a recipe on every face, each by a model that has not seen its group, to DIR/report.

    The same call goes on after a kill, fold by fold.

    Example: openaffect cross-validate fer folds --recipe resnet-small-weighted-loss
    """
    from openaffect.dataset import open_dataset
    from openaffect.replication.cross_validation import cross_validate
    from openaffect.training import load_recipe

    chosen, opened = load_recipe(recipe, settings or []), open_dataset(dataset)
    warn_of_model_labels(opened, split=None)
    hint = "the same command goes on from here"
    with console.resumable(hint), console.show_progress() as on_progress:
        report = cross_validate(
            opened, folder, chosen, folds=folds, seed=seed, on_progress=on_progress
        )
    if json:
        console.print_json(report.to_dict())
        return
    print_report(report)
    console.say(f"the whole report: {folder / 'report' / 'report.html'}")


@publications.command()
def affectnet2017(
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
    """The tables of the AffectNet paper (2017): every baseline, ours beside the published.

    The page is DIR/affectnet2017.html.
    The same call goes on after a kill, row by row.

    Example: openaffect replicate affectnet2017 affectnet tables --rows weighted-loss,svm
    """
    from openaffect.dataset import open_dataset
    from openaffect.replication.affectnet2017 import replicate_affectnet2017

    opened = open_dataset(dataset)
    warn_of_model_labels(opened)
    with console.show_progress() as on_progress:
        result = replicate_affectnet2017(
            opened,
            folder,
            rows=read_list(rows),
            settings=settings or (),
            split=split,
            predictions=_read_files(predictions),
            draws=draws,
            rounds=rounds,
            overwrite=overwrite,
            on_progress=on_progress,
        )
    _finish(result)


@publications.command()
def giguere2020(
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
    """Tables 3 to 7 of Giguere 2020 (six emotions), ours beside the published.

    The page is DIR/giguere2020.html.
    The same call goes on after a kill, row by row.

    Example: openaffect replicate giguere2020 affectnet tables --tables 3,5
    """
    from openaffect.dataset import open_dataset
    from openaffect.replication.giguere2020 import replicate_giguere2020

    opened = open_dataset(dataset)
    warn_of_model_labels(opened)
    with console.show_progress() as on_progress:
        result = replicate_giguere2020(
            opened,
            folder,
            tables=read_list(tables),
            settings=settings or (),
            split=split,
            draws=draws,
            rounds=rounds,
            overwrite=overwrite,
            on_progress=on_progress,
        )
    _finish(result)


def _finish(result: ReplicationResult) -> None:
    """Say where the page is and what failed; a failed row is exit status 1."""
    console.say(f"done: open {result.page} in a browser")
    for outcome in result.failed:
        console.fail(f"{outcome.row.title}: {outcome.reason}")
    if result.failed:
        raise typer.Exit(1)


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
