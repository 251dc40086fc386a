"""The score metrics of one system on any weighting of its rows, prepared once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openaffect.metrics.arrays import Floats, Integers, mean_defined, ratio
from openaffect.metrics.calibration import BINS, confidence_bins, row_cross_entropy
from openaffect.metrics.ranking import Ranking, areas, pack_weights, rank_rows, top_hits

SCORE_METRICS: tuple[str, ...] = ("auc", "auc_pr", "top2", "ece", "cross_entropy")
"""Metrics from scores; failed rows are left out."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoreStatistics:
    """What the score metrics need of one system, prepared so that weights are all that varies.

    Attributes:
        truth: shape (n,), and `k` classes.
        rankings: one for each class.
        columns: shape (n, BINS + 3): right minus confidence in the column of the row's bin;
            whether the truth is in the top two; cross-entropy (0 if unknown); whether known.
    """

    truth: NDArray[np.intp]
    k: int
    rankings: tuple[Ranking, ...]
    columns: Floats

    @classmethod
    def of(
        cls,
        truth: NDArray[np.intp],
        probabilities: Floats | NDArray[np.float32],
        soft_labels: Floats | None,
    ) -> ScoreStatistics:
        """Prepare rows without failures; soft labels may have rows of NaN."""
        n, k = probabilities.shape
        confidence = probabilities.max(axis=1).astype(np.float64)
        columns = np.zeros((n, BINS + 3))
        right = top_hits(truth, probabilities, top=1)
        columns[np.arange(n), confidence_bins(confidence)] = right - confidence
        columns[:, BINS] = top_hits(truth, probabilities, top=2)
        if soft_labels is not None:
            entropy = row_cross_entropy(soft_labels, probabilities)
            columns[:, BINS + 2] = ~np.isnan(entropy)
            columns[:, BINS + 1] = np.nan_to_num(entropy, nan=0.0)
        rankings = tuple(rank_rows(truth == c, probabilities[:, c]) for c in range(k))
        return cls(truth, k, rankings, columns)

    def score(self, weights: Integers) -> dict[str, Floats]:
        """The score metrics of weighted rows; weights (b, n) → (b,) each."""
        packed = pack_weights(weights)
        pairs = [areas(ranking, packed) for ranking in self.rankings]
        sums, total = weights.astype(np.float64) @ self.columns, packed.total
        return {
            "auc": mean_defined(np.stack([auc for auc, _ in pairs], axis=-1)),
            "auc_pr": mean_defined(np.stack([ap for _, ap in pairs], axis=-1)),
            "top2": sums[:, BINS] / total,
            "ece": np.abs(sums[:, :BINS]).sum(axis=1) / total,
            "cross_entropy": ratio(sums[:, BINS + 1], sums[:, BINS + 2]),
        }

    @property
    def soft_rows(self) -> int:
        """How many rows have a soft label."""
        return int(self.columns[:, BINS + 2].sum())
