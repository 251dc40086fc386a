"""Whole pipelines: the demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from openaffect import console
from openaffect.cli.options import Overwrite, Seed, app


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
