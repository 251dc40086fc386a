"""Virtual environments of their own, for packages that cannot share one with the rest."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def make_environment(folder: Path, requirements: Sequence[str]) -> str | None:
    """Make a virtual environment; why it could not be made, or None.

    Args:
        folder: of the environment; one that is whole is left as it is.
        requirements: as `pip install` takes them.
    """
    ready = folder / "ready"
    if ready.exists():
        return None
    python = folder / "bin" / "python"
    uv = _find_uv()
    make = [sys.executable, "-m", "venv", str(folder)]
    install = (
        [uv, "pip", "install", "--quiet", "--python", str(python), *requirements]
        if uv
        else [str(python), "-m", "pip", "install", "--quiet", *requirements]
    )
    for command in (make, install):
        why = _run(command)
        if why is not None:
            return f"{requirements[0]} could not be installed: {why}"
    ready.touch()
    return None


def build_wheel(project: Path, folder: Path) -> tuple[Path | None, str | None]:
    """Build the wheel of a project; its path, or None and why it could not be built.

    Args:
        project: the folder of its `pyproject.toml`.
        folder: where to put the wheel.
    """
    uv = _find_uv()
    build = (
        [uv, "build", "--quiet", "--wheel", "--out-dir", str(folder), str(project)]
        if uv
        else [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
            *("--wheel-dir", str(folder), str(project)),
        ]
    )
    why = _run(build)
    if why is not None:
        return None, f"the wheel of {project.name} could not be built: {why}"
    (wheel,) = folder.glob("*.whl")
    return wheel, None


def _find_uv() -> str | None:
    return shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


def _run(command: Sequence[str]) -> str | None:
    """Why a command failed, or None."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    except subprocess.TimeoutExpired:
        return "it took more than 300 s"
    return done.stderr.strip()[-300:] if done.returncode else None
