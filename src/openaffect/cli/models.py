"""Models: trained, tuned, used for predictions, evaluated, compared, described."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from openaffect import console
from openaffect.cli import _card_options, _tune_output
from openaffect.cli.options import (
    AsJson,
    Crew,
    DatasetPath,
    Device,
    Engine,
    Overwrite,
    RayAddress,
    Seed,
    Settings,
    app,
    open_chosen_model,
    use_engine,
    warn_of_model_labels,
)
from openaffect.errors import DestinationExists, InputError
from openaffect.progress import relabel
from openaffect.texts import counted

if TYPE_CHECKING:
    from openaffect.reports import Report
    from openaffect.reports.contents import Score

_NEEDED = ("--size", "--channels", "--scale", "--mean", "--std", "--margin", "--license")


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
    warn_of_model_labels(opened)
    if resume and not (run / "recipe.toml").is_file():
        raise InputError(
            f"there is no run to resume at {run}; check its name, or leave out --resume to begin"
        )
    hint = "the same command with --resume goes on from here"
    with console.resumable(hint), console.show_progress() as on_progress:
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
            on_progress=relabel(on_progress, name=chosen.name),
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
    workers: Crew = None,
    engine: Engine = "threads",
    ray_address: RayAddress = None,
    device: Device = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Resume an unfinished run.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """A model's predictions for every face of a dataset.

    The rows are kept beside the file until it is whole, so that a run that was interrupted can
    be resumed; the table is never in memory as a whole. With --engine processes or ray each worker
    predicts with one thread; the computers of a Ray cluster read images and model themselves.

    Example: openaffect predict run fer -o predictions.parquet
    """
    from openaffect.streamed_inference import predict_to_file
    from openaffect.unfinished import refuse_unfinished

    going_on = refuse_unfinished(output, resume=resume, overwrite=overwrite)
    if output.exists() and not (going_on or overwrite):
        raise DestinationExists(output)  # before the model is opened
    loaded = open_chosen_model(model, device)
    hint = "the same command with --resume goes on from here"
    with (
        use_engine(engine, ray_address),
        console.resumable(hint),
        console.show_progress("predicting") as on_progress,
    ):
        made = predict_to_file(
            loaded,
            dataset,
            output,
            split=split,
            resume=resume,
            overwrite=overwrite,
            batch_size=batch_size,
            workers=workers,
            engine=engine,
            ray_address=ray_address,
            on_progress=on_progress,
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
    warn_of_model_labels(opened)
    with console.show_progress() as on_progress:
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
            on_progress=on_progress,
        )
    if json:
        console.print_json(found.to_dict())
        return
    _tune_output.print_study(found, dataset)


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
    """A model's card, checked against its golden sample; or with -o, a card for an outside model.

    Example: openaffect card theirs.onnx -o ours.onnx --labels 8 --expression "output[0:8]"
    --scores logits --affect "output[8:10]" --size 224 --channels rgb --scale 255
    --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --margin 0.1 --license Apache-2.0
    """
    if output is None:
        _card_options.print_card(model, json)
        return
    from openaffect.external_models import IOSpec, inspect_graph, wrap_model
    from openaffect.faces.crops import CropRule

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
            f"the graph has {inspect_graph(model)}"
        )
    made = wrap_model(
        model,
        output,
        IOSpec(
            size=_card_options.parse_size(str(size)),
            channels=str(channels),
            scale=float(scale or 0),
            mean=_card_options.parse_numbers("--mean", str(mean)),
            std=_card_options.parse_numbers("--std", str(std)),
            layout=layout,
            input=input,
            expression=expression,
            scores=scores or "probabilities",
            affect=affect,
        ),
        name=name or Path(model).stem,
        labels=_card_options.parse_labels(labels) if expression is not None and labels else (),
        crop=CropRule(margin=float(margin or 0)),
        license=str(license),
        notes=notes,
        overwrite=overwrite,
    )
    console.note(f"adopted: {output}")
    _card_options.print_card(made.path, json)


@app.command()
def weights(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Such as yunet.")] = None,
) -> None:
    """Fetch a weights file (address and SHA-256 are pinned); without a name, list them.

    Example: openaffect weights yunet
    """
    from openaffect.weights import WEIGHTS, download_weights, find_weights, weights_folder

    if name is not None:
        console.say(f"{name}: {download_weights(name)}")
        return
    rows = [
        [key, "here" if find_weights(key) else "missing", known.license, known.purpose]
        for key, known in WEIGHTS.items()
    ]
    console.print_table(["name", "state", "license", "purpose"], rows)
    console.say(f"folder: {weights_folder()}")


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
        ceiling = report.human_ceiling
        if ceiling is not None:
            rows.insert(1, ["human_ceiling", _interval(ceiling), "–"])
        console.print_table(["metric", "orig [95 %]", "norm [95 %]"], rows)
        if ceiling is not None and ceiling.n < protocol.rows:
            console.say(
                f"human_ceiling is of {counted(ceiling.n, 'face')} with raters; accuracy there: "
                f"{_interval(ceiling.accuracy)}"
            )
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
