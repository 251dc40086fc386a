"""Parquet files of some kilobytes whose tables fill the memory, and damaged footers that crash."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from attacks.measure import OPENAFFECT, finish, run

MOST_MB = 1_500


def repeat_text(path: Path) -> None:
    """One text of 5 MB, and 5,000 numbers that stand for it: 25 GB."""
    codes = pa.DictionaryArray.from_arrays(np.zeros(5_000, np.int32), ["x" * 5_000_000])
    pq.write_table(pa.table({"face_id": codes}), path, compression="zstd")


def repeat_rows(path: Path) -> None:
    """60 million nulls."""
    part = pa.table({"face_id": pa.nulls(1_000_000, pa.string())})
    with pq.ParquetWriter(path, part.schema) as writer:
        for _ in range(60):
            writer.write_table(part)


def repeat_columns(path: Path) -> None:
    """300 columns of a million zeros: 2.4 GB."""
    zeros = pa.array(np.zeros(1_000_000))
    table = pa.table({"face_id": zeros} | {f"p_c{n}": zeros for n in range(300)})
    pq.write_table(table, path, compression="zstd")


def damage(data: bytes, seed: int) -> bytes:
    chance, changed = random.Random(seed), bytearray(data)
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    changed[chance.randrange(start, len(data) - 8)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def main() -> None:
    results, held = [], True
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "p.parquet"
        for write in (repeat_text, repeat_rows, repeat_columns):
            write(path)
            # 6 GB of addresses: what the attack would take must not harm this machine.
            limited = ("sh", "-c", 'ulimit -v 6000000; exec "$@"', "sh")
            done = run(*limited, *OPENAFFECT, "info", str(path), timeout=60)
            size = path.stat().st_size
            refused = any(text in done.stderr for text in ("proportion", "states"))
            held &= (
                refused and done.status == 1 and not done.has_traceback and done.peak_mb < MOST_MB
            )
            results.append(f"{write.__name__} ({size:,} bytes): {done}")
        path.unlink()
        pq.write_table(
            pa.table({"face_id": ["a", "b"], "p_happy": [0.5, 1], "p_sad": [0.5, 0]}), path
        )
        data = path.read_bytes()
        for seed in range(400):
            (Path(name) / f"{seed}.parquet").write_bytes(damage(data, seed))
        program = (
            "import sys; from openaffect import open_predictions\n"
            "from openaffect.errors import OpenAffectError\n"
            "for path in sys.argv[1:]:\n"
            "    try: open_predictions(path)\n"
            "    except OpenAffectError: pass\n"
        )
        paths = [str(Path(name) / f"{seed}.parquet") for seed in range(400)]
        done = run(OPENAFFECT[0], "-c", program, *paths, timeout=60)
        held &= done.status == 0
        results.append(f"400 damaged footers: {done}")
    finish(held, "; ".join(results))


if __name__ == "__main__":
    main()
