"""Models in use: photos, videos and cameras analyzed, a web service."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from openaffect import console
from openaffect.cli import _analyze_output
from openaffect.cli.options import (
    AsJson,
    Crew,
    Device,
    Engine,
    ModelName,
    Overwrite,
    RayAddress,
    app,
    open_chosen_model,
    use_engine,
)
from openaffect.errors import InputError
from openaffect.web.hosts import is_loopback
from openaffect.web.limits import Limits

_DEFAULT = Limits()
_TOKEN_VARIABLE = "OPENAFFECT_TOKEN"


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
        bool,
        typer.Option("--full-size", help="Search every frame at full size (slower)."),
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
    workers: Crew = None,
    engine: Engine = "threads",
    ray_address: RayAddress = None,
    device: Device = "auto",
    json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Every face of photos and videos: box, expression, valence and arousal, one row per face.

    With --engine processes or ray each worker does all with a photo, with one thread; videos and cameras
    need threads.

    Example: openaffect analyze photo.jpg film.mp4 --overlay out
    """
    task = _analyze_output.Task(
        source=_analyze_output.choose_source(sources, camera),
        output=output,
        resume=resume,
        overlay=overlay,
        report=report,
        json=json,
        overwrite=overwrite,
        workers=workers,
    )
    task.check()
    if engine == "ray" and output is None:
        raise InputError("--engine ray needs -o, a file for the rows")
    chosen = _choose_detector(detector)
    if landmarks is not None:
        _print_notice(landmarks)
    with use_engine(engine, ray_address):
        _analyze_output.run(
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
                "engine": engine,
                "ray_address": ray_address,
            },
        )


@app.command()
def serve(
    model: ModelName = "default",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 for any free one.", min=0, max=65535)] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="A file with the token that clients must send."),
    ] = None,
    detector: Annotated[str, typer.Option(help="auto, yunet or haar.")] = "auto",
    max_bytes: Annotated[
        int, typer.Option(help="Largest request, in bytes.", min=1)
    ] = _DEFAULT.max_bytes,
    max_pixels: Annotated[
        int, typer.Option(help="Largest image, in pixels.", min=1)
    ] = _DEFAULT.max_pixels,
    max_files: Annotated[
        int, typer.Option(help="Most images per request.", min=1)
    ] = _DEFAULT.max_files,
    max_faces: Annotated[
        int, typer.Option(help="Most faces per image; the largest are kept.", min=1)
    ] = _DEFAULT.max_faces,
    queue: Annotated[
        int,
        typer.Option(
            help="Images that may wait or be processed at once; more get status 503.", min=1
        ),
    ] = _DEFAULT.queue,
    batch_size: Annotated[
        int, typer.Option(help="Faces the model sees at once.", min=1)
    ] = _DEFAULT.batch,
    batch_wait: Annotated[
        float,
        typer.Option(
            metavar="MS", help="Milliseconds that a face waits for a batch to fill.", min=0
        ),
    ] = _DEFAULT.batch_wait_ms,
    max_connections: Annotated[
        int, typer.Option(help="Open connections; one more closes the one idle longest.", min=1)
    ] = _DEFAULT.connections,
    origin: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Allow pages from this origin to call the service."),
    ] = None,
    device: Device = "auto",
    workers: Annotated[
        int, typer.Option(help="Threads that decode images; 0 for one per CPU core.", min=0)
    ] = _DEFAULT.workers,
) -> None:
    """A REST service for a model, and a page to try it with pictures or a camera.

    A token that clients must send is read from $OPENAFFECT_TOKEN or --token-file.

    Example: openaffect serve
    """
    from openaffect.web import serve

    limits = Limits(
        max_bytes=max_bytes,
        max_pixels=max_pixels,
        max_files=max_files,
        max_faces=max_faces,
        queue=queue,
        batch=batch_size,
        batch_wait_ms=batch_wait,
        workers=workers,
        held_bytes=max(_DEFAULT.held_bytes, max_bytes),
        connections=max_connections,
    )
    token = _read_token(token_file)
    chosen = _choose_detector(detector)
    if token is None and not is_loopback(host):
        console.warn(
            f"everybody who can reach {host} may use this service; "
            f"set {_TOKEN_VARIABLE} or --token-file to ask for a token"
        )
    serve(
        open_chosen_model(model, device),
        host=host,
        port=port,
        detector=chosen,
        token=token,
        limits=limits,
        origins=tuple(origin or ()),
        ready=lambda address: console.say(f"serving at {address} (Ctrl-C ends it)"),
    )


def _read_token(path: Path | None) -> str | None:
    """The token, or None where none was set; an empty one is a mistake, not no token."""
    if path is not None:
        token, where = path.read_text(encoding="utf-8").strip(), str(path)
    elif _TOKEN_VARIABLE in os.environ:
        token, where = os.environ[_TOKEN_VARIABLE].strip(), f"${_TOKEN_VARIABLE}"
    else:
        return None
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(f"expected a token of ASCII letters, digits and signs in {where}")
    return token


def _choose_detector(name: str) -> str:
    """The detector that is used; which one is said where nobody named it."""
    from openaffect.faces.finding import resolve_detector

    chosen = resolve_detector(name)
    if name == "auto":
        hint = "" if chosen == "yunet" else " (`openaffect weights yunet` fetches a better one)"
        console.note(f"detector: {chosen}{hint}")
    return chosen


def _print_notice(landmarker: str) -> None:
    from openaffect import lookup

    module = lookup.load("openaffect.faces.landmarkers", landmarker, "landmarker")
    console.note(module.NOTICE)
