"""Datasets whose pictures are files outside their folder, a pipe or a device: nothing is read."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from attacks.measure import OPENAFFECT, finish, run

SECRET = "nobody else may read this"


def write_dataset(folder: Path, image: str) -> Path:
    (folder / "images").mkdir(parents=True)
    os.mkfifo(folder / "images" / "pipe.png")
    (folder / "images" / "zero.png").symlink_to("/dev/zero")
    table = pa.table({"face_id": ["a"], "image": [image], "expression": ["happy"]})
    pq.write_table(table, folder / "faces.parquet")
    (folder / "dataset.json").write_text(json.dumps({"name": "gift", "schema": 1}))
    return folder


def main() -> None:
    failures, seconds = [], 0.0
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        (home / "secret.txt").write_text(SECRET)
        images = (str(home / "secret.txt"), "../../secret.txt", "../..", "pipe.png", "zero.png")
        for number, image in enumerate(images):
            gift = write_dataset(home / f"gift{number}", image)
            for command in (("export", "csv"), ("check",)):
                out = home / f"out{number}-{command[-1]}"
                target = [str(out)] if command[0] == "export" else []
                done = run(*OPENAFFECT, *command, str(gift), *target, timeout=20)
                seconds += done.seconds
                copied = out.is_dir() and any(
                    SECRET in path.read_text("utf-8", "replace")
                    for path in out.rglob("*")
                    if path.is_file() and path.stat().st_size < 1_000_000
                )
                if copied or done.status is None or done.has_traceback or done.peak_mb > 1_000:
                    what = "copied out" if copied else str(done)
                    failures.append(f"{image} by {' '.join(command)}: {what}")
    finish(not failures, "; ".join(failures) or f"no file outside was read, {seconds:.0f} s in all")


if __name__ == "__main__":
    main()
