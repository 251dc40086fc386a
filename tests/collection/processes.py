"""What processes of their own run; a module that they can import."""

from __future__ import annotations

import contextlib
from pathlib import Path

from openaffect import console
from openaffect.collection.collecting import collect_images
from openaffect.project import open_project


def run_collect(path: Path, port: int, *, shown: bool = False) -> None:
    """Download what waits in a project from this computer, as the command would."""
    with (
        open_project(path) as project,
        console.resumable("again") if shown else contextlib.nullcontext(),
        console.show_progress() as on_progress,
    ):
        collect_images(project, allow={("127.0.0.1", port)}, on_progress=on_progress)
