"""Golden samples: a synthetic face and what a model said of it, by which any copy can be checked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from openaffect.faces.boxes import Box
from openaffect.faces.crops import crop
from openaffect.labels import EMOTIONS, Expression
from openaffect.model import Card, Golden, Model
from openaffect.synthetic import synthesize_face

SEED = 7
TOLERANCE = 1e-3
"""By how much the outputs of two machines, or two runtimes, may differ."""


def synthesize_golden(card: Card) -> NDArray[np.uint8]:
    """The synthetic face of a golden sample, a happy one, and seven others, cropped as the card says.

    Returns:
        RGB uint8 (8, h, w, 3) of the card's size.
    """
    drawn = (Expression.HAPPY, *EMOTIONS[1:])
    return np.stack([_draw(label, SEED + n, card) for n, label in enumerate(drawn)])


def make_golden(model: Model) -> Golden:
    """The golden sample of a model: what it says of the synthetic face now."""
    outputs = model.predict(synthesize_golden(model.card)[:1])
    values = {"expression": outputs.probabilities, "affect": outputs.affect}
    kept = {k: [round(float(x), 6) for x in v[0]] for k, v in values.items() if v is not None}
    return Golden(Expression.HAPPY.value, SEED, kept)


def compare_golden(model: Model) -> float | None:
    """The largest difference between what a model says of its golden sample now and then.

    Returns:
        At most `TOLERANCE` in a whole copy on a runtime that agrees; infinity if the outputs are
        others than the card's, or not finite; None if the card has no golden sample.
    """
    golden = model.card.golden
    if golden is None:
        return None
    face = _draw(Expression(golden.expression), golden.seed, model.card)
    outputs = model.predict(face[None])
    now = {"expression": outputs.probabilities, "affect": outputs.affect}
    found = {name: values[0] for name, values in now.items() if values is not None}
    if {name: len(v) for name, v in found.items()} != {
        k: len(v) for k, v in golden.outputs.items()
    }:
        return float("inf")
    differences = np.concatenate([found[k] - np.array(v) for k, v in golden.outputs.items()])
    # Python's max would pass over a NaN.
    return float(np.abs(differences).max()) if np.isfinite(differences).all() else float("inf")


def _draw(expression: Expression, seed: int, card: Card) -> NDArray[np.uint8]:
    face = synthesize_face(expression, seed=seed, size=256)
    return crop(face.image, Box(*face.box), card.crop, card.size)
