"""How long the metrics take on one core: `python benchmarks/metrics.py`.

Prints the median seconds of scoring 40,000 rows × 8 classes with 200 balanced draws and 1,000
bootstrap rounds (three runs), and of the interval α of 1,000,000 units × 2 raters (five runs).
"""

from __future__ import annotations

import os
import platform
import resource
import statistics
import time
from collections.abc import Callable

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy loads its linear algebra

import numpy as np  # noqa: E402

from openaffect import metrics  # noqa: E402

# the share of each of the eight classes in AffectNet's test split
SHARES = np.array([4902, 11283, 3528, 1698, 1313, 961, 2748, 885]) / 27318


def seconds(work: Callable[[], object], runs: int) -> float:
    """Median of `runs` runs."""
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def main() -> None:
    rng = np.random.default_rng(0)
    n, k = 40_000, len(SHARES)
    truth = rng.choice(k, n, p=SHARES)
    scores = rng.normal(size=(n, k)) + 1.5 * np.eye(k)[truth]
    probabilities = np.exp(scores)
    probabilities = (probabilities / probabilities.sum(axis=1, keepdims=True)).astype(np.float32)
    ratings = rng.uniform(-1, 1, (1_000_000, 1)) + rng.normal(0, 0.3, (1_000_000, 2))

    print(f"{platform.machine()}, numpy {np.__version__}, one thread")
    scoring = seconds(lambda: metrics.score_categorical(truth, probabilities, k), runs=3)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"score_categorical, 40,000 × 8, 200 draws, 1,000 rounds: {scoring:6.2f} s")
    print(f"  peak memory of the process: {peak:.0f} MB")
    alpha = seconds(lambda: metrics.alpha_interval(ratings), runs=5)
    print(f"alpha_interval, 1,000,000 × 2:                          {alpha:6.3f} s")
    labels = rng.integers(0, k, (1_000_000, 2))
    nominal = seconds(lambda: metrics.alpha_nominal(labels), runs=5)
    print(f"alpha_nominal, 1,000,000 × 2:                           {nominal:6.3f} s")


if __name__ == "__main__":
    main()
