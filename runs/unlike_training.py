"""Can faces unlike the training data be told from the model alone? docs/labeling.md has the figures.

    python runs/unlike_training.py ferplus.zip photos.zip FOLDER

The default model looks at FER+ validation faces that it has not learned from, at what FER+'s raters call no face, and at
squares beside the faces of photographs. Two ways to tell them apart, each with its AUROC and a 95 %
bootstrap interval: one minus the highest probability (Hendrycks and Gimpel 2017), and the distance to
the 50th nearest of 6,000 training faces in the last layer but one, of unit length (Sun et al. 2022).
And what share of each set a detector finds no face in. About five minutes on two cores.
"""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from openaffect import metrics
from openaffect.dataset import Dataset, open_dataset
from openaffect.errors import ImageError
from openaffect.faces import find_faces
from openaffect.formats import import_dataset
from openaffect.images import Pixels, pixel_hash, read_image
from openaffect.inference import crop_for_model
from openaffect.judgments import count_votes
from openaffect.labels import EMOTIONS
from openaffect.model import Card, open_model

NEIGHBOR = 50
REFERENCES = 6_000
NO_FACE_VOTES = 2  # of ten raters; FER+ names hardly a picture that more of them call no face
SMALLEST = 32  # pixels of a square beside a face
ROUNDS = 200


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ferplus", type=Path, help="ferplus.zip")
    parser.add_argument("photos", type=Path, help="photos.zip")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="default")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    model = open_model(options.model)
    card = model.card
    ferplus = options.folder / "ferplus"
    if not ferplus.exists():
        import_dataset("ferplus", options.ferplus, ferplus, label="majority")
    dataset = open_dataset(ferplus)
    known, counts = card.learned_hashes(), count_votes(dataset)
    train = dataset.where(split="train", expression=[*map(str, EMOTIONS)])
    chance = np.random.default_rng(0)
    train = train.select(np.sort(chance.choice(len(train), REFERENCES, replace=False)))
    held = dataset.where(split="validation", expression=[*map(str, EMOTIONS)])
    sets = {
        "FER+ validation faces": [p for p in pictures(held) if not learned(p, known)],
        "FER+ no face": pictures(dataset.select(counts[:, 10] >= NO_FACE_VOTES)),
        "squares beside faces": squares(options.photos, options.folder / "photos"),
    }
    network = Features(model.path, card)
    references, _ = network.run(pictures(train))
    scores: dict[str, dict[str, NDArray[np.float64]]] = {}
    for name, found in sets.items():
        features, probabilities = network.run(found)
        near = np.sort(1 - features @ references.T, axis=1)[:, NEIGHBOR - 1]
        scores[name] = {"1 − probability": 1 - probabilities.max(axis=1), "50th neighbor": near}
        unseen = np.mean([not find_faces(picture) for picture in found])
        print(f"{name}: {len(found):,} pictures, the detector finds no face in {unseen:.3f}")
    usual = scores.pop("FER+ validation faces")
    for name, ways in scores.items():
        for way, values in ways.items():
            print(f"{name}, {way}: AUROC {auroc(usual[way], values, chance)}")


class Features:
    """The model with the input of its last layer as one more output."""

    def __init__(self, path: Path, card: Card) -> None:
        graph = onnx.load(path)
        last = next(node.input[0] for node in graph.graph.node if node.op_type == "Gemm")
        graph.graph.output.append(onnx.helper.make_empty_tensor_value_info(last))
        self._session = onnxruntime.InferenceSession(graph.SerializeToString())
        self._wanted = [last, "expression"]
        self._card = card

    def run(self, found: list[Pixels]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Features of unit length, and probabilities, of pictures that are crops."""
        features, probabilities = [], []
        for start in range(0, len(found), 64):
            crops = [crop_for_model(one, None, self._card) for one in found[start : start + 64]]
            batch = np.stack(crops).transpose(0, 3, 1, 2).astype(np.float32)
            ours, shares = self._session.run(self._wanted, {"image": batch})
            features.append(ours.reshape(len(batch), -1).astype(np.float64))
            probabilities.append(shares)
        whole = np.concatenate(features)
        whole /= np.linalg.norm(whole, axis=1, keepdims=True)
        return whole, np.concatenate(probabilities)


def pictures(dataset: Dataset) -> list[Pixels]:
    """The pictures of a dataset whose pictures are crops."""
    return [dataset.image(row) for row in range(len(dataset))]


def learned(picture: Pixels, known: NDArray[np.uint32]) -> bool:
    """Whether the model learned from this picture, by its card."""
    return bool(np.isin(np.uint32(pixel_hash(picture)), known))


def squares(archive: Path, folder: Path) -> list[Pixels]:
    """From each photograph the largest square beside its faces, of 32 pixels or more."""
    if not folder.exists():
        with zipfile.ZipFile(archive) as file:
            file.extractall(folder)
    found = []
    for path in sorted(folder.rglob("*.jp*g")):
        try:
            image = read_image(path)
        except ImageError:
            continue
        height, width = image.shape[:2]
        boxes = [face.box for face in find_faces(image)]
        if not boxes:
            continue
        left = min(box.x for box in boxes)
        right = max(box.x + box.w for box in boxes)
        low = max(box.y + box.h for box in boxes)
        free = {"left": left, "right": width - right, "below": height - low}
        where = max(free, key=lambda side: free[side])
        side = int(min(free[where] * 0.95, width, height))
        if side < SMALLEST:
            continue
        x = 0 if where == "left" else width - side
        found.append(image[height - side :, x : x + side])
    return found


def auroc(
    usual: NDArray[np.float64], strange: NDArray[np.float64], chance: np.random.Generator
) -> str:
    """How often a strange picture has the higher score than a usual one."""

    def area(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        truth = np.concatenate([np.zeros(len(a), int), np.ones(len(b), int)])
        share = np.concatenate([a, b]) / 2  # a probability of the class 1, in [0, 1]
        return float(metrics.roc_auc(truth, np.stack([1 - share, share], axis=1))[1])

    samples = [
        area(chance.choice(usual, len(usual)), chance.choice(strange, len(strange)))
        for _ in range(ROUNDS)
    ]
    low, high = np.percentile(samples, (2.5, 97.5))
    value = area(usual, strange)
    return f"{value:.3f} [{low:.3f}, {high:.3f}], {len(strange):,} against {len(usual):,}"


if __name__ == "__main__":
    main()
