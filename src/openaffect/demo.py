"""The whole pipeline on synthetic faces: what the other commands do, one after the other, offline.

::

    DIR/
    ├── faces/                     a dataset: train and test as skewed as AffectNet
    ├── imbalanced/                run, predictions.parquet, report/ of one strategy
    ├── weighted-loss/             the same of the other
    ├── demo.json                  what was asked for
    └── report.html                both side by side
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from openaffect.dataset import Dataset, open_dataset
from openaffect.documents import read_json
from openaffect.errors import DestinationExists, MismatchError
from openaffect.inference import predict_dataset
from openaffect.labels import EMOTIONS, Expression
from openaffect.model import open_model
from openaffect.reports import Report, compare, evaluate
from openaffect.storage import atomic_file
from openaffect.synthetic.dataset import synthesize_dataset
from openaffect.training import load_recipe, require_training, train
from openaffect.training.moment import Moment

STRATEGIES = ("imbalanced", "weighted-loss")

Bar = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]
TrainingBar = Callable[[str], AbstractContextManager[Callable[[Moment], None]]]

# AffectNet's published training and validation counts, in thousands: the skew that the
# strategies are for.
_SHARES = dict(zip(EMOTIONS, (75.4, 134.9, 26.0, 14.6, 6.9, 4.3, 25.4, 4.3), strict=True))
_SIZE = 128
# Few faces: small steps, many of them, and a larger share for stopping.
_SETTINGS = (
    "target=both",
    "affect_weight=4",
    "batch_size=32",
    "warmup=50",
    "early_stopping_fraction=0.1",
)
_TEST = 600
_ASKED = "demo.json"  # so that an interrupted demo goes on with what it was asked for


def run_demo(
    folder: str | Path,
    *,
    bar: Bar,
    training_bar: TrainingBar,
    say: Callable[[str], None],
    faces: int = 3000,
    epochs: int = 8,
    seed: int = 0,
    overwrite: bool = False,
    resume: bool = False,
) -> Path:
    """Draw faces, train two strategies against class imbalance, judge and compare them.

    Args:
        folder: to make.
        bar, training_bar, say: how progress is shown; see `openaffect.console`.
        faces: to learn from; as skewed as AffectNet.
        epochs: of each training.
        seed: of everything random.
        overwrite: replace what an earlier demo left in the folder.
        resume: go on with an interrupted demo of the same faces, epochs and seed.

    Returns:
        The path of `report.html`.

    Raises:
        DestinationExists: the folder holds something and `overwrite` is false.
        MismatchError: `resume` with other faces, epochs or seed.
        MissingExtra: the extra `train` is not installed; nothing is made then.
    """
    require_training()
    folder = Path(folder)
    asked = {"faces": faces, "epochs": epochs, "seed": seed}
    resume = resume and (folder / _ASKED).is_file()
    if resume:
        before = read_json(folder / _ASKED, dict[str, int])
        if before != asked:
            raise MismatchError(
                f"the demo in {folder} was made with {before}, now {asked}; ask as before, or "
                "start again with --overwrite"
            )
    elif folder.exists() and (folder.is_file() or any(folder.iterdir())) and not overwrite:
        raise DestinationExists(folder, "go on with an interrupted demo by --resume, ")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(folder / _ASKED) as temporary:
            temporary.write_text(json.dumps(asked), encoding="utf-8")
    counts: dict[str | None, dict[Expression, int]] = {
        "train": skewed_counts(faces),
        "test": skewed_counts(_TEST, least=24),
    }
    total = sum(sum(classes.values()) for classes in counts.values())
    if resume and (folder / "faces" / "dataset.json").is_file():
        dataset = open_dataset(folder / "faces")
    else:
        say(f"1/4 synthesizing {total:,} faces")
        with bar("synthesizing", total) as progress:
            dataset = synthesize_dataset(
                folder / "faces",
                counts,
                seed=seed,
                size=_SIZE,
                name="synthetic faces",
                overwrite=overwrite,
                progress=progress,
            )
    reports = []
    for number, strategy in enumerate(STRATEGIES, start=2):
        say(f"{number}/4 training, predicting and evaluating: {strategy}")
        reports.append(
            _run_strategy(
                dataset,
                folder / strategy,
                strategy,
                epochs,
                seed,
                overwrite and not resume,
                resume,
                bar,
                training_bar,
            )
        )
    say("4/4 comparing")
    comparison = compare(reports, names=STRATEGIES)
    return comparison.save(
        folder / "report.html",
        title="OpenAffect demo: two strategies against class imbalance, on synthetic faces",
        pages=[f"{strategy}/report/report.html" for strategy in STRATEGIES],
        overwrite=True,
    )


def skewed_counts(total: int, least: int = 8) -> dict[Expression, int]:
    """As many faces of each expression as AffectNet's shares say, but some of each."""
    whole = sum(_SHARES.values())
    return {label: max(least, round(total * share / whole)) for label, share in _SHARES.items()}


def _run_strategy(
    dataset: Dataset,
    folder: Path,
    strategy: str,
    epochs: int,
    seed: int,
    overwrite: bool,
    resume: bool,
    bar: Bar,
    training_bar: TrainingBar,
) -> Report:
    recipe = load_recipe(
        f"resnet-small-{strategy}",
        [*_SETTINGS, f"epochs={epochs}", f"seed={seed}"],
    )
    with training_bar(strategy) as show:
        train(dataset, folder / "run", recipe, resume=resume, overwrite=overwrite, show=show)
    overwrite = overwrite or resume
    scored = dataset.where(split="test")
    with bar("predicting", len(scored)) as progress:
        predictions = predict_dataset(open_model(folder / "run"), scored, progress=progress)
    predictions.save(folder / "predictions.parquet", overwrite=overwrite)
    report = evaluate(dataset, predictions)
    report.save(folder / "report", dataset=dataset, overwrite=overwrite)
    return report
