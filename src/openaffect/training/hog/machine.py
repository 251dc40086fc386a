"""PCA and a linear machine on its components; together one matrix, which is all that a model keeps."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC, LinearSVR

from openaffect.errors import InputError
from openaffect.training.recipe import Recipe

Floats = NDArray[np.float32] | NDArray[np.float64]

NEVER = -1e4
"""The score of an expression that no face was learned of: its probability is 0."""

EPSILON = 0.1
"""Errors of valence and arousal below this cost the SVR nothing."""

_INTERCEPT = 10.0  # so large that the machines' C hardly holds their intercept back
_STEPS = 10_000


@dataclass(frozen=True, slots=True)
class PCAProjection:
    """A PCA of features.

    Attributes:
        mean: float32 (features,).
        components: float32 (components, features), orthonormal rows, by falling variance.
        kept: share of the variance of the faces it was made from that the components keep.
    """

    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    kept: float

    def project(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features (n, features) in components (n, components)."""
        projected = (features - self.mean) @ self.components.T
        return projected.astype(np.float32, copy=False)


@dataclass(frozen=True, slots=True)
class LinearModel:
    """A linear machine: scores = inputs · weightsᵀ + bias.

    Attributes:
        weights: float64 (outputs, inputs).
        bias: float64 (outputs,).
        converged: whether every solver came to its end.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    converged: bool = True

    def scores(self, inputs: Floats) -> NDArray[np.float64]:
        """Scores (n, outputs) of inputs (n, inputs)."""
        result: NDArray[np.float64] = inputs @ self.weights.T + self.bias
        return result

    def fuse(self, projection: PCAProjection) -> LinearModel:
        """The machine that does the same with features that this one does with components."""
        weights = self.weights @ projection.components.astype(np.float64)
        return LinearModel(weights, self.bias - weights @ projection.mean, self.converged)


def fit_pca(
    features: NDArray[np.float32], components: int, seed: int
) -> tuple[PCAProjection, NDArray[np.float32]]:
    """A randomized PCA (Halko et al. 2011), and the features in its components.

    Args:
        features: float32 (n, features); overwritten, for a copy would take as much memory again.
        components: wanted; at most n − 1 and the number of features are made.
        seed: of the random projection.

    Raises:
        InputError: the features of all faces are the same.
    """
    if bool((features == features[0]).all()):
        raise InputError(
            f"the features of all {len(features)} training faces are identical: there is nothing to learn"
        )
    number = min(components, len(features) - 1, features.shape[1])
    pca = PCA(number, svd_solver="randomized", random_state=seed, copy=False)
    projected = pca.fit_transform(features)
    return PCAProjection(
        pca.mean_, pca.components_, float(pca.explained_variance_ratio_.sum())
    ), projected


def fit_classes(
    inputs: Floats,
    classes: NDArray[np.int64],
    weights: NDArray[np.float64],
    recipe: Recipe,
) -> LinearModel:
    """One linear SVM an expression, against all others (squared hinge loss).

    Args:
        inputs: (n, components).
        classes: position in the recipe's label set, (n,).
        weights: what a face counts, (n,).
        recipe: its `svm_c` and label set.

    Raises:
        InputError: fewer than two expressions have faces.
    """
    check_classes(classes, recipe)
    labels, found = recipe.label_set, np.unique(classes)
    every = [
        _fit(
            LinearSVC(C=recipe.svm_c, dual=False, intercept_scaling=_INTERCEPT, max_iter=_STEPS),
            inputs,
            np.where(classes == wanted, 1, -1),
            weights,
        )
        for wanted in found
    ]
    matrix = np.zeros((len(labels), inputs.shape[1]))
    bias = np.full(len(labels), NEVER)
    matrix[found] = np.concatenate([machine.weights for machine in every])
    bias[found] = np.concatenate([machine.bias for machine in every])
    return LinearModel(matrix, bias, all(machine.converged for machine in every))


def check_classes(classes: NDArray[np.int64], recipe: Recipe) -> None:
    """Raise the error that says that an SVM has nothing to tell apart, if so."""
    found = np.unique(classes)
    if len(found) < 2:
        raise InputError(
            "an SVM needs faces of two or more expressions, but those to learn from are all "
            f"{recipe.label_set[found[0]]}"
        )


def fit_affect(inputs: Floats, affect: NDArray[np.float32], recipe: Recipe) -> LinearModel:
    """A linear SVR for valence and one for arousal (ε-insensitive loss).

    Args:
        inputs: (n, components).
        affect: valence and arousal, (n, 2), no NaN.
        recipe: its `svm_c` and seed.
    """
    every = [
        _fit(
            LinearSVR(
                C=recipe.svm_c,
                epsilon=EPSILON,
                intercept_scaling=_INTERCEPT,
                max_iter=_STEPS,
                random_state=recipe.seed,
            ),
            inputs,
            affect[:, column].astype(np.float64),
            np.ones(len(affect)),
        )
        for column in (0, 1)
    ]
    return LinearModel(
        np.concatenate([machine.weights for machine in every]),
        np.concatenate([machine.bias for machine in every]),
        all(machine.converged for machine in every),
    )


def _fit(
    solver: LinearSVC | LinearSVR,
    inputs: Floats,
    truth: NDArray[np.int64] | NDArray[np.float64],
    weights: NDArray[np.float64],
) -> LinearModel:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        solver.fit(inputs.astype(np.float64), truth, sample_weight=weights)
    stopped = any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    return LinearModel(np.atleast_2d(solver.coef_), np.atleast_1d(solver.intercept_), not stopped)
