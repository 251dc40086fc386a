"""A training of HOG, PCA and a linear machine, from a dataset to a run folder."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from openaffect.dataset import Dataset
from openaffect.errors import InputError, MismatchError
from openaffect.model import open_model
from openaffect.progress import OnProgress, Progress
from openaffect.storage import atomic_file
from openaffect.training.calibration import fit_temperature
from openaffect.training.card import TrainingSummary, attach_card, make_card
from openaffect.training.hog import graph
from openaffect.training.hog.features import FeatureReader
from openaffect.training.hog.machine import (
    NEVER,
    LinearModel,
    PCAProjection,
    check_classes,
    fit_affect,
    fit_classes,
    fit_pca,
)
from openaffect.training.imbalance import class_weights, sample_epoch
from openaffect.training.progress import tell_finished, tell_plan, tell_row
from openaffect.training.recipe import Recipe
from openaffect.training.run_folder import check_folder, lock_folder, prepare_folder, write_log
from openaffect.training.targets import Targets, choose_targets, own_labels, train_val_split
from openaffect.training.validation import validate

PCA_FACES = 4_000
"""Faces, drawn at random, that PCA is made from; their features take 0.55 GB at 256 pixels."""
_STEPS = 2  # PCA and the machine


def train(
    dataset: Dataset,
    run: str | Path,
    recipe: Recipe,
    *,
    resume: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
) -> Path:
    """Train a HOG recipe on a dataset's split `train`, into a run folder, and export it.

    It takes minutes, so nothing of an unfinished run is kept: with `resume` it begins again, and a
    finished run is left as it is.

    Args:
        dataset: labeled faces.
        run: the folder to make; with `resume`, the folder of the run.
        recipe: one with `method = "hog"`.
        resume: accept a run folder that is there.
        overwrite: remove the files of a run that is there.
        on_progress: called at every turn, in the phases `reading`, `training` and `exporting`, or
            `finished` for a run that was.

    Returns:
        The path of `model.onnx`.

    Raises:
        DestinationExists: the run folder holds something, and neither `resume` nor `overwrite`.
        MismatchError: `resume` with another recipe or other data than the run began with.
        InputError: nothing to learn from; faces of one expression only; no picture can be read; a
            `resize` that cells do not fill; both `resume` and `overwrite`; or another process
            works in this folder.
        TrainingError: the exported graph does not do what was trained.
    """
    run, on_progress = Path(run), on_progress or (lambda _: None)
    check_folder(run, recipe, resume=resume, overwrite=overwrite)
    if recipe.resize % graph.CELL or recipe.resize < graph.CELL * graph.BLOCK:
        raise InputError(
            f"expected recipe key 'resize' of a HOG recipe to be a multiple of {graph.CELL}, "
            f"at least {graph.CELL * graph.BLOCK}, but got {recipe.resize}"
        )
    with lock_folder(run):
        fingerprint = dataset.fingerprint()
        if resume and (run / "model.onnx").is_file():
            _check_data(run, dataset, fingerprint)
            on_progress(tell_finished())
            return run / "model.onnx"
        # What makes the training impossible is told before a file is touched.
        targets = choose_targets(dataset, recipe)
        learned, held = train_val_split(
            dataset, targets, recipe.early_stopping_fraction, recipe.seed
        )
        if recipe.label_set:
            check_classes(learned.classes, recipe)
        prepare_folder(run, recipe, overwrite=overwrite)
        reader = FeatureReader(dataset, recipe, on_progress)
        try:
            fitted = _fit(dataset, recipe, reader, learned, held, on_progress)
            on_progress(tell_row("exporting", fitted.row, epochs=1))
            write_log(run, [fitted.row])
            _export(run / "model.onnx", dataset, fingerprint, recipe, reader, fitted)
        finally:
            reader.close()
    return run / "model.onnx"


def _check_data(run: Path, dataset: Dataset, fingerprint: str) -> None:
    if open_model(run).card.data_fingerprint != fingerprint:
        raise MismatchError(
            f"{run} was trained on other data than {dataset.path}; "
            "resume with the same dataset, or train into another folder"
        )


@dataclass(frozen=True, slots=True)
class _Reduced:
    """The faces that could be read, in PCA's components.

    Attributes:
        projection: of the components.
        learned, weights, inputs: faces to learn from, what each counts, and their components.
        held, held_inputs: faces held out, and their components.
        seconds: that PCA took.
    """

    projection: PCAProjection
    learned: Targets
    weights: NDArray[np.float64]
    inputs: NDArray[np.float32]
    held: Targets
    held_inputs: NDArray[np.float32]
    seconds: float


@dataclass(frozen=True, slots=True)
class _Fitted:
    """What a training has found.

    Attributes:
        projection, machine, temperature: of the model.
        learned: the faces that were learned from.
        held: number of faces held out.
        row: of log.csv.
    """

    projection: PCAProjection
    machine: LinearModel
    temperature: float
    learned: Targets
    held: int
    row: dict[str, Any]


def _fit(
    dataset: Dataset,
    recipe: Recipe,
    reader: FeatureReader,
    learned: Targets,
    held: Targets,
    on_progress: OnProgress,
) -> _Fitted:
    began = time.monotonic()
    faces = _reduce(dataset, recipe, reader, learned, held, on_progress)
    on_progress(_tell_step(1))
    middle = time.monotonic()
    if recipe.label_set:
        machine = fit_classes(faces.inputs, faces.learned.classes, faces.weights, recipe)
    else:
        machine = fit_affect(faces.inputs, faces.learned.affect, recipe)
    machine_seconds = time.monotonic() - middle
    for note in _notes(recipe, machine):
        on_progress(_tell_step(2, warning=note))
    temperature = 1.0
    if recipe.label_set and recipe.temperature:
        labels = own_labels(dataset, recipe.label_set)[faces.held.rows]
        temperature = _calibrate(machine, faces.held_inputs, labels)
    scores = _score(recipe, machine.scores(faces.held_inputs) / temperature, faces.held)
    own_scores = machine.scores(faces.inputs) / temperature
    row = {
        "epoch": 1,
        "loss": _score(recipe, own_scores, faces.learned)["loss"],
        "faces": len(faces.learned),
        "components": len(faces.projection.components),
        "variance_kept": round(faces.projection.kept, 4),
        "converged": machine.converged,
        **{f"stop_{key}": number for key, number in scores.items()},
        "reading_seconds": round(reader.seconds, 1),
        "pca_seconds": round(faces.seconds, 1),
        "machine_seconds": round(machine_seconds, 1),
        "seconds": round(time.monotonic() - began, 1),
        "broken": len(reader.crops.broken),
    }
    return _Fitted(faces.projection, machine, temperature, faces.learned, len(faces.held), row)


def _reduce(
    dataset: Dataset,
    recipe: Recipe,
    reader: FeatureReader,
    learned: Targets,
    held: Targets,
    on_progress: OnProgress,
) -> _Reduced:
    """PCA of some faces, then every other face brought to its components as soon as it is read."""
    learned, weights = _weigh(recipe, learned)
    reader.total = len(learned) + len(held)
    order = np.random.default_rng((recipe.seed, 1)).permutation(len(learned))
    first, rest = np.sort(order[:PCA_FACES]), np.sort(order[PCA_FACES:])
    features, places = reader.read_all(learned.rows[first])
    if not len(features):
        reason = next(iter(reader.crops.broken.values()))
        raise InputError(f"not one picture of {dataset.path} can be read; first: {reason}")
    on_progress(_tell_step(0, log=tell_plan(epochs=1, steps=_STEPS)))
    began = time.monotonic()
    projection, projected = fit_pca(features, recipe.components, recipe.seed)
    seconds = time.monotonic() - began
    del features  # the largest thing in memory
    if len(projection.components) < recipe.components:
        note = (
            f"{len(places)} faces allow {len(projection.components)} components, "
            f"not the recipe's {recipe.components}"
        )
        on_progress(_tell_step(1, warning=note))
    others, more = _project(reader, projection, learned.rows[rest])
    held_inputs, found = _project(reader, projection, held.rows)
    if not len(found):
        raise InputError("not one of the faces held out for stopping can be read")
    readable = np.concatenate([first[places], rest[more]])
    return _Reduced(
        projection=projection,
        learned=learned.select(readable),
        weights=weights[readable],
        inputs=np.concatenate([projected, others]),
        held=held.select(found),
        held_inputs=held_inputs,
        seconds=seconds,
    )


def _tell_step(done: int, *, log: str = "", warning: str = "") -> Progress:
    return Progress("training", done, _STEPS, title="epoch 1/1", log=log, warning=warning)


def _weigh(recipe: Recipe, targets: Targets) -> tuple[Targets, NDArray[np.float64]]:
    """The faces that a strategy takes, each once, and what each counts: its repeats times H."""
    rng = np.random.default_rng((recipe.seed, 0))
    rows = sample_epoch(recipe.strategy, targets.classes, recipe.max_per_class, rng)
    places, repeats = np.unique(rows, return_counts=True)
    counts = np.bincount(targets.classes, minlength=max(1, len(recipe.label_set)))
    weights = class_weights(recipe.strategy, counts, recipe.beta)
    return targets.select(places), repeats * weights[targets.classes[places]]


def _project(
    reader: FeatureReader, projection: PCAProjection, rows: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Components (m, components) and places in `rows` (m,) of the faces that can be read."""
    inputs = [np.empty((0, len(projection.components)), np.float32)]
    found = [np.empty(0, np.int64)]
    for features, places in reader.read(rows):
        inputs.append(projection.project(features))
        found.append(places)
    return np.concatenate(inputs), np.concatenate(found)


