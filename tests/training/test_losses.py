"""The losses beside slow formulas written from their sources."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from openaffect import metrics
from openaffect.training.losses import ccc_loss, euclidean_loss, expression_loss

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 3, (12, 4)).astype(np.float32)
CLASSES = RNG.integers(0, 4, 12)
WEIGHTS = np.array([0.05, 1.0, 0.3, 0.6], np.float32)


def onehot(classes: np.ndarray, count: int = 4) -> np.ndarray:
    return np.eye(count, dtype=np.float32)[classes]


def loss_of(logits, target, weights) -> float:
    tensors = (torch.tensor(np.asarray(a, np.float32)) for a in (logits, target, weights))
    return float(expression_loss(*tensors))


def slow_infogain(logits, target, weights) -> float:
    """−Σ_n Σ_c H_c t_nc log p_nc, term by term."""
    total = 0.0
    for row, shares in zip(logits.astype(float), target.astype(float), strict=True):
        bottom = math.fsum(math.exp(z) for z in row)
        for z, share, weight in zip(row, shares, weights.astype(float), strict=True):
            total -= weight * share * math.log(math.exp(z) / bottom)
    return total


def test_weighted_cross_entropy_is_the_slow_formula():
    expected = slow_infogain(LOGITS, onehot(CLASSES), WEIGHTS)
    assert loss_of(LOGITS, onehot(CLASSES), WEIGHTS) == pytest.approx(expected, rel=1e-5)


def test_soft_targets_are_the_slow_formula():
    soft = RNG.dirichlet(np.ones(4), 12).astype(np.float32)
    expected = slow_infogain(LOGITS, soft, WEIGHTS)
    assert loss_of(LOGITS, soft, WEIGHTS) == pytest.approx(expected, rel=1e-5)


def test_division_by_faces_differs_from_torchs_by_the_mean_weight():
    """Infogain / N = torch's weighted mean × (Σ weights of the faces / N)."""
    logits, classes, weights = map(torch.tensor, (LOGITS, CLASSES, WEIGHTS))
    infogain = expression_loss(logits, F.one_hot(classes, 4).float(), weights) / 12
    torchs = F.cross_entropy(logits, classes, weight=weights)
    assert float(infogain) == pytest.approx(float(torchs * weights[classes].mean()), rel=1e-5)
    assert abs(float(infogain - torchs)) > 0.1


def test_a_row_without_an_expression_adds_nothing():
    target = onehot(CLASSES)
    target[5:] = 0
    assert loss_of(LOGITS, target, WEIGHTS) == pytest.approx(
        loss_of(LOGITS[:5], target[:5], WEIGHTS), rel=1e-6
    )


def test_a_class_of_weight_0_adds_nothing():
    weights = np.array([0, 1, 1, 1], np.float32)
    rest = CLASSES != 0
    assert (~rest).any()
    assert loss_of(LOGITS, onehot(CLASSES), weights) == pytest.approx(
        loss_of(LOGITS[rest], onehot(CLASSES[rest]), weights), rel=1e-6
    )


def test_large_logits_stay_finite():
    assert loss_of([[1e4, -1e4]], [[0, 1]], [1, 1]) == pytest.approx(2e4)


def test_half_precision_logits_are_summed_in_single_precision():
    logits = torch.tensor(LOGITS, dtype=torch.bfloat16)
    ones = torch.ones(4)
    found = expression_loss(logits, torch.tensor(onehot(CLASSES)), ones)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(
        slow_infogain(logits.float().numpy(), onehot(CLASSES), ones.numpy()), rel=1e-5
    )


PAIRS = RNG.uniform(-1, 1, (2, 9, 2)).astype(np.float32)


def with_gaps(truth: np.ndarray) -> np.ndarray:
    gappy = truth.copy()
    gappy[[1, 4]] = np.nan
    return gappy


def test_euclidean_is_half_the_summed_squares_of_known_rows():
    guess, truth = PAIRS[0], with_gaps(PAIRS[1])
    known = [n for n in range(9) if n not in (1, 4)]
    expected = sum(
        (float(guess[n, k]) - float(truth[n, k])) ** 2 / 2 for n in known for k in (0, 1)
    )
    found = euclidean_loss(torch.tensor(guess), torch.tensor(truth))
    assert float(found) == pytest.approx(expected, rel=1e-6)


def test_ccc_is_that_of_the_metrics_over_known_rows():
    guess, truth = PAIRS[0], with_gaps(PAIRS[1])
    known = ~np.isnan(truth[:, 0])
    both = [metrics.ccc(truth[known, k], guess[known, k]) for k in (0, 1)]
    found = ccc_loss(torch.tensor(guess), torch.tensor(truth))
    assert float(found) == pytest.approx(1 - np.mean(both), abs=1e-6)


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 30), st.integers(0, 2**32 - 1))
def test_ccc_of_any_batch_is_that_of_the_metrics(rows, seed):
    guess, truth = np.random.default_rng(seed).uniform(-1, 1, (2, rows, 2)).astype(np.float32)
    both = [metrics.ccc(truth[:, k], guess[:, k]) for k in (0, 1)]
    # float32 sums of a few dozen numbers near 1
    assert float(ccc_loss(torch.tensor(guess), torch.tensor(truth))) == pytest.approx(
        1 - np.mean(both), abs=2e-5
    )


@pytest.mark.parametrize("loss", [euclidean_loss, ccc_loss])
@pytest.mark.parametrize("known", [0, 1, 9])
def test_gradients_are_finite_and_zero_where_nothing_is_known(loss, known):
    truth = torch.tensor(PAIRS[1])
    truth[known:] = torch.nan
    guess = torch.tensor(PAIRS[0], requires_grad=True)
    value = loss(guess, truth)
    value.backward()
    assert math.isfinite(float(value.detach()))
    assert guess.grad is not None
    assert bool(torch.isfinite(guess.grad).all())
    assert bool((guess.grad[known:] == 0).all())


@pytest.mark.parametrize("known", [0, 1])
def test_ccc_of_fewer_than_two_faces_is_0(known):
    truth = torch.tensor(PAIRS[1])
    truth[known:] = torch.nan
    assert float(ccc_loss(torch.tensor(PAIRS[0]), truth)) == 0


def test_ccc_of_constant_and_equal_values_has_a_finite_gradient():
    guess = torch.full((5, 2), 0.25, requires_grad=True)
    ccc_loss(guess, torch.full((5, 2), 0.25)).backward()
    assert guess.grad is not None
    assert bool(torch.isfinite(guess.grad).all())
