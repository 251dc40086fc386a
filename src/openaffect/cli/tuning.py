"""Parameter search."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from openaffect import console
from openaffect.cli.options import AsJson, DatasetPath, Seed, Settings, app
from openaffect.errors import InputError

if TYPE_CHECKING:
    from openaffect.training.moment import Moment
    from openaffect.training.tuning import Study, Trial

_SHOWN = 10  # trials in the table


@app.command()
def tune(
    dataset: DatasetPath,
    study: Annotated[
        Path, typer.Argument(metavar="STUDY", help="The study folder to make or go on with.")
    ],
    recipe: Annotated[
        str, typer.Option(metavar="NAME", help="A recipe's name, or a .toml file.")
    ] = "resnet-small-imbalanced",
    search: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUES", help="key=low..high, key=low..high:log or key=a,b,c."),
    ] = None,
    space: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The search space as a TOML file.")
    ] = None,
    settings: Settings = None,
    trials: Annotated[int, typer.Option(help="Total number of trials.", min=1)] = 20,
    minutes: Annotated[
        float | None, typer.Option(help="Start no new trial after this many minutes.")
    ] = None,
    keep: Annotated[
        str, typer.Option(help="Keep the weights of the best trial, or of all.")
    ] = "best",
    prune: Annotated[
        bool, typer.Option("--prune/--no-prune", help="Prune trials below the median.")
    ] = True,
    seed: Seed = 0,
    json: AsJson = False,
) -> None:
    """Search the values of a recipe that train best; the same command goes on after a kill.

    Example: openaffect tune fer study --search learning_rate=1e-4..1e-1:log --trials 30
    """
    from openaffect.dataset import open_dataset
    from openaffect.training import load_recipe
    from openaffect.training.tuning import tune
    from openaffect.training.tuning.space import (
        default_space,
        describe_space,
        parse_space,
        read_space,
    )

    if keep not in ("best", "all"):
        raise InputError(f"expected --keep best or all, but got '{keep}'")
    chosen = load_recipe(recipe, settings or [])
    wanted = dict(read_space(space, chosen)) if space is not None else {}
    if search:
        wanted |= parse_space(search, chosen)
    if not wanted:
        wanted = dict(default_space(chosen))
        console.note(f"searching {describe_space(wanted)}; choose others with --search")
    opened = open_dataset(dataset)
    with _progress(trials) as show:
        found = tune(
            opened,
            study,
            chosen,
            space=wanted,
            trials=trials,
            minutes=minutes,
            seed=seed,
            keep=keep,  # type: ignore[arg-type]
            prune=prune,
            show=show,
        )
    if json:
        console.print_json(found.to_dict())
        return
    _print_study(found, dataset)


@contextlib.contextmanager
def _progress(count: int) -> Iterator[Callable[[Trial, Moment | None], None]]:
    """On stderr: what a trial tries, its training, how it ended."""
    from openaffect.training.tuning.space import show_value

    with contextlib.ExitStack() as stack:
        bars: dict[int, Callable[[Moment], None]] = {}

        def show(trial: Trial, moment: Moment | None) -> None:
            if moment is None:
                stack.close()
                console.note(f"trial {trial.number}: {_ending(trial)}")
                return
            if trial.number not in bars:
                pairs = (f"{key}={show_value(value)}" for key, value in trial.settings.items())
                console.note(f"trial {trial.number} of {count}: {' '.join(pairs)}")
                bar = console.training_bar(f"trial {trial.number}")
                bars[trial.number] = stack.enter_context(bar)
            bars[trial.number](moment)

        yield show


def _ending(trial: Trial) -> str:
    if trial.value is None:
        return f"{trial.state}: {trial.reason}" if trial.reason else trial.state
    return f"{trial.state}, {trial.value:.4f} after epoch {trial.epoch}"


def _print_study(found: Study, dataset: Path) -> None:
    from openaffect.training.tuning.space import show_value

    rows = [
        [t.number, f"{t.value:.4f}", t.epoch, *(show_value(t.settings[key]) for key in found.space)]
        for t in found.ranked[:_SHOWN]
    ]
    console.print_table(["trial", found.metric, "epoch", *found.space], rows)
    console.note(f"the whole search: {found.folder / 'report.html'}")
    best = shlex.quote(str(found.folder / "best.toml"))
    console.say(f"train the best: openaffect train {shlex.quote(str(dataset))} RUN --recipe {best}")
