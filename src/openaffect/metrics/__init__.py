"""Metrics of expression, valence and arousal: pure functions on numpy arrays.

Classes are integer positions 0 to k − 1 in the order of the label set; names are not needed
here. `score_categorical` and `score_dimensional` give everything with intervals; each metric
is also a function of its own. docs/metrics.md has the definitions. What these are made with is
imported from its module.
"""

from openaffect.metrics.abstention import (
    find_share_threshold,
    find_threshold,
    share_interval,
    trace_accuracy,
)
from openaffect.metrics.agreement import (
    alpha,
    alpha_interval,
    alpha_nominal,
    alpha_ovr,
    kappa,
    kappa_ovr,
)
from openaffect.metrics.calibration import (
    ReliabilityBin,
    cross_entropy,
    divide_scores,
    ece,
    fit_temperature,
    reliability,
    restrict_soft_labels,
)
from openaffect.metrics.conformal import fit_interval, fit_sets, least_rows, make_sets
from openaffect.metrics.confusion import (
    absent_classes,
    accuracy,
    balanced_accuracy,
    best_renaming,
    confusion_matrix,
    f1,
    macro_f1,
    precision,
    recall,
    support,
    weighted_f1,
    with_failed_column,
)
from openaffect.metrics.dimensional import (
    ccc,
    constant_guess_rmse,
    corr,
    mae,
    rmse,
    sagr,
)
from openaffect.metrics.estimate import Difference, Estimate
from openaffect.metrics.ranking import (
    Curve,
    average_precision,
    precision_recall_curve,
    roc_auc,
    roc_curve,
    top_accuracy,
)
from openaffect.metrics.rater_measurements import (
    MeasurementAgreement,
    score_measurements,
)
from openaffect.metrics.raters import (
    CategoryAgreement,
    alpha_counts,
    fleiss_kappa,
    human_ceiling,
    pair_agreement,
    pair_table,
    score_kappas,
    score_mean,
    score_raters,
)
from openaffect.metrics.score_table import SCORE_METRICS
from openaffect.metrics.scoring import (
    DIMENSIONAL_METRICS,
    LABEL_METRICS,
    compare_categorical,
    compare_dimensional,
    predicted_labels,
    score_categorical,
    score_dimensional,
)

__all__ = [
    "DIMENSIONAL_METRICS",
    "LABEL_METRICS",
    "SCORE_METRICS",
    "CategoryAgreement",
    "Curve",
    "Difference",
    "Estimate",
    "MeasurementAgreement",
    "ReliabilityBin",
    "absent_classes",
    "accuracy",
    "alpha",
    "alpha_counts",
    "alpha_interval",
    "alpha_nominal",
    "alpha_ovr",
    "average_precision",
    "balanced_accuracy",
    "best_renaming",
    "ccc",
    "compare_categorical",
    "compare_dimensional",
    "confusion_matrix",
    "constant_guess_rmse",
    "corr",
    "cross_entropy",
    "divide_scores",
    "ece",
    "f1",
    "find_share_threshold",
    "find_threshold",
    "fit_interval",
    "fit_sets",
    "fit_temperature",
    "fleiss_kappa",
    "human_ceiling",
    "kappa",
    "kappa_ovr",
    "least_rows",
    "macro_f1",
    "mae",
    "make_sets",
    "pair_agreement",
    "pair_table",
    "precision",
    "precision_recall_curve",
    "predicted_labels",
    "recall",
    "reliability",
    "restrict_soft_labels",
    "rmse",
    "roc_auc",
    "roc_curve",
    "sagr",
    "score_categorical",
    "score_dimensional",
    "score_kappas",
    "score_mean",
    "score_measurements",
    "score_raters",
    "share_interval",
    "support",
    "top_accuracy",
    "trace_accuracy",
    "weighted_f1",
    "with_failed_column",
]
