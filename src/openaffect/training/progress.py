"""What a training tells of how far it has come.

Its phases are `reading`, `starting`, `training`, `validation` and `exporting`, or `finished` if
all that was done before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from openaffect.progress import Progress
from openaffect.texts import counted

_SCORES = {"stop_accuracy": "accuracy", "stop_f1": "F1", "stop_ccc": "CCC", "stop_loss": "loss"}


@dataclass(frozen=True, slots=True)
class TrainingProgress(Progress):
    """How far a training has come: the steps of all its epochs.

    Attributes:
        loss: of the last step; NaN while there is none.
        row: at the end of an epoch, its row of log.csv.
    """

    loss: float = math.nan
    row: Mapping[str, Any] | None = None


def tell_reading(done: int, total: int) -> Progress:
    """So many pictures are read."""
    return Progress("reading", done, total, title="reading pictures")


def tell_plan(epochs: int, steps: int) -> str:
    """What a training is going to do."""
    return f"training, {counted(epochs, 'epoch')} of {counted(steps, 'step')}"


def tell_row(phase: str, row: Mapping[str, Any], epochs: int) -> TrainingProgress:
    """An epoch is over."""
    scores = " · ".join(f"{text} {row[key]:.3f}" for key, text in _SCORES.items() if key in row)
    best = " · best so far" if row.get("best") else ""
    line = (
        f"epoch {row['epoch']}/{epochs} · loss {row['loss']:.3f} · "
        f"held-out {scores}{best} · {row['seconds']:.0f} s"
    )
    follows = phase != "exporting"  # a step, whose end is worth waiting for
    return TrainingProgress(phase, line=line, stop_at_next=follows, row=row)


def tell_finished() -> Progress:
    """There is nothing left to train."""
    return Progress("finished", line="this run has finished already; training is skipped")
