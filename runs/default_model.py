"""The default model, from FER+ to the file that the package carries: docs/default-model.md.

    python runs/default_model.py ferplus.zip FOLDER [--photos photos.zip]

Import FER+ with majority labels, remove copies of validation faces from train, derive valence and
arousal, train the recipe `resnet-medium-soft`, judge it on FER+ validation and, where there are
labelled photographs, on whole pictures through `analyze`; write the model with its scores in its card
to FOLDER/default.onnx. About 80 minutes on two cores that do nothing else; cut off at any time, it
goes on where it was. Prints the tables of docs/default-model.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx

from openaffect import console
from openaffect.analysis import analyze
from openaffect.curation import check_dataset, clean_dataset, derive_affect
from openaffect.dataset import Dataset, open_dataset
from openaffect.faces import find_faces
from openaffect.formats import import_dataset
from openaffect.golden import draw_golden
from openaffect.inference import predict_dataset
from openaffect.model import Model, open_model
from openaffect.predictions import Predictions
from openaffect.reports import Report, evaluate
from openaffect.storage import atomic_file
from openaffect.training import load_recipe, train
from openaffect.training.to_onnx import finish_file

RECIPE = "resnet-medium-soft"
NAME = "openaffect-default-1"
NOTES = (
    "Learned from small grey pictures of faces found on the web (FER+), so it knows what raters "
    "call an expression, not what a person feels; valence and arousal were derived from the "
    "expressions by AffectNet's class means, nobody rated them. Weak on contempt, disgust and "
    "fear, which are rare in its data; not tested by age, gender or skin colour. Meant for "
    "research, teaching and prototypes. Not to be used to judge a person: not for hiring, "
    "schooling, policing, insurance, medicine or lie detection."
)
SCORES = ("accuracy", "f1", "balanced_accuracy", "kappa", "auc", "auc_pr", "ece")


def prepare(archive: Path, folder: Path) -> Dataset:
    """FER+ without copies between train and validation, with derived valence and arousal."""
    raw, clean = folder / "raw", folder / "clean"
    if not raw.exists():
        import_dataset("ferplus", archive, raw, label="majority", name="FER+ (majority)")
    if not clean.exists():
        opened = open_dataset(raw)
        clean_dataset(opened, check_dataset(opened), clean)
    return derive_affect(open_dataset(clean))


def measure_framing(dataset: Dataset, count: int = 500) -> None:
    """Print by how much FER+ frames wider than YuNet's box: the recipe's margin.

    A box is clipped at the picture's edge, which makes it too small; room added around the
    picture makes it too large. The truth lies between the two.
    """
    learned = dataset.where(split="train")
    rows = np.random.default_rng(0).choice(len(learned), count, replace=False)
    for room in (0, 24):
        ratios = []
        for row in rows:
            picture = learned.image(int(row))
            wide = cv2.copyMakeBorder(picture, *([room] * 4), cv2.BORDER_REPLICATE)
            found = find_faces(np.asarray(wide, np.uint8), "yunet")
            if found:
                ratios.append(len(picture) / max(found[0].box.w, found[0].box.h))
        low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
        print(
            f"framing, {room} pixels around: YuNet finds {len(ratios)} of {count} faces of train; "
            f"FER+'s picture is {middle:.3f} of its box wide (quartiles {low:.3f}, {high:.3f})"
        )


def judge_photos(model: Model, archive: Path, folder: Path) -> Report:
    """The model on labelled photographs, whole pictures through `analyze`, their largest face."""
    path = folder / "photos"
    if not path.exists():
        import_dataset("csv", archive, path, name="photos")
    dataset = open_dataset(path)
    with console.progress_bar("photos", len(dataset)) as progress:
        analysis = analyze([str(p) for p in dataset.image_paths], model, progress=progress)
    rows = {row["source"]: row for row in analysis.rows() if not row["face_index"]}
    chosen = [rows[str(p)] for p in dataset.image_paths]
    labels = tuple(sorted(model.card.labels, key=lambda label: label.id))
    found = [row["status"] == "ok" for row in chosen]
    print(f"photos: a face in {sum(found):,} of {len(found):,}")
    values = [
        [row[f"p_{label}"] if row["status"] == "ok" else np.nan for label in labels]
        for row in chosen
    ]
    predictions = Predictions(
        dataset.ids,
        labels,
        np.array(values, np.float64),
        errors=[None if good else "no face" for good in found],
        made_with={"model": model.card.name},
    )
    return evaluate(
        dataset, predictions, labels=sorted(set(dataset.faces["expression"].to_pylist()))
    )


def print_table(reports: dict[str, Report]) -> None:
    """Scores with their intervals, and F1 of each class, in Markdown."""
    print("\n| scored on | way | n | " + " | ".join(SCORES) + " |")
    print("|---" * (len(SCORES) + 3) + "|")
    for name, report in reports.items():
        for way in ("orig", "norm"):
            scores = [report["categorical"].get(key, {}).get(way) for key in SCORES]
            cells = [
                f"{s['value']:.3f} [{s['low']:.3f}, {s['high']:.3f}]" if s else "–" for s in scores
            ]
            n = report["categorical"]["accuracy"][way]["n"]
            print(f"| {name} | {way.capitalize()} | {n:,} | " + " | ".join(cells) + " |")
    for name, report in reports.items():
        print(f"\n| {name} | n | precision | recall | F1 |\n|---|---|---|---|---|")
        for label, scores in report["per_class"].items():
            values = [scores[key] for key in ("precision", "recall", "f1")]
            cells = ["–" if value is None else f"{value:.3f}" for value in values]
            print(f"| {label} | {scores['support']} | {' | '.join(cells)} |")


def summarise(report: Report) -> dict[str, Any]:
    """The scores that the card keeps."""
    scores: dict[str, Any] = {
        key: {
            k: round(report["categorical"][key]["orig"][k], 4)
            for k in ("value", "low", "high", "n")
        }
        for key in ("accuracy", "f1", "ece")
    }
    return scores | {"labels": list(report["per_class"])}


def shrink(source: Path, path: Path) -> Model:
    """The model with its weights stored as half as many bytes; it computes in float32 as before."""
    graph = onnx.load(source)
    nodes = []
    for tensor in graph.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size > _LARGE:
            name, tensor_name = f"{tensor.name}_half", tensor.name
            tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), name))
            nodes.append(
                onnx.helper.make_node("Cast", [name], [tensor_name], to=onnx.TensorProto.FLOAT)
            )
    for node in reversed(nodes):
        graph.graph.node.insert(0, node)
    onnx.save(graph, path)
    model, before = open_model(path), open_model(source)
    crops = draw_golden(model.card)
    now, then = model.predict(crops), before.predict(crops)
    assert now.probabilities is not None
    assert then.probabilities is not None
    worst = float(np.abs(now.probabilities - then.probabilities).max())
    print(f"{path.stat().st_size / 1e6:.2f} MB; probabilities differ by {worst:.1g} at most")
    return model


_LARGE = 1000  # numbers; smaller tensors are not worth a node


def finish(model: Model, scores: dict[str, Any], path: Path) -> None:
    """The model once more, with what it scored and what it is for in its card."""
    card = dataclasses.replace(
        model.card,
        name=NAME,
        scores=model.card.scores | scores,
        notes=NOTES,
        licences=model.card.licences
        | {"weights": "Apache-2.0; learned from FER2013's pictures, which are for research use"},
    )

    def expected(crops: np.ndarray) -> list[np.ndarray]:
        outputs = model.predict(crops)
        return [a for a in (outputs.probabilities, outputs.affect) if a is not None]

    with atomic_file(path, overwrite=True) as temporary:
        shutil.copyfile(model.path, temporary)
        finish_file(card, temporary, expected)
    print(f"\nthe model: {path}")


def main() -> None:
    """Every step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=Path, help="a folder or archive of labelled photographs")
    arguments = parser.parse_args()
    folder = arguments.folder
    dataset = prepare(arguments.archive, folder)
    measure_framing(dataset)
    with console.training_bar(RECIPE) as show:
        train(dataset, folder / "run", load_recipe(RECIPE), resume=True, show=show)
    model = shrink(folder / "run" / "model.onnx", folder / "half.onnx")
    report = evaluate(dataset, predict_dataset(model, dataset.where(split="validation")))
    report.save(folder / "report", dataset=dataset, overwrite=True)
    reports = {"FER+ validation": report}
    scores = {"ferplus_validation": summarise(report)}
    if arguments.photos:
        reports["photos"] = judge_photos(model, arguments.photos, folder)
        reports["photos"].save(folder / "photos-report", overwrite=True)
        scores["photos"] = summarise(reports["photos"])
    print_table(reports)
    finish(model, scores, folder / "default.onnx")


if __name__ == "__main__":
    main()
