"""Make the README's picture: synthetic faces, analyzed by a model that `make demo` trained.

    python docs/make_pictures.py demo/imbalanced/run

Faces are those of seeds that no training has seen; none is chosen by hand.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from openaffect.analysis import analyze, overlay_image
from openaffect.images import encode_image, resize_image
from openaffect.labels import EMOTIONS
from openaffect.model import open_model
from openaffect.synthetic import synthesize_face

FOLDER = Path(__file__).parent / "pictures"
SEED = 2017
SIZE, COLUMNS = 512, 4


def main(run: str) -> None:
    """Draw one face of each expression, analyze it, and write the sheet."""
    model = open_model(run)
    tiles = []
    for number, expression in enumerate(EMOTIONS):
        face = synthesize_face(expression, seed=np.random.default_rng((SEED, number)), size=SIZE)
        rows = analyze(face.image, model).table.to_pylist()
        drawn = overlay_image(face.image, rows)
        tiles.append(resize_image(drawn, SIZE * 3 // 5, SIZE * 3 // 5))
        print(expression, [row["expression"] for row in rows])
    lines = [np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)]
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "analyzed.jpg").write_bytes(encode_image(np.vstack(lines), ".jpg", 88))


if __name__ == "__main__":
    main(sys.argv[1])
