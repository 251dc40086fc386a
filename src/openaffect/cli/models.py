"""Models: trained, used for predictions, judged, compared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

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
from openaffect.errors import InputError
from openaffect.texts import counted


@app.command()
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
    from openaffect.training import RESCUING, load_recipe, train

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
            change=[key for key in RESCUING if any(s.startswith(key) for s in settings or ())],
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
    overwrite: Overwrite = False,
) -> None:
    """A model's predictions for every face of a dataset.

    Example: openaffect predict run fer -o predictions.parquet
    """
    from openaffect.dataset import open_dataset
    from openaffect.errors import DestinationExists
    from openaffect.inference import predict_dataset

    if output.exists() and not overwrite:
        raise DestinationExists(output)  # before the work, not after it
    loaded, opened = open_chosen_model(model, device), open_dataset(dataset)
    if split is not None:
        opened = opened.where(split=split)
        if not len(opened):
            raise InputError(f"{dataset} has no face in the split '{split}'")
    with console.progress_bar("predicting", len(opened)) as progress:
        made = predict_dataset(
            loaded, opened, batch_size=batch_size, workers=workers, progress=progress
        )
    failed = [n for n, error in enumerate(made.errors) if error is not None]
    if failed and len(failed) == len(made):
        raise InputError(
            f"all {len(made):,} faces failed, so nothing is written; first {made.ids[0]}: "
            f"{made.errors[0]}"
        )
    made.save(output, overwrite=overwrite)
    console.say(f"{counted(len(made), 'prediction')} in {output}")
    learned = made.learned_warning()
    if learned is not None:
        console.warn(learned)
    if failed:
        first = failed[0]
        console.warn(
            f"{counted(len(failed), 'face')} failed, first {made.ids[first]}: {made.errors[first]}"
        )


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
    from openaffect.errors import DestinationExists
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
        console.print_json(report.data)
        return
    print_report(report.data)
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


def print_report(data: dict[str, Any]) -> None:
    """What was scored, what to know of it, and the scores."""
    protocol = data["protocol"]
    console.say(
        f"{counted(protocol['rows'], 'face')} of {protocol['dataset']}, split {protocol['split']}, "
        f"{len(protocol['labels'])} expressions, {protocol['n_failed']:,} failed"
    )
    for text in data["warnings"]:
        console.warn(text)
    if data["categorical"]:
        rows = [
            [name, *(_interval(scores.get(kind)) for kind in ("orig", "norm"))]
            for name, scores in data["categorical"].items()
        ]
        ceiling = data.get("human_ceiling")
        if ceiling:
            rows.insert(1, ["human_ceiling", _interval(ceiling), "–"])
        console.print_table(["metric", "orig [95 %]", "norm [95 %]"], rows)
        if ceiling and ceiling["n"] < protocol["rows"]:
            console.say(
                f"human_ceiling is of {counted(ceiling['n'], 'face')} with raters; accuracy there: "
                f"{_interval(ceiling['accuracy'])}"
            )
    if data["dimensional"]:
        names = ("rmse", "mae", "corr", "sagr", "ccc")
        rows = [
            [name, *(_interval(data["dimensional"][axis][name]) for axis in ("valence", "arousal"))]
            for name in names
        ]
        console.print_table(["metric", "valence [95 %]", "arousal [95 %]"], rows)


def _interval(score: dict[str, Any] | None) -> str:
    if score is None or score["value"] is None:
        return "–"
    if score["low"] is None:
        return f"{score['value']:.3f}"
    return f"{score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"
