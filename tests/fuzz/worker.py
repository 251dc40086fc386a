"""A process that tries one case after the other; `runner.py` watches over it.

It reads lines `door number` and answers each with a line of JSON: what happened, or nothing of note.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import re
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

from fuzz.doors import DOORS, Door
from openaffect.cli import main
from openaffect.errors import OpenAffectError


def try_case(door: Door, name: str, number: int, good: Path, own: Path) -> str | None:
    """What is wrong with how a case ended, or None."""
    try:
        opening = door(good, own, random.Random(f"{name} {number}"))
    except Exception as error:  # so that it is mended; the campaign goes on
        return f"the harness fails: {type(error).__name__}: {error}"
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(printed):
            if callable(opening):
                opening()
                return None
            status = main(opening)
    except OpenAffectError as error:
        return f"two lines: {error!r}" if "\n" in str(error) and callable(opening) else None
    except BaseException as error:  # whatever it is, it is a finding
        if isinstance(error, KeyboardInterrupt):
            raise
        place = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in place if "openaffect" in frame.filename] or place
        return (
            f"{type(error).__name__} at {Path(ours[-1].filename).name}:{ours[-1].lineno}: {error}"
        )
    text = printed.getvalue()
    if "Traceback" in text:
        return f"a traceback: {text[-300:]}"
    if status not in (0, 1):
        return f"exit status {status}: {text[-300:]}"
    if status == 1 and not re.search(r"^error: .+$", text, re.MULTILINE):
        return f"exit status 1 without an error: {text[-300:]}"
    return None


def peak_megabytes() -> int:
    """The most memory this program has held; `ru_maxrss` would count what its parent held."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) // 1024


def work(good: Path) -> None:
    """Try what is asked for until nothing more is."""
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    # What C libraries print is nobody's finding here.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    for line in sys.stdin:
        name, number = line.split()
        start = time.process_time()
        own = Path(tempfile.mkdtemp(prefix="fuzz-"))
        try:
            found = try_case(DOORS[name], name, int(number), good, own)
        finally:
            shutil.rmtree(own, ignore_errors=True)
        seconds = round(time.process_time() - start, 3)
        peak = peak_megabytes()
        answers.write(json.dumps({"found": found, "peak_mb": peak, "seconds": seconds}) + "\n")


if __name__ == "__main__":
    work(Path(sys.argv[1]))