def _calibrate(
    machine: LinearModel, inputs: NDArray[np.float32], labels: NDArray[np.float32]
) -> float:
    """One temperature for all scores: the likeliest expression stays the one the SVM chose.

    A slope and an offset for each class would need more faces of the rare ones than are held out,
    and would move the decision towards the classes that are frequent there.
    """
    known = machine.bias > NEVER
    scores = machine.scores(inputs)[:, known]
    return fit_temperature(torch.from_numpy(scores), torch.from_numpy(labels[:, known]))


def _score(recipe: Recipe, scores: NDArray[np.float64], truth: Targets) -> dict[str, float]:
    """The scores of log.csv, from scores divided by the temperature, or valence and arousal."""
    if recipe.label_set:
        return validate(scores, None, truth)
    return validate(None, np.clip(scores, -1, 1), truth)


def _export(
    path: Path,
    dataset: Dataset,
    fingerprint: str,
    recipe: Recipe,
    reader: FeatureReader,
    fitted: _Fitted,
) -> None:
    fused = fitted.machine.fuse(fitted.projection)
    size, temperature = recipe.resize, fitted.temperature
    if recipe.label_set:
        model = graph.expression_graph(size, fused.weights, fused.bias, temperature)
    else:
        model = graph.affect_graph(size, fused.weights, fused.bias)

    def pipeline(crops: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
        """What the graph should give, step by step."""
        scores = fitted.machine.scores(fitted.projection.project(reader.compute(crops)))
        if recipe.label_set:
            return [torch.softmax(torch.from_numpy(scores / temperature), dim=1).numpy()]
        return [np.clip(scores, -1, 1)]

    summary = TrainingSummary(
        dataset=dataset,
        fingerprint=fingerprint,
        targets=fitted.learned,
        held=fitted.held,
        broken=len(reader.crops.broken),
        best_epoch=1,
        scores={k: v for k, v in fitted.row.items() if k.startswith("stop_")},
        images=reader.crops.hash_images(fitted.learned.rows),
    )
    card = make_card(recipe, temperature, summary, fused.weights.size + fused.bias.size)
    more = {key: fitted.row[key] for key in ("components", "variance_kept", "converged")}
    card = dataclasses.replace(
        card, trained_on=card.trained_on | more, notes="; ".join(_notes(recipe, fitted.machine))
    )
    with atomic_file(path) as temporary:
        onnx.save(model, temporary)
        attach_card(card, temporary, pipeline)


def _notes(recipe: Recipe, machine: LinearModel) -> list[str]:
    """What a user of the model should know of its training."""
    pairs = zip(recipe.label_set, machine.bias, strict=False)
    never = [label.value for label, bias in pairs if bias == NEVER]
    notes = []
    if never:
        notes.append(f"no face of {', '.join(never)} was learned: the probability is 0")
    if not machine.converged:
        notes.append("the solver ran out of steps before it converged; a lower svm_c is quicker")
    return notes
