"""Rows of a published table, each a recipe that is trained, used for predictions, and judged.

::

    DIR/
    ├── <row>/run/                   recipe.toml, checkpoint.pt, log.csv, model.onnx
    ├── <row>/predictions.parquet    of the scored faces
    └── <row>/report/                report.html, report.json, rows.parquet

Each step is skipped where its result is there and belongs to the same recipe and the same data:
the model's card holds the hashes of both, predictions hold the hash of the model and of the faces,
a report what its predictions held. So a killed call goes on where it was, row by row, and nothing
but the results themselves has to be believed. A row that fails never ends the others.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from openaffect.dataset import Dataset
from openaffect.errors import (
    FormatError,
    InputError,
    MismatchError,
    MissingWeights,
    TrainingError,
    UnknownName,
)
from openaffect.inference import predict_dataset
from openaffect.labels import parse_labels
from openaffect.model import Model, open_model
from openaffect.predictions import Predictions, open_predictions
from openaffect.progress import OnProgress, Progress, relabel
from openaffect.reports import Report, evaluate, open_report
from openaffect.reports.rows import ALL, Selection, select_rows
from openaffect.training import Recipe, load_recipe, train

# What belongs to one row alone: another row may well succeed.
FAILURES = (InputError, TrainingError, MissingWeights)


@dataclass(frozen=True, slots=True)
class Experiment:
    """One system of a table.

    Attributes:
        key: its folder's name.
        title: its heading.
        recipe: name of the recipe, or the path of a TOML file; "" for an outside system.
        settings: keys of the recipe that this row sets otherwise, as `key=value`.
        published: its name in the published tables, or "".
        predictions: the file of an outside system, which is judged and not trained.
    """

    key: str
    title: str
    recipe: str = ""
    settings: tuple[str, ...] = ()
    published: str = ""
    predictions: Path | None = None


Status = Literal["done", "kept", "failed", "not run"]


@dataclass(frozen=True, slots=True)
class ExperimentResult:
    """What became of a row.

    Attributes:
        row: the row.
        status: `done` by this call, `kept` from an earlier one, `failed`, or `not run`.
        recipe: resolved; None for an outside system, or where it cannot be read.
        report: None where there is none.
        reason: why it failed, or "".
    """

    row: Experiment
    status: Status
    recipe: Recipe | None = None
    report: Report | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ExperimentConfig:
    """What all rows of a table share.

    Attributes:
        dataset: the faces.
        fingerprint: of the dataset.
        folder: where every row has its own folder.
        split: that is scored.
        on_progress: called with what each row tells, under its key.
        settings: keys that recipes get otherwise: `key=value` for all, `row:key=value` for one.
        overwrite: begin the chosen rows anew.
        draws: balanced draws behind each Norm value.
        rounds: bootstrap samples behind each interval.
    """

    dataset: Dataset
    fingerprint: str
    folder: Path
    split: str
    on_progress: OnProgress
    settings: tuple[str, ...] = ()
    overwrite: bool = False
    draws: int = 200
    rounds: int = 1000


@dataclass(frozen=True, slots=True)
class ReplicationResult:
    """What a whole table came to.

    Attributes:
        page: the path of the page.
        outcomes: one a row.
    """

    page: Path
    outcomes: tuple[ExperimentResult, ...]

    @property
    def failed(self) -> tuple[ExperimentResult, ...]:
        """The rows that failed."""
        return tuple(outcome for outcome in self.outcomes if outcome.status == "failed")


def choose_rows(rows: Sequence[Experiment], wanted: Sequence[str] | None) -> frozenset[str]:
    """The keys that were asked for, all by default; none are none.

    Raises:
        UnknownName: a key that no row has.
    """
    keys = [row.key for row in rows]
    for key in wanted or ():
        if key not in keys:
            raise UnknownName("row", key, keys)
    return frozenset(keys if wanted is None else wanted)


def outside_rows(
    predictions: Mapping[str, Path], rows: Sequence[Experiment], published: Mapping[str, str]
) -> list[Experiment]:
    """Rows of outside systems, from their names and files.

    Args:
        predictions: name → file.
        rows: the rows that are there already.
        published: for the key of such a row, its name in the published tables.

    Raises:
        InputError: a name of which no folder can be made, that is taken, or a file that is not there.
    """
    taken = {row.key for row in rows}
    found = []
    for name, path in predictions.items():
        key = re.sub(r"[\s_-]+", "-", name.strip().lower())
        if not re.fullmatch(r"\w[\w.+-]*", key):
            raise InputError(
                f"expected a system's name of letters, digits and blanks, but got '{name}'"
            )
        if key in taken:
            raise InputError(f"the name '{name}' is taken by another row; choose another")
        if not Path(path).is_file():
            raise InputError(f"expected the predictions of {name} at {path}, but there is no file")
        taken.add(key)
        found.append(
            Experiment(key, name.strip(), published=published.get(key, ""), predictions=Path(path))
        )
    return found


def choose_split(dataset: Dataset, split: str | None) -> str:
    """The split that is scored: the one asked for, else `test`, else `validation`.

    Raises:
        InputError: the dataset has no splits and none was asked for, or has no row to score.
    """
    chosen = select_rows(dataset, parse_labels("8"), split).split
    if chosen == ALL and split is None:
        raise InputError(
            f"{dataset.path} has no splits, so nothing would be left to score; make some: "
            f"openaffect split {dataset.path} OUT --validation 500-per-class"
        )
    return chosen


def run_rows(
    setup: ExperimentConfig,
    rows: Sequence[Experiment],
    chosen: Collection[str],
    after: Callable[[Sequence[ExperimentResult]], None],
) -> tuple[ExperimentResult, ...]:
    """Bring every chosen row to its report; of the others take what earlier calls have left.

    Args:
        setup: what the rows share.
        rows: of the table.
        chosen: keys of those to run.
        after: called with all outcomes so far, at the beginning and after each row that was run.

    Raises:
        InputError: a setting that no chosen recipe can take.
    """
    recipes = _load_recipes(rows, chosen, setup.settings)
    outcomes = {row.key: _find(setup, row, recipes) for row in rows}
    after(tuple(outcomes.values()))
    todo = [row for row in rows if row.key in chosen]
    for number, row in enumerate(todo, start=1):
        mark = f"{number}/{len(todo)} {row.title}"
        if outcomes[row.key].status == "kept" and not setup.overwrite:
            setup.on_progress(Progress("finished", line=f"{mark}: finished before, kept"))
            continue
        setup.on_progress(Progress("starting", line=mark))
        outcomes[row.key] = _run(setup, row, recipes)
        if outcomes[row.key].status == "failed":
            line = f"{row.title} failed: {outcomes[row.key].reason}"
            setup.on_progress(Progress("finished", line=line))
        after(tuple(outcomes.values()))
    return tuple(outcomes.values())


# ---- recipes ----------------------------------------------------------------------------

_Recipes: TypeAlias = Mapping[str, Recipe | InputError]


def _load_recipes(
    rows: Sequence[Experiment], chosen: Collection[str], settings: Sequence[str]
) -> _Recipes:
    """The resolved recipe of each row, or why there is none; what a row sets itself wins."""
    for_all, for_one = _split_settings(rows, settings)
    found: dict[str, Recipe | InputError] = {}
    for row in rows:
        if row.predictions is None:
            wanted = [*for_all, *for_one.get(row.key, ()), *row.settings]
            try:
                found[row.key] = load_recipe(row.recipe, wanted)
            except InputError as error:
                found[row.key] = error
    asked = [found[key] for key in found if key in chosen]
    errors = [recipe for recipe in asked if isinstance(recipe, InputError)]
    if asked and len(errors) == len(asked):
        raise errors[0]  # a slip in a setting is told once, not on every row
    return found


def _split_settings(
    rows: Sequence[Experiment], settings: Sequence[str]
) -> tuple[list[str], dict[str, list[str]]]:
    """The settings for all rows, and those for one."""
    keys = [row.key for row in rows if row.predictions is None]
    for_all: list[str] = []
    for_one: dict[str, list[str]] = {}
    for setting in settings:
        key, sign, _ = setting.partition("=")[0].partition(":")
        if not sign:
            for_all.append(setting)
            continue
        if key.strip() not in keys:
            raise UnknownName("row", key.strip(), keys, f"the setting '{setting}'")
        for_one.setdefault(key.strip(), []).append(setting.partition(":")[2])
    return for_all, for_one


def _labels(row: Experiment, recipes: _Recipes) -> str:
    """The label set that a row is scored on; an outside system's is that of the other rows."""
    own = recipes.get(row.key)
    known = [own, *recipes.values()]
    return next((recipe.labels for recipe in known if isinstance(recipe, Recipe)), "8")


