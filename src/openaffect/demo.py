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
from pathlib import Path

from openaffect.dataset import Dataset, open_dataset
from openaffect.documents import read_json
from openaffect.errors import DestinationExists, MismatchError
from openaffect.inference import predict_dataset
from openaffect.labels import EMOTIONS, Expression
from openaffect.model import open_model
from openaffect.progress import OnProgress, Progress, relabel
from openaffect.reports import Report, compare, evaluate
from openaffect.storage import atomic_file
from openaffect.synthetic.dataset import synthesize_dataset
from openaffect.training import load_recipe, require_training, train

STRATEGIES = ("imbalanced", "weighted-loss")

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
    faces: int = 3000,
    epochs: int = 8,
    seed: int = 0,
    overwrite: bool = False,
    resume: bool = False,
    on_progress: OnProgress | None = None,
) -> Path:
    """Draw faces, train two strategies against class imbalance, judge and compare them.

    Args:
        folder: to make.
        faces: to learn from; as skewed as AffectNet.
        epochs: of each training.
        seed: of everything random.
        overwrite: replace what an earlier demo left in the folder.
        resume: go on with an interrupted demo of the same faces, epochs and seed.
        on_progress: called with what each step tells, under the name of its strategy.

    Returns:
        The path of `report.html`.

    Raises:
        DestinationExists: the folder holds something and `overwrite` is false.
        MismatchError: `resume` with other faces, epochs or seed.
        MissingExtra: the extra `train` is not installed; nothing is made then.
    """
    require_training()
    on_progress = on_progress or (lambda _: None)
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
        line = f"1/4 synthesizing {total:,} faces"
        on_progress(Progress("synthesizing", 0, total, line=line))
        dataset = synthesize_dataset(
            folder / "faces",
            counts,
            seed=seed,
            size=_SIZE,
            name="synthetic faces",
            overwrite=overwrite,
            on_progress=on_progress,
        )
    reports = []
    for number, strategy in enumerate(STRATEGIES, start=2):
        line = f"{number}/4 training, predicting and evaluating: {strategy}"
        on_progress(Progress("starting", line=line))
        reports.append(
            _run_strategy(
                dataset,
                folder / strategy,
                strategy,
                epochs,
                seed,
                overwrite and not resume,
                resume,
                relabel(on_progress, name=strategy),
            )
        )
    on_progress(Progress("comparing", line="4/4 comparing"))
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
    on_progress: OnProgress,
) -> Report:
    recipe = load_recipe(
        f"resnet-small-{strategy}",
        [*_SETTINGS, f"epochs={epochs}", f"seed={seed}"],
    )
    train(
        dataset,
        folder / "run",
        recipe,
        resume=resume,
        overwrite=overwrite,
        on_progress=on_progress,
    )
    overwrite = overwrite or resume
    scored = dataset.where(split="test")
    model = open_model(folder / "run")
    predictions = predict_dataset(model, scored, on_progress=on_progress)
    predictions.save(folder / "predictions.parquet", overwrite=overwrite)
    on_progress(Progress("evaluating"))
    report = evaluate(dataset, predictions)
    report.save(folder / "report", dataset=dataset, overwrite=overwrite)
    return report
