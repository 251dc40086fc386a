"""The command line: parse, call, print."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

import openaffect
from openaffect import console
from openaffect.errors import InputError, OpenAffectError

app = typer.Typer(
    name="openaffect",
    help="The open implementation of the AffectNet system: expression, valence and arousal.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Seed = Annotated[int, typer.Option(help="Of everything random.", min=0)]
DatasetPath = Annotated[Path, typer.Argument(metavar="DATASET", help="A dataset folder.")]
Workers = Annotated[int | None, typer.Option(help="Threads; one a processor by default.", min=1)]


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        console.say(f"openaffect {openaffect.__version__}")
        raise typer.Exit


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make.")],
    faces: Annotated[int, typer.Option(help="Drawn faces to learn from.", min=200)] = 3000,
    epochs: Annotated[int, typer.Option(help="Of each training.", min=1)] = 8,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """The whole pipeline, offline, on drawn faces, to DIR/report.html.

    Example: openaffect demo demo
    """
    from openaffect.pipelines.demo import run_demo

    page = run_demo(
        folder,
        faces=faces,
        epochs=epochs,
        seed=seed,
        overwrite=overwrite,
        bar=console.progress_bar,
        training_bar=console.training_bar,
        say=console.note,
    )
    console.say(f"done: open {page} in a browser")


@app.command()
def draw(
    number: Annotated[int, typer.Argument(metavar="N", help="How many faces.", min=1)],
    dataset: Annotated[Path, typer.Argument(metavar="DATASET", help="The dataset to make.")],
    seed: Seed = 0,
    size: Annotated[int, typer.Option(help="Side of the pictures in pixels.")] = 256,
    workers: Workers = None,
    overwrite: Overwrite = False,
) -> None:
    """Drawn faces as a dataset: boxes, landmarks, expression, valence and arousal are exact.

    Example: openaffect draw 100 drawn --seed 1
    """
    from openaffect.pipelines.drawing import draw_dataset, even_counts

    with console.progress_bar("drawing", number) as progress:
        made = draw_dataset(
            dataset,
            {None: even_counts(number)},
            seed=seed,
            size=size,
            workers=workers,
            overwrite=overwrite,
            progress=progress,
        )
    console.say(f"{len(made):,} drawn faces in {dataset}")


@app.command("import")
def import_(
    format: Annotated[str, typer.Argument(metavar="FORMAT", help="Such as ferplus or csv.")],
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A folder, file or archive.")],
    dataset: Annotated[Path, typer.Argument(metavar="DATASET", help="The dataset to make.")],
    images: Annotated[
        str | None,
        typer.Option(help="copy or link; archives are unpacked, folders linked by default."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the dataset.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="KEY=VALUE", help="An option of the format."),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="ferplus: plurality or majority of the votes.")
    ] = None,
    shareable: Annotated[
        bool, typer.Option("--shareable", help="Pictures may be shown in reports.")
    ] = False,
    json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Labelled faces of a known format into a dataset; docs/formats.md has the formats.

    Example: openaffect import ferplus ferplus.zip fer --label majority
    """
    from openaffect.formats import import_dataset

    options = _key_values(option)
    if label is not None:
        options["label"] = label
    with console.progress_bar("importing") as progress:
        made, summary = import_dataset(
            format,
            source,
            dataset,
            images=images,
            name=name,
            shareable=shareable,
            overwrite=overwrite,
            progress=progress,
            **options,
        )
    if json:
        console.print_json(
            {
                "dataset": str(dataset),
                "rows": summary.rows,
                "rejected": dict(summary.rejected),
                "warnings": dict(summary.warnings),
                "notes": summary.notes,
            }
        )
        return
    console.say(f"{summary.rows:,} faces in {dataset}, pictures in {made.images_folder}")
    _print_classes(dataset)
    for reason, count in summary.rejected.most_common():
        console.warn(f"{count:,} rows rejected: {reason} (named in {dataset}/rejected.csv)")
    for what, count in summary.warnings.most_common():
        console.warn(f"{count:,} faces kept although: {what}")
    for text in summary.notes:
        console.note(f"note: {text}")


