"""The default model, from FER+ to the file that the package carries: docs/default-model.md.

    python runs/default_model.py ferplus.zip FOLDER [--photos photos.zip]

Import FER+ with majority labels, remove copies of validation faces from train, derive valence and
arousal, train the recipe `resnet-medium-soft`, then once more from its weights with weaker changes of
the pictures; lift the rare classes; judge the result on FER+ validation and, where there are labeled photographs, on whole
pictures through `analyze`; write the model with its scores in its card to FOLDER/default.onnx. About
three hours on two cores that do nothing else; cut off at any time, it goes on where it was. Prints the
tables of docs/default-model.md.
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
import torch
from numpy.typing import NDArray

from openaffect import console, metrics
from openaffect.analysis import analyze
from openaffect.curation import check_dataset, clean_dataset, derive_affect
from openaffect.dataset import Dataset, open_dataset
from openaffect.faces import find_faces
from openaffect.formats import import_dataset
from openaffect.golden import synthesize_golden
from openaffect.inference import predict_dataset
from openaffect.model import CARD_KEY, Model, open_model
from openaffect.predictions import Predictions
from openaffect.progress import relabel
from openaffect.reports import Report, evaluate
from openaffect.reports.contents import to_data
from openaffect.storage import atomic_file
from openaffect.training import Recipe, load_recipe, train
from openaffect.training.calibration import fit_temperature
from openaffect.training.card import attach_card
from openaffect.training.targets import choose_targets, own_labels, train_val_split

RECIPE = "resnet-medium-soft"
SECOND = {
    "epochs": 46,
    "learning_rate": 0.002,
    "warmup": 200,
    "rotate": 10.0,
    "zoom": 0.12,
    "shift": 0.08,
    "blur": 0.1,
    "downscale": 0.1,
    "jpeg": 0.1,
    "random_erasing": 0.15,
    "dropout": 0.2,
}
"""What the second training changes of the recipe: the first ended with a larger loss on the changed
pictures that it learned from than on those held out, so less is done to them."""
NAME = "openaffect-default-2"
NOTES = (
    "Learned from small gray pictures of faces found on the web (FER+), so it knows what raters "
    "call an expression, not what a person feels; valence and arousal were derived from the "
    "expressions by AffectNet's class means, nobody rated them. Weak on contempt, disgust and "
    "fear, which are rare in its data, and named more often than it is sure of them, for the sake "
    "of macro F1; not tested by age, gender or skin color. Meant for "
    "research, teaching and prototypes. Not to be used to judge a person: not for hiring, "
    "schooling, policing, insurance, medicine or lie detection."
)
Floats = NDArray[np.floating]
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
            wide = cv2.copyMakeBorder(picture, room, room, room, room, cv2.BORDER_REPLICATE)
            found = find_faces(np.asarray(wide, np.uint8), "yunet")
            if found:
                ratios.append(len(picture) / max(found[0].box.w, found[0].box.h))
        low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
        print(
            f"framing, {room} pixels around: YuNet finds {len(ratios)} of {count} faces of train; "
            f"FER+'s picture is {middle:.3f} of its box wide (quartiles {low:.3f}, {high:.3f})"
        )


def judge_photos(model: Model, archive: Path, folder: Path) -> Report:
    """The model on labeled photographs, whole pictures through `analyze`, their largest face."""
    path = folder / "photos"
    if not path.exists():
        import_dataset("csv", archive, path, name="photos")
    dataset = open_dataset(path)
    with console.show_progress("photos", len(dataset)) as on_progress:
        analysis = analyze([str(p) for p in dataset.image_paths], model, on_progress=on_progress)
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
            scores = [report.categorical[key][way] for key in SCORES]
            cells = [f"{s.value:.3f} [{s.low:.3f}, {s.high:.3f}]" if s else "–" for s in scores]
            n = report.categorical.accuracy[way].n
            print(f"| {name} | {way.capitalize()} | {n:,} | " + " | ".join(cells) + " |")
    for name, report in reports.items():
        print(f"\n| {name} | n | precision | recall | F1 |\n|---|---|---|---|---|")
        for label, one in report.per_class.items():
            values = (one.precision, one.recall, one.f1)
            cells = ["–" if value is None else f"{value:.3f}" for value in values]
            print(f"| {label} | {one.support} | {' | '.join(cells)} |")


def summarize(report: Report) -> dict[str, Any]:
    """The scores that the card keeps."""
    scores: dict[str, Any] = {
        key: {k: round(number, 4) for k, number in to_data(report.categorical[key].orig).items()}
        for key in ("accuracy", "f1", "ece")
    }
    return scores | {"labels": list(report.per_class)}


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
    crops = synthesize_golden(model.card)
    now, then = model.predict(crops), before.predict(crops)
    assert now.probabilities is not None
    assert then.probabilities is not None
    worst = float(np.abs(now.probabilities - then.probabilities).max())
    print(f"{path.stat().st_size / 1e6:.2f} MB; probabilities differ by {worst:.1g} at most")
    return model


_LARGE = 1000  # numbers; smaller tensors are not worth a node


def split_train(dataset: Dataset, recipe: Recipe) -> tuple[Dataset, Dataset]:
    """The faces that were learned from, and those held out of train."""
    targets = choose_targets(dataset, recipe)
    learned, held = train_val_split(dataset, targets, recipe.early_stopping_fraction, recipe.seed)
    return dataset.select(learned.rows.tolist()), dataset.select(held.rows.tolist())


def predict_labeled(model: Model, dataset: Dataset) -> tuple[Floats, NDArray[np.int64]]:
    """Logarithms of the probabilities of the faces with a label of the model, and its position."""
    predictions = predict_dataset(model, dataset)
    assert predictions.probabilities is not None
    labels = own_labels(dataset, model.card.labels)
    named = labels.any(axis=1)
    return np.log(predictions.probabilities[named] + 1e-12), labels[named].argmax(axis=1)


def choose_offsets(scores: Floats, truth: NDArray[np.int64]) -> Floats:
    """What is added to the scores (n, k) of each class so that macro F1 of the likeliest is best.

    Coordinate ascent in steps of 0.1 between 0 and 3, the rarest class first. Accuracy decides
    between equals.
    """
    k = scores.shape[1]
    offsets = np.zeros(k)

    def value(label: int, offset: float) -> tuple[float, float]:
        tried = offsets.copy()
        tried[label] = offset
        matrix = metrics.confusion_matrix(truth, (scores + tried).argmax(axis=1), k)
        return float(np.nan_to_num(metrics.f1(matrix)).mean()), float(metrics.accuracy(matrix))

    order = np.argsort(np.bincount(truth, minlength=k), kind="stable")
    for _ in range(10):
        before = offsets.copy()
        for label in order:
            offsets[label] = max(_GRID, key=lambda offset: value(label, offset))
        if (offsets == before).all():
            break
    return offsets


_GRID = np.round(np.arange(0, 3.01, 0.1), 1)


def lift(model: Model, dataset: Dataset, recipe: Recipe, path: Path) -> Model:
    """The model with offsets in its last layer, which make it name rare classes more often.

    Offsets that maximize macro F1 of the faces that it learned from, then a temperature anew,
    fitted to those held out of train, which the offsets alone would leave unsure.
    """
    learned, held = split_train(dataset, recipe)
    offsets = choose_offsets(*predict_labeled(model, learned))
    scores, truth = predict_labeled(model, held)
    shares = torch.eye(scores.shape[1])[torch.from_numpy(truth)]
    change = fit_temperature(torch.from_numpy(scores + offsets), shares)
    temperature = model.card.temperature * change
    graph = onnx.load(model.path)
    tensors = {tensor.name: tensor for tensor in graph.graph.initializer}
    last = next(node for node in graph.graph.node if node.output[0] == "expression")
    division = next(node for node in graph.graph.node if node.output[0] == last.input[0])
    assert (last.op_type, division.op_type) == ("Softmax", "Div")
    for name, values in (
        ("network.expression.bias", offsets * model.card.temperature),
        (division.input[1], temperature - model.card.temperature),
    ):
        now = onnx.numpy_helper.to_array(tensors[name]) + np.float32(values)
        tensors[name].CopyFrom(onnx.numpy_helper.from_array(now.astype(np.float32), name))
    card = dataclasses.replace(model.card, temperature=temperature)
    onnx.helper.set_model_props(graph, {CARD_KEY: card.to_json()})
    onnx.save(graph, path)
    lifted = open_model(path)
    expected = np.exp((scores + offsets) / change)
    expected /= expected.sum(axis=1, keepdims=True)
    found = np.exp(predict_labeled(lifted, held)[0])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    named = zip(model.card.labels, offsets, strict=True)
    print("offsets: " + ", ".join(f"{label} {offset:.1f}" for label, offset in named if offset))
    print(f"temperature: {model.card.temperature:.3f} before, {temperature:.3f} with them")
    return lifted


def finish(model: Model, scores: dict[str, Any], path: Path) -> None:
    """The model once more, with what it scored and what it is for in its card."""
    card = dataclasses.replace(
        model.card,
        name=NAME,
        scores=model.card.scores | scores,
        notes=NOTES,
        licenses=model.card.licenses
        | {"weights": "Apache-2.0; learned from FER2013's pictures, which are for research use"},
    )

    def expected(crops: np.ndarray) -> list[np.ndarray]:
        outputs = model.predict(crops)
        return [a for a in (outputs.probabilities, outputs.affect) if a is not None]

    with atomic_file(path, overwrite=True) as temporary:
        shutil.copyfile(model.path, temporary)
        attach_card(card, temporary, expected)
    print(f"\nthe model: {path}")


def main() -> None:
    """Every step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=Path, help="a folder or archive of labeled photographs")
    arguments = parser.parse_args()
    folder = arguments.folder
    dataset = prepare(arguments.archive, folder)
    measure_framing(dataset)
    first = load_recipe(RECIPE)
    again = dataclasses.replace(
        first,
        weights=str(folder / "first" / "checkpoint.pt"),
        **SECOND,  # type: ignore[arg-type]
    )
    for name, recipe in (("first", first), ("second", again)):
        with console.show_progress() as on_progress:
            tell = relabel(on_progress, name=f"{RECIPE}, {name}")
            train(dataset, folder / name, recipe, resume=True, on_progress=tell)
    small = shrink(folder / "second" / "model.onnx", folder / "half.onnx")
    model = lift(small, dataset, again, folder / "lifted.onnx")
    report = evaluate(dataset, predict_dataset(model, dataset.where(split="validation")))
    report.save(folder / "report", dataset=dataset, overwrite=True)
    reports = {"FER+ validation": report}
    scores = {"ferplus_validation": summarize(report)}
    if arguments.photos:
        reports["photos"] = judge_photos(model, arguments.photos, folder)
        reports["photos"].save(folder / "photos-report", overwrite=True)
        scores["photos"] = summarize(reports["photos"])
    print_table(reports)
    finish(model, scores, folder / "default.onnx")


if __name__ == "__main__":
    main()
