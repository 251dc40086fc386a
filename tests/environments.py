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
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    make = [sys.executable, "-m", "venv", str(folder)]
    install = (
        [uv, "pip", "install", "--quiet", "--python", str(python), *requirements]
        if uv
        else [str(python), "-m", "pip", "install", "--quiet", *requirements]
    )
    for command in (make, install):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            return f"{requirements[0]} could not be installed: {done.stderr.strip()[-300:]}"
    ready.touch()
    return None