# ---- one row ----------------------------------------------------------------------------


def _run(setup: ExperimentConfig, row: Experiment, recipes: _Recipes) -> ExperimentResult:
    recipe = recipes.get(row.key)
    try:
        if isinstance(recipe, InputError):
            raise recipe
        selection = select_rows(setup.dataset, parse_labels(_labels(row, recipes)), setup.split)
        if recipe is None:
            assert row.predictions is not None
            predictions = open_predictions(row.predictions)
        else:
            predictions = _predict(setup, row, _train(setup, row, recipe), selection)
        report = _judge(setup, row, predictions, selection)
    except FAILURES as error:
        resolved = recipe if isinstance(recipe, Recipe) else None
        # What helps is to be set for this row alone.
        reason = str(error).replace("--set ", f"--set {row.key}:")
        return ExperimentResult(row, "failed", resolved, reason=reason)
    return ExperimentResult(row, "done", recipe, report)


def _train(setup: ExperimentConfig, row: Experiment, recipe: Recipe) -> Model:
    run = setup.folder / row.key / "run"
    model = None if setup.overwrite else _fitting_model(setup, run, recipe)
    if model is not None:
        return model
    anew = setup.overwrite and (run / "recipe.toml").is_file()
    tell = relabel(setup.on_progress, name=row.key)
    try:
        path = train(setup.dataset, run, recipe, resume=not anew, overwrite=anew, on_progress=tell)
    except MismatchError as error:
        raise MismatchError(f"{error}; --overwrite begins the row anew") from error
    return open_model(path)


