"""Tables 3 to 7 of Giguere 2020 on a dataset, ours beside the printed and the recomputed.

::

    DIR/
    ├── split/         the dataset with Giguere's test faces drawn, where it has none of its own
    ├── <row>/         run, predictions.parquet, report/ of one model; see `experiments`
    ├── giguere2020.html     every table
    └── giguere2020.json     the same for programs
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from openaffect.curation import split_dataset
from openaffect.dataset import Dataset
from openaffect.errors import InputError, UnknownName
from openaffect.progress import OnProgress
from openaffect.replication.experiment_data import (
    claim_folder,
    compare_rows,
    count_classes,
    outcome_to_dict,
    setup_to_dict,
    write_files,
)
from openaffect.replication.experiment_page import span
from openaffect.replication.experiments import (
    Experiment,
    ExperimentConfig,
    ExperimentResult,
    ReplicationResult,
    choose_split,
    run_rows,
)
from openaffect.replication.giguere2020_page import render_giguere2020
from openaffect.replication.giguere2020_tables import (
    FIVE,
    SIX,
    SPLITS,
    TABLE_4,
    TABLE_5,
    TABLE_6,
    TABLE_7,
    TOTALS,
    TRAINED,
    misprints,
    recompute,
    recompute_recall,
)
from openaffect.reports import Comparison
from openaffect.reports.contents import to_json_value

ROWS = (
    Experiment("transfer", "ResNet-50 transfer", "resnet50-transfer"),
    Experiment(
        "vgg-unweighted", "VGG type, unweighted loss", "vgg-study", ("strategy=imbalanced",)
    ),
    Experiment("vgg", "VGG type, class-balanced loss", "vgg-study"),
)
"""The models of Giguere 2020; the second is its own comparison, its code's flag `no_weights`."""

TABLES = ("3", "4", "5", "6", "7")

_NEEDS = {
    "3": (),
    "4": ("transfer",),
    "5": ("vgg", "vgg-unweighted"),
    "6": ("vgg",),
    "7": ("transfer", "vgg"),
}

_TEST = TOTALS["test"]
_VALIDATION = 500
# Giguere's test takes 1.1 % of what it is drawn from; where it would take a tenth, too much is
# lost to training for it to be the same protocol.
_ENOUGH = 10


@dataclass(frozen=True, slots=True)
class Giguere2020:
    """What the page and `giguere2020.json` show.

    Attributes:
        setup: dataset with the splits in use, split, settings.
        tables: the numbers of the tables to show.
        outcomes: one a row.
        protocol: how the faces were split, in words.
        counts: faces of each of the six expressions, by split.
        comparison: the VGG type without and with the class-balanced loss, or None.
    """

    setup: ExperimentConfig
    tables: tuple[str, ...]
    outcomes: tuple[ExperimentResult, ...]
    protocol: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    comparison: Comparison | None

    def outcome(self, key: str) -> ExperimentResult | None:
        """What became of a row."""
        return next((o for o in self.outcomes if o.row.key == key), None)

    def to_dict(self) -> dict[str, Any]:
        """What `giguere2020.json` holds; strict JSON."""
        data = {
            **setup_to_dict(self.setup),
            "protocol": list(self.protocol),
            "counts": self.counts,
            "settings": list(self.setup.settings),
            "tables": list(self.tables),
            "rows": [outcome_to_dict(outcome) for outcome in self.outcomes],
            "comparison": None if self.comparison is None else self.comparison.to_dict(),
            "published": {
                "labels": {"4": [*FIVE], "5": [*SIX]},
                "3": {"splits": dict(SPLITS), "totals": dict(TOTALS), "train_right": TRAINED},
                "4": {"confusion": TABLE_4, "recomputed": recompute(TABLE_4)},
                "5": {"confusion": TABLE_5, "recomputed": recompute(TABLE_5)},
                "6": {"recall": dict(TABLE_6), "recomputed": recompute_recall()},
                "7": {name: list(values) for name, values in TABLE_7.items()},
                "misprints": [dataclasses.asdict(misprint) for misprint in misprints()],
            },
        }
        result: dict[str, Any] = to_json_value(data)
        return result


