"""Parameter search: many trials of one recipe on one dataset. Needs the extra `tune`.

::

    STUDY/
    ├── study.db       optuna's storage, one SQLite file
    ├── space.toml     the search space, resolved
    ├── trials/000/    a run for each trial
    ├── best.toml      the best recipe, for `train --recipe STUDY/best.toml`
    ├── trials.csv     a row per trial
    └── report.html    one self-contained page
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from openaffect.dataset import Dataset
from openaffect.errors import InputError
from openaffect.extras import needs
from openaffect.progress import OnProgress
from openaffect.training.recipe import Recipe
from openaffect.training.targets import choose_targets, train_val_split
from openaffect.training.tuning.space import Categorical, Range, Space, check_space, default_space
from openaffect.training.tuning.study import Study, Trial


def tune(
    dataset: Dataset,
    folder: str | Path,
    recipe: Recipe,
    *,
    space: Space | None = None,
    trials: int = 20,
    minutes: float | None = None,
    seed: int = 0,
    keep: Literal["best", "all"] = "best",
    prune: bool = True,
    on_progress: OnProgress | None = None,
) -> Study:
    """Search the keys of a recipe that train best on a dataset's split `train`.

    Every trial trains on the same faces and is judged by the recipe's `stop_metric` on the same
    `early_stopping_fraction` share of them, never on the split that is scored. Trees of Parzen estimators choose
    the values (Bergstra et al. 2011). Called again on the same folder, the search goes on, and a
    trial that was cut off goes on from its last checkpoint.

    Args:
        dataset: labeled faces.
        folder: the study to make, or to go on with.
        recipe: what is searched from.
        space: the keys to search; `default_space(recipe)` if None.
        trials: that the study shall have in the end, failed ones included.
        minutes: after these no trial is begun; one that is under way ends.
        seed: of the choice of values.
        keep: the checkpoints and models of the `best` trial alone, or of `all`.
        prune: give a trial up whose best value after an epoch is worse than the median of the
            others' at that epoch (from the sixth complete trial on, and not in the first quarter
            of the epochs).
        on_progress: called with what each trial's training tells, under the name `trial N`, with a
            line before it, and with one in the phase `finished` at its end.

    Returns:
        The study, with at least one complete trial.

    Raises:
        MissingExtra: the extra `tune` is not installed.
        UnknownName, InputError: a space that cannot be searched, nothing to learn from, a folder
            that holds something else, or one in which another process works.
        MismatchError: the study was begun with another dataset, recipe, space or seed.
        TrainingError: not one trial was completed.
    """
    if trials < 1:
        raise InputError(f"expected at least one trial, but got {trials}")
    if minutes is not None and not minutes > 0:
        raise InputError(f"expected minutes above 0, but got {minutes:g}")
    if recipe.stop_metric not in ("f1", "accuracy", "loss", "ccc"):
        raise InputError(
            f"stop_metric '{recipe.stop_metric}' ranks no trials; set it to f1, accuracy, loss or "
            "ccc: --set stop_metric=f1"
        )
    checked = check_space(default_space(recipe) if space is None else space, recipe)
    with needs("tune", "parameter search"):
        from openaffect.training.tuning import search
    # Told before a file is made: a dataset that this recipe cannot learn from.
    train_val_split(
        dataset, choose_targets(dataset, recipe), recipe.early_stopping_fraction, recipe.seed
    )
    wanted = Study(
        folder=Path(folder),
        recipe=recipe,
        space=checked,
        dataset=dataset.info.name or dataset.path.name,
        fingerprint=dataset.fingerprint(),
        seed=seed,
    )
    return search.run_study(
        dataset,
        wanted,
        count=trials,
        minutes=minutes,
        keep=keep,
        prune=prune,
        on_progress=on_progress,
    )


__all__ = ["Categorical", "Range", "Space", "Study", "Trial", "tune"]
