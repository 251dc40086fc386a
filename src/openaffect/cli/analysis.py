"""Photos and videos analyzed; the weights files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from openaffect import console
from openaffect.cli.options import (
    AsJson,
    Device,
    ModelName,
    Overwrite,
    Workers,
    app,
    open_chosen_model,
)


@app.command()
def analyze(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE…",
            help="Photos, videos, folders, patterns, addresses, .txt lists.",
            show_default=False,
        ),
    ] = None,
    model: ModelName = "default",
    camera: Annotated[
        str | None,
        typer.Option(metavar="N", help="A camera by its number or address, until Ctrl-C."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A .parquet, .csv or .jsonl file to make."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume an interrupted run (needs -o).")
    ] = False,
    overlay: Annotated[
        Path | None,
        typer.Option(
            "--overlay",
            metavar="DIR",
            help="Write the images and videos with the results over them.",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="PAGE.html", help="A page with tracks and timelines."),
    ] = None,
    every: Annotated[int, typer.Option(help="Analyze every N-th video frame.", min=1)] = 1,
    smooth: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", help="Time constant of the smoothing of each track.", min=0
        ),
    ] = 0.0,
    patience: Annotated[
        int, typer.Option(help="Frames a track may miss before it ends.", min=0)
    ] = 30,
    full_size: Annotated[
        bool, typer.Option("--full-size", help="Search every frame at full size (slower).")
    ] = False,
    detector: Annotated[str, typer.Option(help="auto, yunet or haar.")] = "auto",
    landmarks: Annotated[
        str | None, typer.Option(help="dlib finds 68 landmarks (extra landmarks).")
    ] = None,
    min_confidence: Annotated[
        float, typer.Option(help="Leave the expression empty below this confidence.", min=0, max=1)
    ] = 0.0,
    min_score: Annotated[
        float | None, typer.Option(help="Leave out faces below this detection score.", min=0, max=1)
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Faces the model sees at once.", min=1)] = 32,
    workers: Workers = None,
    device: Device = "auto",
    json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Every face of photos and videos: box, expression, valence and arousal, one row per face.

    Example: openaffect analyze photo.jpg film.mp4 --overlay out
    """
    from openaffect.cli import analyzing
    from openaffect.faces.finding import resolve_detector

    task = analyzing.Task(
        source=analyzing.choose_source(sources, camera),
        output=output,
        resume=resume,
        overlay=overlay,
        report=report,
        json=json,
        overwrite=overwrite,
        workers=workers,
    )
    task.check()
    chosen = resolve_detector(detector)
    if detector == "auto":
        hint = "" if chosen == "yunet" else " (`openaffect weights yunet` fetches a better one)"
        console.note(f"detector: {chosen}{hint}")
    if landmarks is not None:
        _print_notice(landmarks)
    analyzing.run(
        task,
        open_chosen_model(model, device),
        {
            "detector": chosen,
            "landmarks": landmarks,
            "min_confidence": min_confidence,
            "min_score": min_score,
            "every": every,
            "smooth": smooth,
            "patience": patience,
            "full_size": full_size,
            "batch_size": batch_size,
            "workers": workers,
        },
    )


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


def _print_notice(landmarker: str) -> None:
    from openaffect import lookup

    module = lookup.load("openaffect.faces.landmarkers", landmarker, "landmarker")
    console.note(module.NOTICE)
