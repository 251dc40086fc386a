"""`label_faces`: a dataset whose unlabeled faces a model has labeled, and how good these labels are.

The pictures pass once: first those of the held-out faces, then those that get a label, both into files in
an unfinished folder beside the destination, in parts that a kill leaves whole. What is left then reads
tables alone: a rule is fitted on the held-out predictions and applied to the others, a portion at a time.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openaffect import metrics
from openaffect.autolabel.held_out import (
    PORTION,
    USES,
    HeldOut,
    choose_labels,
    divide,
    drop_unusable,
    is_unlabeled,
    keep_human,
    keep_unlabeled,
    read_held_out,
)
from openaffect.autolabel.outcome import LabelReport, measure
from openaffect.autolabel.rules import Wish, fit_rule
from openaffect.autolabel.writing import HELD_OUT, Outcome, read_info, write_labels
from openaffect.dataset import refuse_onto, scan_dataset
from openaffect.errors import FormatError, InputError, OpenAffectError
from openaffect.faces.finding import resolve_detector
from openaffect.image_links import check_links
from openaffect.inference import describe_model
from openaffect.labels import Expression
from openaffect.model import Model
from openaffect.parallel import check_engine
from openaffect.predictions import Predictions, open_predictions
from openaffect.progress import OnProgress, relabel
from openaffect.streamed_inference import FaceFilter, predict_to_file
from openaffect.unfinished import open_folder

_FACES, _SNAPSHOT = "faces.parquet", "project"
_ORIGINS = ("expression", "expression_origin")


@dataclass(frozen=True, slots=True)
class _Crew:
    batch_size: int
    workers: int | None
    engine: str
    ray_address: str | None


def label_faces(
    source: str | Path,
    destination: str | Path,
    model: Model,
    *,
    held_out: str | Path | None = None,
    split: str | None = None,
    labels: str | None = None,
    accuracy: float | None = None,
    certainty: float = 0.9,
    share: float | None = None,
    coverage: float = 0.9,
    class_conditional: bool = False,
    no_face: str | None = None,
    only_new: bool = False,
    seed: int = 0,
    batch_size: int = 64,
    workers: int | None = None,
    engine: str = "threads",
    ray_address: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
) -> LabelReport:
    """Label the faces that have no label, into a dataset that says who labeled what.

    Args:
        source: a dataset, or a project whose faces are taken with what people say of them.
        destination: the dataset folder to make.
        model: from `open_model`.
        held_out: the dataset whose human labels decide and judge; by default the source.
        split: only the held-out labels of this split.
        labels: the expressions that count, see `parse_labels`; by default those of the model.
        accuracy: wanted of the labels, in (0, 1); with `share` None, all faces are labeled.
        certainty: with which that accuracy shall be reached, in [0.5, 1).
        share: of the faces that shall be labeled, in (0, 1].
        coverage: of the sets and intervals, in (0, 1).
        class_conditional: keep the coverage of sets within each class.
        no_face: the detector that decides what is no face, where the model has no such class.
        only_new: leave faces out whose label stays.
        seed: of the division of the held-out faces.
        batch_size, workers, engine, ray_address: see `predict_to_file`.
        resume: go on with the unfinished run for this destination, if there is one.
        overwrite: replace the destination, and drop an unfinished run.
        on_progress: called now and then with what is being done, the number done, and of all.

    Raises:
        InputError: no face to label, no or too few human labels, labels of faces that the model
            learned from, a wanted accuracy that no threshold reaches, or a number out of range.
        MismatchError: a model whose labels do not fit the human ones, or an unfinished run that was
            asked for otherwise.
        DestinationExists: the destination is there, or an unfinished run without `resume`.
        FormatError: what `open_dataset` and `open_project` raise.
        UnknownName, MissingWeights, MissingExtra: no such detector or engine, or not here.
    """
    source, destination = Path(source), Path(destination)
    wish = Wish(accuracy, certainty, share, coverage, class_conditional)
    chosen = choose_labels(model.card, labels)
    check_engine(engine, ray_address)
    detector = None if no_face is None else _choose_detector(model, no_face)
    on_progress = on_progress or (lambda _: None)
    is_project = _is_project(source)
    check_links(destination)
    asked = {
        "source": str(source.absolute()),
        "held_out": None if held_out is None else str(Path(held_out).absolute()),
        "model_sha256": describe_model(model)["model_sha256"],
        "split": split,
        "labels": [label.value for label in chosen],
        **dataclasses.asdict(wish),
        "detector": detector,
        "only_new": only_new,
        "seed": seed,
    }
    if not is_project and source.exists():
        refuse_onto(destination, source, read_info(source).images_folder)
    folder = open_folder(destination, asked, resume=resume, overwrite=overwrite)
    crew = _Crew(batch_size, workers, engine, ray_address)
    left_out: dict[str, int] = {}
    try:
        if is_project:
            left_out = _take_project(source, folder, on_progress)
        dataset = folder / _SNAPSHOT if is_project else source
        of_held = dataset if held_out is None else Path(held_out)
        _count_unlabeled(dataset)
        held = read_held_out(of_held, split, chosen, asked=labels is not None)
        humans = FaceFilter(keep_human, _ORIGINS)
        given = _predict(
            model, of_held, folder / HELD_OUT, humans, split, detector, crew, on_progress
        )
        held = drop_unusable(held, given, chosen)
        held = divide(held, seed, metrics.least_rows(coverage))
        rule = fit_rule(held, given, chosen, wish)
        unlabeled = FaceFilter(keep_unlabeled, _ORIGINS)
    except OpenAffectError:
        # Nothing of it could be gone on with by the same command, unless faces were predicted already.
        if not any(folder.glob(f"*{_FACES}*")):
            shutil.rmtree(folder)
        raise
    _predict(
        model, dataset, folder / _FACES, unlabeled, None, detector, crew, on_progress, whole=False
    )
    measured = measure(rule, held, given, by_detector=detector is not None)
    protocol = _protocol(model, dataset, of_held, held, wish, asked, left_out, given)
    report = write_labels(
        dataset,
        destination,
        folder / _FACES,
        Outcome(rule, held, given, protocol, measured, bool(model.card.learned)),
        only_new=only_new,
        own_images=is_project,
        overwrite=overwrite or resume,
    )
    shutil.rmtree(folder)
    return report


def _is_project(source: Path) -> bool:
    if (source / "project.toml").is_file():
        return True
    if (source / "dataset.json").is_file():
        return False
    raise FormatError(
        f"expected a project or a dataset at {source}, but "
        + ("it has neither project.toml nor dataset.json" if source.is_dir() else "there is none")
        + "; make one with `openaffect new` or `openaffect import`"
    )


def _choose_detector(model: Model, name: str) -> str:
    if Expression.NO_FACE in model.card.labels:
        raise InputError(
            f"the model {model.card.name} has the class no_face itself; leave out --no-face"
        )
    return resolve_detector(name)


def _take_project(source: Path, folder: Path, on_progress: OnProgress) -> dict[str, int]:
    """The faces of a project as a dataset in the unfinished folder; what was left out of it."""
    from openaffect.autolabel.project_faces import write_faces

    counts = folder / "left-out.json"
    if not counts.is_file():
        found = write_faces(
            source, folder / _SNAPSHOT, relabel(on_progress, phase="reading the project")
        )
        counts.write_text(json.dumps(found), encoding="utf-8")
    left_out: dict[str, int] = json.loads(counts.read_text(encoding="utf-8"))
    return left_out


def _count_unlabeled(dataset: Path) -> None:
    """Raise an InputError if there is no face to label."""
    if not any(
        is_unlabeled(p).any() for p in scan_dataset(dataset, columns=_ORIGINS, rows=PORTION)
    ):
        raise InputError(
            f"every face of {dataset} has a label, and none is of a model: there is nothing to label"
        )


def _predict(
    model: Model,
    dataset: Path,
    path: Path,
    faces: FaceFilter,
    split: str | None,
    detector: str | None,
    crew: _Crew,
    on_progress: OnProgress,
    *,
    whole: bool = True,
) -> Predictions:
    """Predict into a file unless it is there; the predictions, where the `whole` is wanted."""
    what = "held-out faces" if whole else "labeling"
    if not path.exists():
        predict_to_file(
            model,
            dataset,
            path,
            faces=faces,
            split=split,
            detector=detector,
            resume=True,
            on_progress=relabel(on_progress, phase=what),
            **dataclasses.asdict(crew),
        )
    return open_predictions(path) if whole else Predictions([])


def _protocol(
    model: Model,
    dataset: Path,
    of_held: Path,
    held: HeldOut,
    wish: Wish,
    asked: dict[str, Any],
    left_out: dict[str, int],
    given: Predictions,
) -> dict[str, Any]:
    names = {path: read_info(path).info.name for path in {dataset, of_held}}
    about = given.made_with
    return {
        "name": names[dataset],
        "model": model.card.name,
        "model_sha256": about["model_sha256"],
        "recipe": model.card.recipe,
        **({"protocol_warning": about["protocol_warning"]} if "protocol_warning" in about else {}),
        "affect_origins": model.card.affect_origins,
        "labels": asked["labels"],
        "accuracy": wish.accuracy,
        "certainty": wish.certainty if wish.accuracy is not None else None,
        "share": wish.share,
        "coverage": wish.coverage,
        "class_conditional": wish.by_class,
        "detector": asked["detector"],
        "held_out": names[of_held],
        "held_out_fingerprint": about["dataset_fingerprint"],
        "split": asked["split"],
        "seed": asked["seed"],
        "used_for": {use: held.used_for.count(use) for use in USES},
        "groups": len({*held.groups}),
        "left_out": held.left_out,
        "left_out_of_project": left_out,
    }
