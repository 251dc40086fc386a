"""What `tune` says of its trials."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from openaffect import console

if TYPE_CHECKING:
    from openaffect.training.moment import Moment
    from openaffect.training.tuning import Study, Trial

_SHOWN = 10  # trials in the table


@contextlib.contextmanager
def show_trials(count: int) -> Iterator[Callable[[Trial, Moment | None], None]]:
    """On stderr: what a trial tries, its training, how it ended."""
    from openaffect.training.tuning.space import show_value

    with contextlib.ExitStack() as stack:
        bars: dict[int, Callable[[Moment], None]] = {}

        def show(trial: Trial, moment: Moment | None) -> None:
            if moment is None:
                stack.close()
                console.note(f"trial {trial.number}: {_ending(trial)}")
                return
            if trial.number not in bars:
                pairs = (f"{key}={show_value(value)}" for key, value in trial.settings.items())
                console.note(f"trial {trial.number} of {count}: {' '.join(pairs)}")
                bar = console.training_bar(f"trial {trial.number}")
                bars[trial.number] = stack.enter_context(bar)
            bars[trial.number](moment)

        yield show


def _ending(trial: Trial) -> str:
    if trial.value is None:
        return f"{trial.state}: {trial.reason}" if trial.reason else trial.state
    return f"{trial.state}, {trial.value:.4f} after epoch {trial.epoch}"


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
