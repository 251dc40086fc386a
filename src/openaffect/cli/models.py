"""Models: trained, used for predictions, judged, compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from openaffect import console
from openaffect.cli.options import (
    AsJson,
    DatasetPath,
    Device,
    Overwrite,
    Seed,
    Settings,
    Workers,
    app,
    open_chosen_model,
)
from openaffect.errors import DestinationExists, InputError
from openaffect.texts import counted

if TYPE_CHECKING:
    from openaffect.reports import Report
    from openaffect.reports.contents import Score


class _TrainCommand(TyperCommand):
    """`train`, whose help ends with the keys of a recipe."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - typer's own types
        from openaffect.training.recipe import KEYS

        rows = [
            (f"{name}={key.default_text}", f"{key.description} ({key.expected})")
            for name, key in KEYS.items()
            if key.default is not None
        ]
        with formatter.section("Keys of a recipe, for --set, with their defaults"):
            formatter.write_dl(
                [(key.replace('"', ""), text.replace("`", "")) for key, text in rows]
            )


@app.command(cls=_TrainCommand)
def train(
    dataset: DatasetPath,
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder to make.")],
    recipe: Annotated[
        str, typer.Option(metavar="NAME", help="A recipe's name, or a .toml file.")
    ] = "resnet-small-imbalanced",
    settings: Settings = None,
    track: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Log to tensorboard, wandb or mlflow too."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume a run.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Train a recipe on the split `train`, into a run with its model.onnx.

    Example: openaffect train fer run --recipe resnet-small-imbalanced --set epochs=8
    """
    from openaffect.dataset import open_dataset
    from openaffect.training import RESUMABLE_OVERRIDES, load_recipe, train

    chosen = load_recipe(recipe, settings or [])
    opened = open_dataset(dataset)
    if resume and not (run / "recipe.toml").is_file():
        raise InputError(
            f"there is no run to resume at {run}; check its name, or leave out --resume to begin"
        )
    hint = "the same command with --resume goes on from here"
    with console.resumable(hint), console.training_bar(chosen.name) as show:
        model = train(
            opened,
            run,
            chosen,
            resume=resume,
            overwrite=overwrite,
            # Only what was asked for: a setting that was forgotten is told.
            overrides=[
                key for key in RESUMABLE_OVERRIDES if any(s.startswith(key) for s in settings or ())
            ],
            track=track or (),
            show=show,
        )
    console.say(f"trained: {model}")


@app.command()
def predict(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A run, an .onnx file, or default.")
    ],
    dataset: DatasetPath,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="PREDICTIONS", help="The .parquet to make.")
    ],
    split: Annotated[str | None, typer.Option(help="Only this split.")] = None,
    batch_size: Annotated[int, typer.Option(help="Faces the model sees at once.", min=1)] = 64,
    workers: Workers = None,
    device: Device = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Resume an unfinished run.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """A model's predictions for every face of a dataset.

    The rows are kept beside the file until it is whole, so that a run that was interrupted can
    be resumed; memory does not grow with the number of faces.

    Example: openaffect predict run fer -o predictions.parquet
    """
    from openaffect.streamed_inference import predict_to_file
    from openaffect.unfinished import refuse_unfinished

    going_on = refuse_unfinished(output, resume=resume, overwrite=overwrite)
    if output.exists() and not (going_on or overwrite):
        raise DestinationExists(output)  # before the model is opened
    loaded = open_chosen_model(model, device)
    hint = "the same command with --resume goes on from here"
    with console.resumable(hint), console.progress_bar("predicting") as progress:
        made = predict_to_file(
            loaded,
            dataset,
            output,
            split=split,
            resume=resume,
            overwrite=overwrite,
            batch_size=batch_size,
            workers=workers,
            progress=progress,
        )
    console.say(f"{counted(made.rows, 'prediction')} in {output}")
    if made.lost:
        console.warn(
            f"{made.lost} parts of the unfinished run were damaged; their faces were predicted again"
        )
    if made.warning is not None:
        console.warn(made.warning)
    if made.first_failure is not None:
        face_id, why = made.first_failure
        console.warn(f"{counted(made.failed, 'face')} failed, first {face_id}: {why}")


@app.command()
def evaluate(
    dataset: DatasetPath,
    predictions: Annotated[Path, typer.Argument(metavar="PREDICTIONS", help="A .parquet file.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="The report folder to make.")
    ],
    split: Annotated[
        str | None, typer.Option(help="The scored split; test if present, else validation.")
    ] = None,
    labels: Annotated[str | None, typer.Option(help="7, 8, 11 or names; 8 by default.")] = None,
    affect_rows: Annotated[
        str, typer.Option(help="Valence/arousal of the scored rows (labels), or of all.")
    ] = "labels",
    draws: Annotated[int, typer.Option(help="Balanced draws for Norm.", min=1)] = 200,
    rounds: Annotated[int, typer.Option(help="Bootstrap samples for intervals.", min=1)] = 1000,
    seed: Seed = 0,
    pictures: Annotated[
        bool | None,
        typer.Option("--pictures/--no-pictures", help="Show mistakes; as the dataset says."),
    ] = None,
    json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Score predictions: accuracy, F1, κ, α, AUC … Orig and Norm, RMSE, CORR, SAGR, CCC.

    Example: openaffect evaluate fer predictions.parquet -o report
    """
    from openaffect.dataset import open_dataset
    from openaffect.predictions import open_predictions
    from openaffect.reports import evaluate

    if output.exists() and not overwrite:
        raise DestinationExists(output)
    if affect_rows not in ("labels", "all"):
        raise InputError(f"expected --affect-rows labels or all, but got '{affect_rows}'")
    opened = open_dataset(dataset)
    report = evaluate(
        opened,
        open_predictions(predictions),
        split=split,
        labels=labels,
        affect_rows=affect_rows,  # type: ignore[arg-type]
        draws=draws,
        rounds=rounds,
        seed=seed,
    )
    page = report.save(output, dataset=opened, pictures=pictures, overwrite=overwrite)
    if json:
        console.print_json(report.to_dict())
        return
    print_report(report)
    console.say(f"the whole report: {page}")


@app.command()
def compare(
    reports: Annotated[list[Path], typer.Argument(metavar="REPORT…", help="Report folders.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="PAGE", help="Also write an .html page."),
    ] = None,
    rounds: Annotated[int, typer.Option(help="Bootstrap samples.", min=1)] = 1000,
    seed: Seed = 0,
    json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Reports side by side, with a paired bootstrap of their differences from the first.

    Example: openaffect compare report-a report-b
    """
    from openaffect.reports import compare, open_report

    result = compare(
        [open_report(path) for path in reports],
        names=[str(path) for path in reports],
        rounds=rounds,
        seed=seed,
    )
    if output is not None:
        result.save(output, overwrite=overwrite)
        console.note(f"the comparison as a page: {output}")
    if json:
        console.print_json(result.to_dict())
        return
    for table in result.tables():
        console.print_table(table.header, table.rows, table.title)
    for text in result.notes:
        console.note(f"note: {text}")


def print_report(report: Report) -> None:
    """What was scored, what to know of it, and the scores."""
    protocol, dimensional = report.protocol, report.dimensional
    console.say(
        f"{counted(protocol.rows, 'face')} of {protocol.dataset}, split {protocol.split}, "
        f"{len(protocol.labels)} expressions, {protocol.n_failed:,} failed"
    )
    for text in report.warnings:
        console.warn(text)
    if report.categorical is not None:
        rows = [
            [name, _interval(ways.orig), _interval(ways.norm)]
            for name, ways in report.categorical.items()
        ]
        console.print_table(["metric", "orig [95 %]", "norm [95 %]"], rows)
    if dimensional is not None:
        rows = [
            [name, _interval(dimensional.valence[name]), _interval(dimensional.arousal[name])]
            for name in ("rmse", "mae", "corr", "sagr", "ccc")
        ]
        console.print_table(["metric", "valence [95 %]", "arousal [95 %]"], rows)


def _interval(score: Score | None) -> str:
    if score is None or score.value is None:
        return "–"
    if score.low is None:
        return f"{score.value:.3f}"
    return f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]"
