"""Write into a model's card which images it learned from: docs/default-model.md.

    python runs/learned_images.py ferplus.zip FOLDER MODEL.onnx

FOLDER is that of `runs/default_model.py`, or a new one; the graph of MODEL.onnx stays as it is, byte for
byte, and its card says afterwards how its images are known again (`images.pixel_hash`). Prints how
many there are, and how many faces of FER+ `predict` finds among them.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import onnx

from default_model import RECIPE, prepare
from openaffect.images import pixel_hash
from openaffect.inference import predict_dataset
from openaffect.model import CARD_KEY, Card, open_model
from openaffect.storage import atomic_file
from openaffect.training import load_recipe
from openaffect.training.targets import choose_targets, train_val_split


def main() -> None:
    """Write the card anew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("model", type=Path)
    options = parser.parse_args()
    dataset = prepare(options.archive, options.folder)
    recipe = load_recipe(RECIPE)
    learned, held = train_val_split(
        dataset, choose_targets(dataset, recipe), recipe.early_stopping_fraction, recipe.seed
    )
    hashes = np.unique([pixel_hash(dataset.image(int(row))) for row in learned.rows])
    text = Card.encode_learned(hashes)

    before = open_model(options.model)
    graph = onnx.load(str(options.model))
    card = dataclasses.replace(before.card, learned=text)
    onnx.helper.set_model_props(graph, {CARD_KEY: card.to_json()})
    with atomic_file(options.model) as temporary:
        onnx.save(graph, str(temporary))
    print(f"{len(learned.rows):,} faces learned, {len(held.rows):,} held out")
    print(f"{len(hashes):,} images, {len(text):,} characters in the card")
    for split in ("train", "validation"):
        faces = dataset.where(split=split)
        found = predict_dataset(open_model(options.model), faces)
        assert found.learned is not None  # the card names what was learned
        print(f"{split}: {int(found.learned.sum()):,} of {len(faces):,} are known")


if __name__ == "__main__":
    main()
