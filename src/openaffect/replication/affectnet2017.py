"""The AffectNet paper's tables on a dataset: every baseline trained, judged, and set beside print.

::

    DIR/
    ├── <row>/         run, predictions.parquet, report/ of one baseline; see `experiments`
    ├── affectnet2017.html     every table, ours beside the published
    └── affectnet2017.json     the same for programs
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openaffect.dataset import Dataset
from openaffect.labels import Expression, parse_labels
from openaffect.progress import OnProgress
from openaffect.replication.affectnet2017_page import render_affectnet2017
from openaffect.replication.experiment_data import (
    claim_folder,
    compare_rows,
    count_classes,
    outcome_to_dict,
    setup_to_dict,
    write_files,
)
from openaffect.replication.experiments import (
    Experiment,
    ExperimentConfig,
    ExperimentResult,
    ReplicationResult,
    choose_rows,
    choose_split,
    outside_rows,
    run_rows,
)
from openaffect.reports import Comparison
from openaffect.reports.contents import to_json_value
from openaffect.reports.published import (
    AROUSAL,
    TEST,
    VALENCE,
    VALIDATION,
    PublishedTable,
    Subject,
    differences,
)
from openaffect.reports.rows import select_rows
from openaffect.training import Recipe

ROWS = (
    Experiment("imbalanced", "Imbalanced", "alexnet-imbalanced", published="AlexNet, imbalanced"),
    Experiment(
        "down-sampling", "Down-sampling", "alexnet-down-sampling", (), "AlexNet, down-sampling"
    ),
    Experiment("up-sampling", "Up-sampling", "alexnet-up-sampling", (), "AlexNet, up-sampling"),
    Experiment(
        "weighted-loss", "Weighted loss", "alexnet-weighted-loss", (), "AlexNet, weighted loss"
    ),
    Experiment("svm", "SVM", "hog-svm", published="HOG and SVM"),
    Experiment("va-cnn", "Affect CNN", "alexnet-valence-arousal", (), "AlexNet, one for each axis"),
    Experiment("va-svr", "Affect SVR", "hog-svr"),
)
"""The rows that the paper's tables have; MS Cognitive's is published numbers alone."""

# A service that is gone; its own predictions, kept in a file, take the place beside its numbers.
_OUTSIDE = {"ms-cognitive": "MS Cognitive"}

# AffectNet's validation set, and the copies of it that lack one face of contempt.
_VALIDATION_COUNTS = (499, 500)


@dataclass(frozen=True, slots=True)
class AffectNet2017:
    """What the page and `affectnet2017.json` show.

    Attributes:
        setup: dataset, split, settings.
        outcomes: one a row.
        labels: the label set that is scored.
        faces: scored faces of each expression.
        learned: training faces of each expression.
        left_out: faces of the split that are not scored, by expression.
        expressions, affect: the systems that tell the one or the other, compared; None for fewer
            than two.
    """

    setup: ExperimentConfig
    outcomes: tuple[ExperimentResult, ...]
    labels: tuple[Expression, ...]
    faces: dict[str, int]
    learned: dict[str, int]
    left_out: dict[str, int]
    expressions: Comparison | None
    affect: Comparison | None

    @property
    def is_like_validation(self) -> bool:
        """Whether the scored faces are of the kind of AffectNet's validation set: 500 of each."""
        return self.setup.split == "validation" and all(
            count in _VALIDATION_COUNTS for count in self.faces.values()
        )

    def differences(self, published: PublishedTable) -> list[str]:
        """In what the protocol is known to differ from that of a published table."""
        info = self.setup.dataset.info
        labels = [label.value for label in self.labels]
        rows = sum(self.faces.values())
        return differences(
            published, Subject(info.name, info.source, self.setup.split, labels, rows)
        )

    def to_dict(self) -> dict[str, Any]:
        """What `affectnet2017.json` holds; strict JSON."""
        data = {
            **setup_to_dict(self.setup),
            "labels": [label.value for label in self.labels],
            "faces": self.faces,
            "learned": self.learned,
            "left_out": self.left_out,
            "settings": list(self.setup.settings),
            "rows": [outcome_to_dict(outcome) for outcome in self.outcomes],
            "published": [_published(self, t) for t in (TEST, VALIDATION, VALENCE, AROUSAL)],
            "comparisons": {
                name: None if found is None else found.to_dict()
                for name, found in (("expressions", self.expressions), ("affect", self.affect))
            },
        }
        result: dict[str, Any] = to_json_value(data)
        return result