@app.command("export")
def export(
    format: Annotated[str, typer.Argument(metavar="FORMAT", help="Such as affectnet8 or csv.")],
    dataset: DatasetPath,
    destination: Annotated[Path, typer.Argument(metavar="DEST", help="The folder to make.")],
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="KEY=VALUE", help="An option of the format."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """A dataset in another format's own layout.

    Example: openaffect export affectnet8 fer fer-as-affectnet8
    """
    from openaffect.dataset import open_dataset
    from openaffect.formats import export_dataset

    summary = export_dataset(
        format, open_dataset(dataset), destination, overwrite=overwrite, **_key_values(option)
    )
    console.say(f"{summary.rows:,} faces in {destination}")
    for reason, count in summary.left_out.most_common():
        console.warn(f"{count:,} rows left out: {reason}")
    if summary.dropped:
        console.warn(f"columns that {format} cannot hold: {', '.join(summary.dropped)}")
    for text in summary.notes:
        console.note(f"note: {text}")


@app.command()
def info(
    path: Annotated[Path, typer.Argument(metavar="ANYTHING", help="A file or folder.")],
    json: AsJson = False,
) -> None:
    """What a dataset, model, run, predictions or report is.

    Example: openaffect info fer
    """
    from openaffect.pipelines.description import describe

    facts = describe(path)
    if json:
        console.print_json(facts)
        return
    classes = facts.pop("classes", None)
    log = facts.pop("log", None)
    console.print_facts(_flatten(facts))
    if classes and facts["kind"] == "dataset":
        console.print_counts(classes)
    if log:
        console.print_table(list(log[0]), [list(row.values()) for row in log])


@app.command()
def check(
    dataset: DatasetPath,
    write: Annotated[
        Path | None, typer.Option(metavar="CLEAN", help="Write a clean dataset here.")
    ] = None,
    near: Annotated[
        int, typer.Option(help="Bits of 64 by which copies may differ.", min=0, max=8)
    ] = 4,
    duplicates: Annotated[str, typer.Option(help="With --write: keep or drop copies.")] = "keep",
    leaks: Annotated[
        str, typer.Option(help="With --write: keep or drop training copies of scored faces.")
    ] = "drop",
    workers: Workers = None,
    json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Broken files, duplicates, leaks between splits, labels at odds with valence/arousal.

    Example: openaffect check fer --write fer-clean
    """
    from openaffect.curation import check_dataset, clean_dataset
    from openaffect.dataset import open_dataset

    opened = open_dataset(dataset)
    with console.progress_bar("checking", len(opened)) as progress:
        result = check_dataset(opened, near=near, workers=workers, progress=progress)
    if json:
        console.print_json(result.to_dict())
    else:
        console.print_table(["found", "faces"], list(result.summary().items()))
        for face in result.broken[:10]:
            console.warn(f"{face.face_id}: {face.reason}")
        if len(result.broken) > 10:
            console.warn(f"… and {len(result.broken) - 10:,} more broken pictures (--json has all)")
        if not result.complete:
            console.warn("near copies are so many that not every candidate was compared")
    if write is not None:
        clean = clean_dataset(
            opened, result, write, duplicates=duplicates, leaks=leaks, overwrite=overwrite
        )
        text = f"{len(clean):,} of {len(opened):,} faces in {write}"
        (console.note if json else console.say)(text)


@app.command()
def split(
    dataset: DatasetPath,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The dataset to make.")],
    validation: Annotated[str | None, typer.Option(help="500-per-class, 10% or 1000.")] = None,
    test: Annotated[str | None, typer.Option(help="500-per-class, 10% or 1000.")] = None,
    labels: Annotated[
        str | None, typer.Option(help="The classes that are drawn: 7, 8, 11 or names.")
    ] = None,
    redo: Annotated[
        bool, typer.Option("--redo", help="Draw a split anew that is already there.")
    ] = False,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Validation and test drawn from the training faces: by class, by whole groups, seeded.

    Example: openaffect split fer-clean fer-split --test 10% --validation 20-per-class
    """
    from openaffect.curation import plan_split, split_dataset
    from openaffect.dataset import open_dataset

    opened = open_dataset(dataset)
    wishes: dict[str, Any] = {
        "validation": validation,
        "test": test,
        "labels": labels,
        "redo": redo,
        "seed": seed,
    }
    split_dataset(opened, out, **wishes, overwrite=overwrite)
    _print_classes(out)
    plan = plan_split(opened, **wishes)
    for name, wanted in plan.wanted.items():
        for label, count in wanted.items():
            drawn = plan.drawn[name].get(label, 0)
            if drawn < count:
                console.warn(f"{name} has {drawn} of {count} {label}: groups are not taken apart")
    if plan.crossing:
        console.warn(
            f"{len(plan.crossing):,} groups lie in several splits that were not drawn anew, "
            f"first {plan.crossing[0]} (--redo draws them anew)"
        )


@app.command()
def train(
    dataset: DatasetPath,
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder to make.")],
    recipe: Annotated[
        str, typer.Option(metavar="NAME", help="A recipe's name, or a .toml file.")
    ] = "resnet-small-imbalanced",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Set a key of the recipe otherwise."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on in a run.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Train a recipe on the split `train`, into a run with its model.onnx.

    Example: openaffect train fer run --recipe resnet-small-weighted-loss --set epochs=8
    """
    from openaffect.dataset import open_dataset
    from openaffect.training import load_recipe, train

    chosen = load_recipe(recipe, settings or [])
    opened = open_dataset(dataset)
    with console.training_bar(chosen.name) as show:
        model = train(opened, run, chosen, resume=resume, overwrite=overwrite, show=show)
    console.say(f"trained: {model}")


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A run, or an .onnx file.")],
    dataset: DatasetPath,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="PREDICTIONS", help="The .parquet to make.")
    ],
    split: Annotated[str | None, typer.Option(help="Only this split.")] = None,
    batch_size: Annotated[int, typer.Option(help="Faces the model sees at once.", min=1)] = 64,
    workers: Workers = None,
    overwrite: Overwrite = False,
) -> None:
    """A model's predictions for every face of a dataset.

    Example: openaffect predict run fer -o predictions.parquet
    """
    from openaffect.dataset import open_dataset
    from openaffect.errors import DestinationExists
    from openaffect.inference import predict_dataset
    from openaffect.model import open_model

    if output.exists() and not overwrite:
        raise DestinationExists(output)  # before the work, not after it
    loaded, opened = open_model(model), open_dataset(dataset)
    if split is not None:
        opened = opened.where(split=split)
        if not len(opened):
            raise InputError(f"{dataset} has no face in the split '{split}'")
    with console.progress_bar("predicting", len(opened)) as progress:
        made = predict_dataset(
            loaded, opened, batch_size=batch_size, workers=workers, progress=progress
        )
    made.save(output, overwrite=overwrite)
    failed = [n for n, error in enumerate(made.errors) if error is not None]
    console.say(f"{len(made):,} predictions in {output}")
    if failed:
        first = failed[0]
        console.warn(f"{len(failed):,} faces failed, first {made.ids[first]}: {made.errors[first]}")


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
    _print_report(report.data)
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
def analyze(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE…", help="Photos, folders, patterns, .txt lists."),
    ],
    model: Annotated[Path, typer.Option(metavar="MODEL", help="A run, or an .onnx file.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A .parquet, .csv or .jsonl file to make."),
    ] = None,
    drawings: Annotated[
        Path | None, typer.Option("--draw", metavar="DIR", help="Draw the results here.")
    ] = None,
    detector: Annotated[str, typer.Option(help="auto, yunet or haar.")] = "auto",
    landmarks: Annotated[
        str | None, typer.Option(help="dlib finds 68 landmarks (extra landmarks).")
    ] = None,
    min_confidence: Annotated[
        float, typer.Option(help="Below it no expression is named.", min=0, max=1)
    ] = 0.0,
    min_score: Annotated[
        float | None, typer.Option(help="Leave out faces below it.", min=0, max=1)
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Faces the model sees at once.", min=1)] = 32,
    workers: Workers = None,
    json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Every face of photos: box, expression, valence and arousal, one row a face.

    Example: openaffect analyze photo.jpg --model run --draw out
    """
    from openaffect.analysis import analyze, draw_folder
    from openaffect.analysis.table import check_suffix
    from openaffect.errors import DestinationExists
    from openaffect.faces import resolve_detector
    from openaffect.model import open_model

    if output is not None:
        check_suffix(output)
        if output.exists() and not overwrite:
            raise DestinationExists(output)
    chosen = resolve_detector(detector)
    if detector == "auto":
        hint = "" if chosen == "yunet" else " (`openaffect weights yunet` fetches a better one)"
        console.note(f"detector: {chosen}{hint}")
    if landmarks is not None:
        _print_notice(landmarks)
    with console.progress_bar("analysing") as progress:
        result = analyze(
            sources,
            open_model(model),
            detector=chosen,
            landmarks=landmarks,
            min_confidence=min_confidence,
            min_score=min_score,
            batch_size=batch_size,
            workers=workers,
            progress=progress,
        )
    if output is not None:
        result.save(output, overwrite=overwrite)
        console.note(f"{len(result):,} rows in {output}")
    elif json:
        console.print_json(result.table.drop_columns(["landmarks"]).to_pylist())
    else:
        _print_faces(result.table.to_pylist())
    if drawings is not None:
        made = draw_folder(result, drawings, overwrite=overwrite)
        drawn = sum(path is not None for path in made.values())
        console.note(f"{drawn:,} pictures in {drawings}")


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
        [key, "here" if find_weights(key) else "missing", known.licence, known.purpose]
        for key, known in WEIGHTS.items()
    ]
    console.print_table(["name", "state", "licence", "purpose"], rows)
    console.say(f"folder: {weights_folder()}")


def _key_values(options: list[str] | None) -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    for text in options or []:
        key, sign, value = text.partition("=")
        if not sign:
            raise InputError(f"expected an option as key=value, but got '{text}'")
        pairs[key.strip().replace("-", "_")] = value.strip()
    return pairs


def _print_classes(dataset: Path) -> None:
    from openaffect.pipelines.description import describe

    console.print_counts(describe(dataset)["classes"])


def _print_notice(landmarker: str) -> None:
    from openaffect import lookup

    module = lookup.load("openaffect.faces.landmarkers", landmarker, "landmarker")
    console.note(module.NOTICE)


def _print_faces(rows: list[dict[str, Any]]) -> None:
    table: list[list[object]] = []
    for row in rows:
        if row["status"] != "ok":
            table.append([row["source"], row["error"] or row["status"], "", "", "", ""])
            continue
        box = " ".join(f"{value:.0f}" for value in row["box"])
        affect = [row.get(key) for key in ("valence", "arousal")]
        table.append(
            [
                row["source"],
                row["expression"] or "–",
                *(
                    "" if value is None else f"{value:.2f}"
                    for value in (row["confidence"], *affect)
                ),
                box,
            ]
        )
    console.print_table(["source", "expression", "confidence", "valence", "arousal", "box"], table)


def _print_report(data: dict[str, Any]) -> None:
    protocol = data["protocol"]
    console.say(
        f"{protocol['rows']:,} faces of {protocol['dataset']}, split {protocol['split']}, "
        f"{len(protocol['labels'])} expressions, {protocol['n_failed']:,} failed"
    )
    for text in data["warnings"]:
        console.warn(text)
    if data["categorical"]:
        rows = [
            [name, *(_interval(scores.get(kind)) for kind in ("orig", "norm"))]
            for name, scores in data["categorical"].items()
        ]
        console.print_table(["metric", "orig [95 %]", "norm [95 %]"], rows)
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


def _flatten(facts: dict[str, Any], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in facts.items():
        if isinstance(value, dict):
            flat.update(_flatten(value, f"{prefix}{key}."))
        elif isinstance(value, list):
            flat[prefix + key] = ", ".join(map(str, value))
        elif value is not None and value != "":
            flat[prefix + key] = value
    return flat


def command_names() -> list[str]:
    """The names of all commands, sorted."""
    infos = app.registered_commands
    return sorted(info.name or str(getattr(info.callback, "__name__", "")) for info in infos)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit status: 0 done, 1 a user's error, 2 wrong usage."""
    try:
        app(args=arguments, prog_name="openaffect")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BrokenPipeError:
        # The reader of a pipe has gone; nothing more can be printed, at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OpenAffectError as error:
        console.fail(str(error))
        return 1
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        console.fail(f"{error.strerror or error}{place}")
        return 1
    return 0
