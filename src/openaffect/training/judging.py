"""What log.csv tells of the faces that stopping looks at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from openaffect import metrics
from openaffect.training.samples import Targets


def judge(
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