def replicate_giguere2020(
    dataset: Dataset,
    folder: str | Path,
    *,
    tables: Sequence[str] | None = None,
    settings: Sequence[str] = (),
    split: str | None = None,
    overwrite: bool = False,
    draws: int = 200,
    rounds: int = 1000,
    rows: Sequence[Experiment] = ROWS,
    on_progress: OnProgress | None = None,
) -> ReplicationResult:
    """Train and judge Giguere's models on a dataset; a second call goes on.

    Giguere keeps 500 validation faces of each expression and draws 3,006 test faces, in
    proportion to the six expressions, from the rest. That is done where the dataset has no split
    `test` and enough faces; else its own splits are used, and the page says so.

    Args:
        dataset: labeled faces.
        folder: to make, or that of an earlier call.
        tables: numbers of the tables, `3` to `7`; all by default. Only the models that they need
            are trained.
        settings: `key=value` for every recipe, or `row:key=value` for one.
        split: to score; by default Giguere's test, else the dataset's `test` or `validation`.
        overwrite: begin the models anew.
        draws: balanced draws behind each Norm value.
        rounds: bootstrap samples behind each interval.
        rows: the models; Giguere's by default.
        on_progress: called with what each row tells, under its key.

    Returns:
        The page, and what became of each row: one that failed never ends the others.

    Raises:
        UnknownName: a table, or a key of a recipe, that does not exist.
        InputError: the dataset has nothing to score, the folder holds other things, or a setting
            that no recipe can take.
        MissingExtra: the extra `train` is not installed.
    """
    folder = Path(folder)
    shown = _choose_tables(tables)
    _check_splittable(dataset, split)
    claim_folder(folder, "giguere2020.json")
    used, protocol = split_like_giguere2020(dataset, folder / "split", split)
    setup = ExperimentConfig(
        used,
        used.fingerprint(),
        folder,
        choose_split(used, split),
        on_progress or (lambda _: None),
        tuple(settings),
        overwrite,
        draws,
        rounds,
    )
    counts = {name: count_classes(used, name, SIX) for name in SPLITS}

    def write(outcomes: Sequence[ExperimentResult]) -> None:
        pair = [o for o in outcomes if o.row.key in _NEEDS["5"]]
        found = compare_rows(pair, "categorical", rounds)
        replication = Giguere2020(setup, shown, tuple(outcomes), tuple(protocol), counts, found)
        write_files(folder, "giguere2020", render_giguere2020(replication), replication.to_dict())

    needed = {key for number in shown for key in _NEEDS[number]}
    outcomes = run_rows(setup, rows, needed, write)
    return ReplicationResult(folder / "giguere2020.html", outcomes)


def split_like_giguere2020(
    dataset: Dataset, path: Path, split: str | None = None
) -> tuple[Dataset, list[str]]:
    """The dataset with Giguere's splits, as far as it allows, and in words what was done.

    Args:
        dataset: labeled faces.
        path: the dataset folder to make where faces are drawn; it links to the same pictures.
        split: named by the user: nothing is drawn then.
    """
    present = [name for name in SPLITS if name in set(dataset.faces["split"].to_pylist())]
    plan = None if split is not None else _plan(dataset)
    if plan is None:
        reason = "the split to score was named" if split is not None else _why_not(present)
        return dataset, [
            f"The dataset’s own splits ({', '.join(present)}) are used: {reason}.",
            "Giguere’s: 500 validation faces of each expression, 3,006 test faces in proportion "
            "to the six expressions, the rest for training.",
        ]
    if present:
        # AffectNet's automatically annotated faces: in no split, and not for training either.
        dataset = dataset.where(split=present)
    used = split_dataset(
        dataset,
        path,
        test=plan["test"],
        validation=plan.get("validation"),
        labels=[*SIX],
        overwrite=True,
    )
    kept = count_classes(used, "validation", SIX).values()
    words = [
        f"Test: {_TEST:,} faces drawn from those that are not for validation, in proportion to "
        "the six expressions (seed 0), as Giguere’s Table 3 has it; which faces Giguere drew "
        "is not known.",
        f"Validation: {span(kept)} faces of each expression, "
        + ("drawn (seed 0)." if "validation" in plan else "the dataset’s own split.")
        + f" Giguere’s: {_VALIDATION}.",
    ]
    return used, words


def _plan(dataset: Dataset) -> dict[str, str] | None:
    """What is to be drawn; None where the dataset's own splits have to do."""
    names = np.array([name or "" for name in dataset.faces["split"].to_pylist()])
    if (names == "test").any():
        return None
    without = not (names != "").any()
    ids = dataset.expression_ids[(names == "train") | without]
    counts = [int((ids == label.id).sum()) for label in SIX]
    if sum(counts) < _ENOUGH * _TEST:
        return None
    if (names == "validation").any():
        return {"test": str(_TEST)}
    if min(counts) < 2 * _VALIDATION:
        return None
    return {"test": str(_TEST), "validation": f"{_VALIDATION}-per-class"}


def _why_not(present: Sequence[str]) -> str:
    if "test" in present:
        return "it has a test split"
    return (
        f"it has too few faces of the six expressions to draw {_TEST:,} test faces without a "
        "loss to training"
    )


def _check_splittable(dataset: Dataset, split: str | None) -> None:
    """Raise before a folder is made if nothing could be scored."""
    if split is not None or _plan(dataset) is None:
        choose_split(dataset, split)


def _choose_tables(tables: Sequence[str] | None) -> tuple[str, ...]:
    for number in tables or ():
        if number not in TABLES:
            raise UnknownName("table", number, TABLES)
    if tables is not None and not tables:
        raise InputError(f"expected tables of {', '.join(TABLES)}, but got none")
    return tuple(number for number in TABLES if tables is None or number in tables)
