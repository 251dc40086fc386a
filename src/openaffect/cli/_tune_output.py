"""What `tune` says of its trials."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from openaffect import console

if TYPE_CHECKING:
    from openaffect.training.tuning import Study

_SHOWN = 10  # trials in the table


def print_study(found: Study, dataset: Path) -> None:
    """The best trials, and how their recipe is trained."""
    from openaffect.training.tuning.space import show_value

    rows = [
        [t.number, f"{t.value:.4f}", t.epoch, *(show_value(t.settings[key]) for key in found.space)]
        for t in found.ranked[:_SHOWN]
    ]
    console.print_table(["trial", found.metric, "epoch", *found.space], rows)
    console.note(f"the whole search: {found.folder / 'report.html'}")
    best = shlex.quote(str(found.folder / "best.toml"))
    console.say(f"train the best: openaffect train {shlex.quote(str(dataset))} RUN --recipe {best}")
