"""The files of a study that people read: tables, the best recipe, the page."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances

from openaffect.storage import atomic_file
from openaffect.training.tuning.page import render_study
from openaffect.training.tuning.space import Categorical, Range, Value, space_toml
from openaffect.training.tuning.store import ENOUGH
from openaffect.training.tuning.study import Study, Trial


def write_files(found: Study) -> Study:
    """Write them; the study with the importances of its keys."""
    found = replace(found, importances=_importances(found))
    _write(found.folder / "space.toml", space_toml(found.space))
    best = found.best_recipe()
    if best is not None:
        _write(found.folder / "best.toml", best.to_toml())
    _write_csv(found)
    _write(found.folder / "report.html", render_study(found))
    return found


def _importances(found: Study) -> dict[str, float]:
    """Each key's share of the variance that the keys explain one by one, the largest first.

    Optuna's fANOVA takes ranges as linear; logarithms are taken here, so that a logarithmic range
    is judged as it was searched; so are they of a loss, where one bad trial would be all there is.
    """
    trials = found.ranked
    if len(trials) < ENOUGH or len({_judged(found, trial) for trial in trials}) < 2:
        return {}
    copy = optuna.create_study()
    for trial in sorted(trials, key=lambda t: t.number):
        copy.add_trial(
            optuna.trial.create_trial(
                value=_judged(found, trial),
                params={k: _linear(trial.settings[k], d) for k, d in found.space.items()},
                distributions={key: _distribution(d) for key, d in found.space.items()},
            )
        )
    shares = get_param_importances(copy, evaluator=FanovaImportanceEvaluator(seed=0))
    return {key: float(share) for key, share in shares.items()}


def _judged(found: Study, trial: Trial) -> float:
    assert trial.value is not None
    if not found.lower_is_better:
        return trial.value
    return float(np.log(max(trial.value, np.finfo(float).tiny)))


def _linear(value: Value, dimension: Range | Categorical) -> Value:
    if isinstance(dimension, Categorical) or isinstance(value, str):
        return value
    return float(np.log(value)) if dimension.log else float(value)


def _distribution(dimension: Range | Categorical) -> BaseDistribution:
    if isinstance(dimension, Categorical):
        return CategoricalDistribution(dimension.values)
    low, high = _linear(dimension.low, dimension), _linear(dimension.high, dimension)
    assert isinstance(low, float)
    assert isinstance(high, float)
    return FloatDistribution(low, high)


def _write(path: Path, text: str) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _write_csv(found: Study) -> None:
    with (
        atomic_file(found.folder / "trials.csv") as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        head = ("trial", "state", found.metric, "best_epoch", "epochs", "seconds")
        writer.writerow([*head, *found.space, "reason"])
        for t in found.trials:
            facts = (t.number, t.state, t.value, t.epoch, max(t.curve, default=0), t.seconds)
            writer.writerow([*facts, *(t.settings.get(key) for key in found.space), t.reason])
