"""How numbers and names read in print."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from openaffect.texts import printable

METRIC_NAMES: Mapping[str, str] = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "f1": "Macro F1",
    "weighted_f1": "Weighted F1",
    "kappa": "Cohen’s κ",
    "kappa_ovr": "Cohen’s κ, one vs rest",
    "alpha": "Krippendorff’s α",
    "alpha_ovr": "Krippendorff’s α, one vs rest",
    "auc": "AUC",
    "auc_pr": "AUC-PR",
    "top2": "Top-2 accuracy",
    "ece": "Calibration error (ECE)",
    "cross_entropy": "Cross-entropy",
    "rmse": "RMSE",
    "mae": "MAE",
    "corr": "CORR",
    "sagr": "SAGR",
    "ccc": "CCC",
}
"""How a metric is called in print."""

CAN_BE_NEGATIVE = frozenset(("kappa", "kappa_ovr", "alpha", "alpha_ovr", "corr", "ccc"))
"""Metrics whose drawing starts at −1."""

_MINUS = "−"


def visible(value: Any) -> Any:
    r"""A value as pages print it: of a text, what turns its direction or is invisible as its code.

    >>> visible("photo\u202egpj.exe"), visible("a\nb"), visible(3)
    ('photo\\u202egpj.exe', 'a\nb', 3)
    """
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value  # what is HTML was made of visible texts
    return "\n".join(map(printable, value.split("\n")))


def number(value: float | None, digits: int = 3, *, sign: bool = False) -> str:
    """A score with fixed digits and a true minus; an en dash where it is undefined.

    >>> number(-0.12345), number(None), number(0.5, 2, sign=True)
    ('−0.123', '–', '+0.50')
    >>> number(-0.0001)
    '0.000'
    """
    if value is None:
        return "–"
    value = round(value, digits) + 0.0  # no −0.000
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    return text.replace("-", _MINUS)


class Interval(Protocol):
    """What has bounds, such as a score of a report."""

    @property
    def low(self) -> float | None:
        """The lower bound; None is undefined."""

    @property
    def high(self) -> float | None:
        """The upper bound; None is undefined."""


def bounds(interval: Interval) -> str:
    """An interval in print; "" where it is undefined.

    >>> from types import SimpleNamespace
    >>> bounds(SimpleNamespace(low=0.1, high=0.25)), bounds(SimpleNamespace(low=None, high=None))
    ('[0.100, 0.250]', '')
    """
    if interval.low is None or interval.high is None:
        return ""
    return f"[{number(interval.low)}, {number(interval.high)}]"


def wide(name: str) -> str:
    """The name of an expression in running text.

    >>> wide("no_face")
    'no face'
    """
    return name.replace("_", " ")


def percent(share: float, digits: int = 0) -> str:
    """A share in percent.

    >>> percent(0.1234), percent(0.1234, 1)
    ('12%', '12.3%')
    """
    return f"{share:.{digits}%}"


def metric_floor(metric: str) -> float:
    """Where the drawing of a metric starts: −1 for those that can be negative, else 0."""
    return -1.0 if metric in CAN_BE_NEGATIVE else 0.0