def replicate_affectnet2017(
    dataset: Dataset,
    folder: str | Path,
    *,
    rows: Sequence[str] | None = None,
    settings: Sequence[str] = (),
    split: str | None = None,
    predictions: Mapping[str, Path] | None = None,
    overwrite: bool = False,
    draws: int = 200,
    rounds: int = 1000,
    table: Sequence[Experiment] = ROWS,
    on_progress: OnProgress | None = None,
) -> ReplicationResult:
    """Train, judge and compare the paper's baselines on a dataset; a second call goes on.

    A row whose report fits the dataset and the recipe is kept; an unfinished training goes on.
    The page is written anew after each row.

    Args:
        dataset: with faces in `train` and in a split to score.
        folder: to make, or that of an earlier call.
        rows: keys of the rows to run; all by default. The page also shows what earlier calls did.
        settings: `key=value` for every recipe, or `row:key=value` for one.
        split: to score; `test` if present, else `validation`.
        predictions: of outside systems, name → file; each becomes a column.
        overwrite: begin the chosen rows anew.
        draws: balanced draws behind each Norm value.
        rounds: bootstrap samples behind each interval.
        table: the rows; the paper's by default.
        on_progress: called with what each row tells, under its key.

    Returns:
        The page, and what became of each row: one that failed never ends the others.

    Raises:
        UnknownName: a row, or a key of a recipe, that does not exist.
        InputError: the dataset has nothing to score, the folder holds other things, a setting that
            no recipe can take, or predictions that are not there.
        MissingExtra: the extra `train` is not installed.
    """
    folder = Path(folder)
    chosen = choose_rows(table, rows)
    outside = outside_rows(predictions or {}, table, _OUTSIDE)
    setup = ExperimentConfig(
        dataset,
        dataset.fingerprint(),
        folder,
        choose_split(dataset, split),
        on_progress or (lambda _: None),
        tuple(settings),
        overwrite,
        draws,
        rounds,
    )
    claim_folder(folder, "affectnet2017.json")

    def write(outcomes: Sequence[ExperimentResult]) -> None:
        _write(_collect(setup, tuple(outcomes)))

    everything = [*table, *outside]
    outcomes = run_rows(setup, everything, chosen | {row.key for row in outside}, write)
    return ReplicationResult(folder / "affectnet2017.html", outcomes)


def _collect(setup: ExperimentConfig, outcomes: tuple[ExperimentResult, ...]) -> AffectNet2017:
    recipes = [o.recipe for o in outcomes if isinstance(o.recipe, Recipe)]
    labels = parse_labels(recipes[0].labels if recipes else "8")
    selection = select_rows(setup.dataset, labels, setup.split)
    ids = setup.dataset.expression_ids[selection.rows]
    return AffectNet2017(
        setup,
        outcomes,
        labels,
        {label.value: int((ids == label.id).sum()) for label in labels},
        count_classes(setup.dataset, "train", labels),
        selection.left_out,
        compare_rows(outcomes, "categorical", setup.rounds),
        compare_rows(outcomes, "dimensional", setup.rounds),
    )


def _published(replication: AffectNet2017, table: PublishedTable) -> dict[str, Any]:
    return {
        "title": table.title,
        "source": table.source,
        "split": table.split,
        "differences": replication.differences(table),
        "rows": [
            {
                "name": row.name,
                "scores": {m: {"orig": o, "norm": n} for m, (o, n) in row.scores.items()},
                "doubtful": row.doubtful or {},
            }
            for row in table.rows
        ],
    }


def _write(replication: AffectNet2017) -> None:
    write_files(
        replication.setup.folder,
        "affectnet2017",
        render_affectnet2017(replication),
        replication.to_dict(),
    )
