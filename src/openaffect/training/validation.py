"""The held-out faces that stopping looks at: a network's outputs for them, and their scores."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from openaffect import metrics
from openaffect.errors import InputError
from openaffect.training.loader import CropReader
from openaffect.training.network import cut_views
from openaffect.training.recipe import Recipe
from openaffect.training.targets import Targets


def predict_held_out(
    network: nn.Module,
    recipe: Recipe,
    reader: CropReader,
    held: Targets,
    *,
    device: torch.device,
    views: bool = False,
) -> tuple[Tensor, Tensor, Targets]:
    """A network's logits and affect for the held-out faces, and those that could be read.

    Args:
        network: on the device; it is left in the state of evaluation.
        recipe: of the training.
        reader: of the crops.
        held: the held-out faces.
        device: where the network is.
        views: look at all pieces that prediction averages, not at the center alone.

    Returns:
        Logits (pieces, n, classes) and affect (pieces, n, 2), on the CPU, and the n faces.

    Raises:
        InputError: not one of the faces can be read.
    """
    network.eval()
    logits, affect, kept = [], [], []
    size = -(-recipe.batch_size // recipe.accumulate)
    with torch.inference_mode():
        for start in range(0, len(held), size):
            part = np.arange(start, min(start + size, len(held)))
            images, good = reader.read(held.rows[part])
            if not good.any():
                continue
            crops = torch.from_numpy(images[good].transpose(0, 3, 1, 2).astype(np.float32))
            pieces = cut_views(crops.to(device), recipe)
            outputs = [network(piece) for piece in (pieces if views else pieces[:1])]
            logits.append(torch.stack([output[0] for output in outputs]).float().cpu())
            affect.append(torch.stack([output[1] for output in outputs]).float().cpu())
            kept.append(part[good])
    if not kept:
        raise InputError("not one of the faces held out for stopping can be read")
    return torch.cat(logits, dim=1), torch.cat(affect, dim=1), held.select(np.concatenate(kept))


def validate(
    logits: NDArray[np.floating] | None, affect: NDArray[np.floating] | None, truth: Targets
) -> dict[str, float]:
    """Loss, accuracy and macro F1 of the expressions, and the mean CCC of valence and arousal.

    Args:
        logits: (n, classes), at temperature 1; None if no expression was learned.
        affect: (n, 2), valence and arousal; None if none was learned.
        truth: of the same faces; those without an expression, or without affect, do not count
            for it.

    Returns:
        `loss` is the cross-entropy, or, without expressions, half the squared error of both.
    """
    scores: dict[str, float] = {}
    if logits is not None:
        classes = logits.shape[1]
        named = truth.classes < classes
        values = logits[named].astype(np.float64)
        values -= values.max(axis=1, keepdims=True)
        log_p = values - np.log(np.exp(values).sum(axis=1, keepdims=True))
        scores["loss"] = float(-(truth.shares[named] * log_p).sum(axis=1).mean())
        matrix = metrics.confusion_matrix(truth.classes[named], log_p.argmax(axis=1), classes)
        scores["accuracy"] = float(metrics.accuracy(matrix))
        scores["f1"] = float(metrics.macro_f1(matrix))
    known = ~np.isnan(truth.affect[:, 0])
    if affect is not None and known.any():
        guess, there = affect[known], truth.affect[known]
        scores["ccc"] = float(np.mean([metrics.ccc(there[:, n], guess[:, n]) for n in (0, 1)]))
        scores.setdefault("loss", float(0.5 * np.square(guess - there).sum(axis=1).mean()))
    return scores
