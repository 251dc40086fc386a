"""Where a training is, for whoever shows its progress."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a training is.

    Attributes:
        phase: `reading`, `training`, `judging` or `exporting`; `finished` if all that was done
            before.
        epoch, epochs: from 1.
        step, steps: done of this epoch; pictures while reading.
        loss: of the last step; NaN while there is none.
        rate: images a second over this call's training steps so far.
        row: at the end of an epoch, its row of log.csv.
        best: when exporting, the epoch that is kept.
        note: something that the user should know, such as a class without a face.
    """

    phase: str
    epoch: int = 0
    epochs: int = 0
    step: int = 0
    steps: int = 0
    loss: float = math.nan
    rate: float = math.nan
    row: dict[str, Any] | None = None
    best: int = 0
    note: str = ""
