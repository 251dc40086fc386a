"""The search behind `tune`: one trial after the other.

One process works in a study. A trial that is `running` when the study is opened was cut off, by a
kill or an error: it goes on under its own number with its own values, so that a study that was
killed ends as one that was not.
"""

from __future__ import annotations

import contextlib
import csv
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages import RDBStorage

from openaffect.dataset import Dataset
from openaffect.errors import InputError, TrainingError
from openaffect.progress import OnProgress, Progress, relabel
from openaffect.training import train
from openaffect.training.progress import TrainingProgress
from openaffect.training.recipe import Recipe
from openaffect.training.run_folder import lock_folder
from openaffect.training.tuning.files import write_files
from openaffect.training.tuning.space import Categorical, Range, Value, show_value
from openaffect.training.tuning.store import (
    begin_study,
    check_study_folder,
    open_storage,
    quiet_optuna,
    reopen_trial,
)
from openaffect.training.tuning.study import Study, Trial, TrialState

_STARTS = 3  # a trial that was begun so often without the end of one epoch is given up
_RANDOM = 10  # trials before the sampler learns from them
_WEIGHTS = ("model.onnx", "checkpoint.pt")

_STATES: dict[optuna.trial.TrialState, TrialState] = {
    optuna.trial.TrialState.COMPLETE: "complete",
    optuna.trial.TrialState.PRUNED: "pruned",
    optuna.trial.TrialState.FAIL: "failed",
    optuna.trial.TrialState.RUNNING: "running",
}


class _Enough(Exception):  # noqa: N818 - no error: the training is over but for its export
    """A trial that is not the best need not be exported."""


def run_study(
    dataset: Dataset,
    wanted: Study,
    *,
    count: int,
    minutes: float | None,
    keep: str,
    prune: bool,
    on_progress: OnProgress | None,
) -> Study:
    """Bring a study to `count` trials; see `openaffect.training.tuning.tune`."""
    check_study_folder(wanted.folder)
    with lock_folder(wanted.folder), quiet_optuna(), open_storage(wanted.folder) as storage:
        study = begin_study(wanted, storage, prune=prune)
        search = _Search(
            dataset, wanted, storage, study, keep, count, on_progress or (lambda _: None)
        )
        search.run_all(minutes)
        found = write_files(search.found())
    if found.best is None:
        failed = [trial for trial in found.trials if trial.state == "failed"]
        raise TrainingError(
            f"no trial of {wanted.folder} was completed: {len(failed)} of {len(found.trials)} "
            f"failed; the first: {failed[0].reason if failed else 'none'}"
        )
    return found