def _predict(
    setup: ExperimentConfig, row: Experiment, model: Model, selection: Selection
) -> Predictions:
    path = setup.folder / row.key / "predictions.parquet"
    faces = setup.dataset.select(selection.rows)
    wanted = _origin(model, faces)
    if path.is_file():
        try:
            made = open_predictions(path)
        except InputError:
            pass  # a broken file is made again
        else:
            if _holds(made.made_with, wanted):
                return made
    tell = relabel(setup.on_progress, name=row.key, title=f"{row.key} predicting")
    made = predict_dataset(model, faces, on_progress=tell)
    made.save(path, overwrite=True)
    return open_predictions(path)  # rounded as the file is, so that its report can be made again


def _judge(
    setup: ExperimentConfig, row: Experiment, predictions: Predictions, selection: Selection
) -> Report:
    line = f"{row.title}: evaluating {len(selection.rows):,} faces"
    setup.on_progress(Progress("evaluating", line=line))
    report = evaluate(
        setup.dataset,
        predictions,
        split=selection.split,
        labels=[label.value for label in selection.labels],
        draws=setup.draws,
        rounds=setup.rounds,
    )
    report.save(setup.folder / row.key / "report", dataset=setup.dataset, overwrite=True)
    return report


# ---- what is there already --------------------------------------------------------------


def _find(setup: ExperimentConfig, row: Experiment, recipes: _Recipes) -> ExperimentResult:
    """What earlier calls have left of a row: `kept` with its report, or `not run`."""
    recipe = recipes.get(row.key)
    if not isinstance(recipe, Recipe):  # an outside file is judged anew: that takes seconds
        reason = str(recipe) if recipe is not None else ""
        return ExperimentResult(row, "not run", reason=reason)
    nothing = ExperimentResult(row, "not run", recipe)
    model = _fitting_model(setup, setup.folder / row.key / "run", recipe)
    if model is None:
        return nothing
    try:
        report = open_report(setup.folder / row.key / "report")
        selection = select_rows(setup.dataset, parse_labels(recipe.labels), setup.split)
    except InputError:
        return nothing
    protocol = report.protocol
    labels = [label.value for label in selection.labels]
    made = (protocol.split, protocol.labels, protocol.draws, protocol.rounds)
    origin = _origin(model, setup.dataset.select(selection.rows))
    if report.table is None or made != (selection.split, labels, setup.draws, setup.rounds):
        return nothing
    if not _holds(protocol.made_with, origin):
        return nothing
    return ExperimentResult(row, "kept", recipe, report)


def _fitting_model(setup: ExperimentConfig, run: Path, recipe: Recipe) -> Model | None:
    """The finished model of a run, if this recipe made it from this dataset."""
    if not (run / "model.onnx").is_file():
        return None
    try:
        model = open_model(run)
    except FormatError:
        return None
    fits = (
        model.card.recipe_sha256 == recipe.sha256()
        and model.card.data_fingerprint == setup.fingerprint
    )
    return model if fits else None


def _origin(model: Model, faces: Dataset) -> dict[str, str]:
    """What predictions of these faces by this model say of their making."""
    with open(model.path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {"model_sha256": sha256, "dataset_fingerprint": faces.fingerprint()}


def _holds(facts: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(facts.get(key) == value for key, value in wanted.items())
