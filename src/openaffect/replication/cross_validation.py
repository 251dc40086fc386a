"""Cross-validation: train on all folds but one, predict that one, judge all predictions together.

::

    FOLDER/
    ├── 1/ … 5/            a fold each: run/, predictions.parquet
    ├── predictions.parquet   of every face, each by the model that had not seen it
    └── report/
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from openaffect.curation import assign_folds
from openaffect.dataset import Dataset
from openaffect.inference import predict_dataset
from openaffect.model import open_model
from openaffect.predictions import Predictions, join_predictions, open_predictions
from openaffect.progress import OnProgress, relabel
from openaffect.reports import Report, evaluate
from openaffect.training import Recipe, train


def cross_validate(
    dataset: Dataset,
    folder: str | Path,
    recipe: Recipe,
    *,
    folds: int = 5,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Report:
    """Judge a recipe on every face of a dataset, each by a model that has not seen its group.

    What is done is not done again: a second call with the same arguments goes on where the first
    was cut off.

    Args:
        dataset: its splits do not matter.
        folder: of the runs and the report.
        recipe: trained `folds` times.
        folds: see `assign_folds`.
        seed: of the folds.
        on_progress: called with what each fold's training tells, under the name `fold N of FOLDS`.

    Returns:
        The report over the pooled predictions; its split is called `all`.

    Raises:
        MismatchError: the folder holds runs of another recipe or of other data.
    """
    folder = Path(folder)
    numbers = assign_folds(dataset, folds, seed=seed)
    parts = []
    for fold in range(folds):
        tell = relabel(on_progress or (lambda _: None), name=f"fold {fold + 1} of {folds}")
        parts.append(_run_fold(dataset, numbers == fold, folder / str(fold + 1), recipe, tell))
    made_with = {**parts[0].made_with, "folds": folds, "folds_seed": seed}
    made_with.pop("model_sha256", None)  # of the first fold alone
    pooled = join_predictions(parts, made_with)
    pooled.save(folder / "predictions.parquet", overwrite=True)
    report = evaluate(dataset, pooled, split="all")
    report.save(folder / "report", dataset=dataset, overwrite=True)
    return report


def _run_fold(
    dataset: Dataset,
    scored: np.ndarray,
    folder: Path,
    recipe: Recipe,
    on_progress: OnProgress,
) -> Predictions:
    splits = np.where(scored, "test", "train").tolist()
    divided = dataset.with_column("split", splits)
    # A finished training ends at once; another recipe or other data is refused there.
    train(divided, folder / "run", recipe, resume=True, on_progress=on_progress)
    path = folder / "predictions.parquet"
    if not path.is_file():
        predict_dataset(open_model(folder / "run"), divided.where(split="test")).save(path)
    return open_predictions(path)