class _Search:
    """One call's work in a study."""

    def __init__(
        self,
        dataset: Dataset,
        wanted: Study,
        storage: RDBStorage,
        study: optuna.Study,
        keep: str,
        count: int,
        on_progress: OnProgress,
    ) -> None:
        self.dataset, self.wanted = dataset, wanted
        self.storage, self.study = storage, study
        self.keep, self.count, self.on_progress = keep, count, on_progress

    def run_all(self, minutes: float | None) -> None:
        ends = float("inf") if minutes is None else time.monotonic() + 60 * minutes
        while True:
            cut = self._frozen(optuna.trial.TrialState.RUNNING)
            done = len(self._frozen()) - len(cut)
            if done >= self.count and not cut:
                return
            number = cut[0].number if cut else done
            # A sampler of its own for each trial: the same values whether the search was
            # interrupted before it or not.
            self.study.sampler = optuna.samplers.TPESampler(
                n_startup_trials=_RANDOM, seed=_sampler_seed(self.wanted.seed, number)
            )
            trial = reopen_trial(self.storage, self.study, number) if cut else self.study.ask()
            self._run_one(trial)
            self._tidy()
            write_files(self.found())
            if time.monotonic() >= ends:
                return

    def _frozen(self, *states: optuna.trial.TrialState) -> list[optuna.trial.FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=states or None)

    # -- one trial -------------------------------------------------------------------------

    def _run_one(self, trial: optuna.Trial) -> None:
        settings = {key: _suggest(trial, key, d) for key, d in self.wanted.space.items()}
        try:
            self._count_start(trial)
            self._train(trial, settings)
            value = self._best_value(trial)
            if value is None:
                raise TrainingError(f"{self.wanted.metric} was undefined after every epoch")
        except optuna.TrialPruned:
            self.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        except (TrainingError, _BadTrial) as error:
            trial.set_user_attr("reason", str(error).splitlines()[0])
            self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            self.study.tell(trial, value)
        ended = self._read(self.study.get_trials(deepcopy=False)[trial.number])
        tell = relabel(self.on_progress, name=f"trial {trial.number}")
        tell(Progress("finished", line=_ending(ended)))

    def _count_start(self, trial: optuna.Trial) -> None:
        """A trial that kills the process must not do so for ever."""
        starts = int(trial.user_attrs.get("starts", 0)) + 1
        if starts > _STARTS:
            raise _BadTrial(f"begun {_STARTS} times, and never came to the end of another epoch")
        trial.set_user_attr("starts", starts)

    def _train(self, trial: optuna.Trial, settings: dict[str, Value]) -> None:
        run = self._run_folder(trial.number)
        try:
            recipe = self.wanted.recipe_of(settings)
        except InputError as error:  # values that are right one by one, but not together
            raise _BadTrial(str(error)) from error
        self._report_log(trial, run)
        self._prune(trial, recipe)  # if it was cut off between the end of an epoch and this

        tell = relabel(self.on_progress, name=f"trial {trial.number}")

        def report(event: Progress) -> None:
            tell(event)
            if isinstance(event, TrainingProgress) and event.row is not None:
                self._report(trial, event.row)
                trial.set_user_attr("starts", 0)
                self._prune(trial, recipe)
            if event.phase == "exporting" and not self._is_wanted(trial):
                raise _Enough

        values = " ".join(f"{key}={show_value(value)}" for key, value in settings.items())
        line = f"trial {trial.number} of {self.count}: {values}"
        self.on_progress(Progress("starting", line=line))
        with contextlib.suppress(_Enough):
            train(self.dataset, run, recipe, resume=True, on_progress=report)
        self._report_log(trial, run)

    def _run_folder(self, number: int) -> Path:
        return self.wanted.folder / "trials" / f"{number:03d}"

    def _report(self, trial: optuna.Trial, row: Mapping[str, Any]) -> None:
        """Tell optuna an epoch's value, once."""
        epoch, value = int(row["epoch"]), float(row.get(f"stop_{self.wanted.metric}") or "nan")
        if epoch not in self._curve(trial) and np.isfinite(value):
            trial.report(value, epoch)
        if row.get("seconds"):
            trial.set_user_attr("seconds", float(row["seconds"]))

    def _report_log(self, trial: optuna.Trial, run: Path) -> None:
        if (run / "log.csv").is_file():
            with open(run / "log.csv", newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    self._report(trial, row)

    def _curve(self, trial: optuna.Trial) -> dict[int, float]:
        return self._frozen()[trial.number].intermediate_values

    def _prune(self, trial: optuna.Trial, recipe: Recipe) -> None:
        last = recipe.epochs if recipe.method == "network" else 1
        curve = self._curve(trial)
        if curve and max(curve) < last and trial.should_prune():
            raise optuna.TrialPruned

    def _best_value(self, trial: optuna.Trial) -> float | None:
        return min(self._curve(trial).values(), key=self.wanted.cost, default=None)

    def _is_wanted(self, trial: optuna.Trial) -> bool:
        """Whether the trial's model will be kept: an export takes seconds."""
        if self.keep == "all":
            return True
        best = self.found().best
        value = self._best_value(trial)
        return best is None or self.wanted.cost(value) < self.wanted.cost(best.value)

    # -- files -----------------------------------------------------------------------------

    def _tidy(self) -> None:
        """Remove the weights of all trials that are over but the best one's."""
        if self.keep == "all":
            return
        found = self.found()
        for trial in found.trials:
            if trial.state != "running" and trial != found.best:
                for name in _WEIGHTS:
                    (self._run_folder(trial.number) / name).unlink(missing_ok=True)

    def found(self) -> Study:
        """The study with its trials."""
        return replace(self.wanted, trials=tuple(self._read(t) for t in self._frozen()))

    def _read(self, trial: optuna.trial.FrozenTrial) -> Trial:
        curve = dict(sorted(trial.intermediate_values.items()))
        failed = trial.state == optuna.trial.TrialState.FAIL
        epoch = min(curve, key=lambda e: (self.wanted.cost(curve[e]), e), default=None)
        return Trial(
            number=trial.number,
            state=_STATES[trial.state],
            settings={key: trial.params[key] for key in self.wanted.space if key in trial.params},
            value=None if epoch is None or failed else curve[epoch],
            epoch=None if failed else epoch,
            curve=curve,
            seconds=trial.user_attrs.get("seconds"),
            reason=str(trial.user_attrs.get("reason", "")),
        )


class _BadTrial(Exception):  # noqa: N818 - it ends a trial, and is never seen outside
    """A trial that cannot be trained."""


def _ending(trial: Trial) -> str:
    if trial.value is None:
        return f"{trial.state}: {trial.reason}" if trial.reason else trial.state
    return f"{trial.state}, {trial.value:.4f} after epoch {trial.epoch}"


def _sampler_seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence((seed, number)).generate_state(1)[0])


def _suggest(trial: optuna.Trial, key: str, dimension: Range | Categorical) -> Value:
    """A trial's value of a key; once chosen, always the same."""
    if isinstance(dimension, Categorical):
        return trial.suggest_categorical(key, dimension.values)  # type: ignore[return-value]
    low, high, log = dimension.low, dimension.high, dimension.log
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(key, low, high, log=log)
    return trial.suggest_float(key, low, high, log=log)
