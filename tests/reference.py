"""Slow and obvious formulas of the metrics, as the papers write them: loops and fractions.

Nothing here is shared with the package. Rows are Python lists; None is a failed prediction or
a missing rating; the result None is "undefined".
"""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction


def accuracy(truth, prediction):
    return Fraction(sum(t == p for t, p in zip(truth, prediction, strict=True)), len(truth))


def _counts(truth, prediction, c):
    pairs = list(zip(truth, prediction, strict=True))
    tp = sum(t == c and p == c for t, p in pairs)
    fp = sum(t != c and p == c for t, p in pairs)
    fn = sum(t == c and p != c for t, p in pairs)
    return tp, fp, fn


def f1(truth, prediction, c):
    tp, fp, fn = _counts(truth, prediction, c)
    return None if tp + fp + fn == 0 else Fraction(2 * tp, 2 * tp + fp + fn)


def recall(truth, prediction, c):
    tp, _, fn = _counts(truth, prediction, c)
    return None if tp + fn == 0 else Fraction(tp, tp + fn)


def precision(truth, prediction, c):
    tp, fp, fn = _counts(truth, prediction, c)
    if tp + fp == 0:
        return None if fn == 0 else Fraction(0)
    return Fraction(tp, tp + fp)


def mean(values):
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


def macro(metric, truth, prediction):
    return mean([metric(truth, prediction, c) for c in sorted(set(truth))])


def weighted_f1(truth, prediction):
    return sum(f1(truth, prediction, c) * truth.count(c) for c in set(truth)) / Fraction(len(truth))


def kappa(truth, prediction):
    n = len(truth)
    observed = accuracy(truth, prediction)
    chance = sum(Fraction(truth.count(c) * prediction.count(c), n * n) for c in set(truth))
    return None if chance == 1 else (observed - chance) / (1 - chance)


def collapse(values, c):
    """Class c is "yes", any other "no", a failed row stays failed."""
    return [None if v is None else "yes" if v == c else "no" for v in values]


def over_classes(metric, truth, prediction):
    """Mean of one-vs-rest scores; a failed prediction is a category of its own."""
    classes = sorted(set(truth))
    return mean([metric(collapse(truth, c), collapse(prediction, c)) for c in classes])


def alpha_of_two(truth, prediction):
    """Two coders without gaps; a failed prediction is the category "failed"."""
    named = [("failed" if p is None else p) for p in prediction]
    return alpha([list(pair) for pair in zip(truth, named, strict=True)], lambda a, b: a != b)


def alpha(units, distance):
    """Krippendorff's α by its definition: all pairs within units, all pairs of all values.

    units: lists of ratings, None for missing. distance: squared difference of two values.
    """
    units = [[v for v in unit if v is not None] for unit in units]
    units = [unit for unit in units if len(unit) >= 2]
    pooled = [v for unit in units for v in unit]
    n = len(pooled)
    if n == 0:
        return None
    observed = Fraction(0)
    for unit in units:
        pairs = sum(
            (
                Fraction(distance(a, b))
                for i, a in enumerate(unit)
                for j, b in enumerate(unit)
                if i != j
            ),
            start=Fraction(0),
        )
        observed += pairs / (len(unit) - 1)
    observed /= n
    expected = sum(
        Fraction(distance(a, b))
        for i, a in enumerate(pooled)
        for j, b in enumerate(pooled)
        if i != j
    ) / (n * (n - 1))
    return None if expected == 0 else 1 - observed / expected


def auc(positive, scores):
    """Share of (positive, negative) pairs in the right order; a tie is half."""
    yes = [s for s, p in zip(scores, positive, strict=True) if p]
    no = [s for s, p in zip(scores, positive, strict=True) if not p]
    if not yes or not no:
        return None
    won = sum(Fraction(1) if a > b else Fraction(1, 2) if a == b else 0 for a in yes for b in no)
    return won / (len(yes) * len(no))


def average_precision(positive, scores):
    """Σ (recall step) × precision over the distinct thresholds, from the highest."""
    if not any(positive):
        return None
    total, before, result = sum(positive), 0, Fraction(0)
    for threshold in sorted(set(scores), reverse=True):
        chosen = [p for s, p in zip(scores, positive, strict=True) if s >= threshold]
        found = sum(chosen)
        result += Fraction(found - before, total) * Fraction(found, len(chosen))
        before = found
    return result


def in_top(true_class, row, top):
    """Whether the class is among the `top` first of a sort by falling score, then position."""
    ranked = sorted(range(len(row)), key=lambda c: (-row[c], c))
    return true_class in ranked[:top]


def ece(truth, rows, bins=15):
    n, total = len(truth), 0.0
    for b in range(bins):
        low, high = b / bins, (b + 1) / bins
        members = [
            (t, row)
            for t, row in zip(truth, rows, strict=True)
            if low < max(row) <= high or (b == 0 and max(row) == 0)
        ]
        if members:
            right = math.fsum(row.index(max(row)) == t for t, row in members) / len(members)
            confident = math.fsum(max(row) for _, row in members) / len(members)
            total += len(members) / n * abs(right - confident)
    return total


def cross_entropy(soft, rows):
    total = math.fsum(
        -q * math.log(p)
        for qs, ps in zip(soft, rows, strict=True)
        for q, p in zip(qs, ps, strict=True)
        if q
    )
    return total / len(rows)


def _moments(truth, prediction):
    n = len(truth)
    mt, mp = math.fsum(truth) / n, math.fsum(prediction) / n
    vt = math.fsum((t - mt) ** 2 for t in truth) / n
    vp = math.fsum((p - mp) ** 2 for p in prediction) / n
    pairs = zip(truth, prediction, strict=True)
    return mt, mp, vt, vp, math.fsum((t - mt) * (p - mp) for t, p in pairs) / n


def rmse(truth, prediction):
    pairs = zip(truth, prediction, strict=True)
    return math.sqrt(math.fsum((t - p) ** 2 for t, p in pairs) / len(truth))


def mae(truth, prediction):
    return math.fsum(abs(t - p) for t, p in zip(truth, prediction, strict=True)) / len(truth)


def corr(truth, prediction):
    if len(set(truth)) == 1 or len(set(prediction)) == 1:
        return None
    _, _, vt, vp, cov = _moments(truth, prediction)
    return cov / math.sqrt(vt * vp)


def ccc(truth, prediction):
    if len({*truth, *prediction}) == 1:
        return None
    mt, mp, vt, vp, cov = _moments(truth, prediction)
    return 2 * cov / (vt + vp + (mt - mp) ** 2)


def sagr(truth, prediction):
    def sign(x):
        return (x > 0) - (x < 0)

    return sum(sign(t) == sign(p) for t, p in zip(truth, prediction, strict=True)) / len(truth)


def balanced_subset(truth, random):
    """Row numbers of an equal number of rows of each class, without replacement."""
    members = {c: [i for i, t in enumerate(truth) if t == c] for c in set(truth)}
    smallest = min(Counter(truth).values())
    return [i for rows in members.values() for i in random.sample(rows, smallest)]
