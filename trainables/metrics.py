"""The metrics of the paper's Table 4, in percent. ``METRICS`` is the registry: a study names one of its keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef


@dataclass(frozen=True)
class Metric:
    """A score that is the mean of its ``parts``, names in ``PARTS``.

    ``on``: what its predictions are, class ids or real numbers. ``labels``: how many labels a task must have; ``None``: any.
    """

    parts: tuple[str, ...]
    on: Literal["classes", "values"] = "classes"
    labels: int | None = None


def _pearson(predictions: np.ndarray, labels: np.ndarray) -> float:
    return _correlation(predictions, labels, lambda x, y: stats.pearsonr(x, y).statistic)


def _spearman(predictions: np.ndarray, labels: np.ndarray) -> float:
    return _correlation(predictions, labels, lambda x, y: stats.spearmanr(x, y).statistic)


def _correlation(x: np.ndarray, y: np.ndarray, of: Callable[[np.ndarray, np.ndarray], float]) -> float:
    """0 where a side does not vary: the coefficient is not defined there, and such predictions explain nothing."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    if len(x) < 2 or np.ptp(x) <= 1e-13 * np.abs(x).max() or np.ptp(y) == 0:
        return 0.0
    return float(of(x, y))


#: Each part of a score, in [-1, 1], from predictions and labels ``(examples,)``.
PARTS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": lambda predictions, labels: float(accuracy_score(labels, predictions)),
    # F1 of class 1, the positive one; 0 where it is neither predicted nor there.
    "f1": lambda predictions, labels: float(f1_score(labels, predictions, pos_label=1, zero_division=0.0)),
    # The unweighted mean of F1 over the classes that are predicted or there.
    "macro_f1": lambda predictions, labels: float(f1_score(labels, predictions, average="macro", zero_division=0.0)),
    "matthews": lambda predictions, labels: float(matthews_corrcoef(labels, predictions)),  # 0 for constant predictions
    "pearson": _pearson,
    "spearman": _spearman,
}

METRICS: dict[str, Metric] = {
    "accuracy": Metric(("accuracy",)),
    "f1": Metric(("f1",), labels=2),
    "macro_f1": Metric(("macro_f1",)),
    "matthews": Metric(("matthews",)),
    "accuracy_f1": Metric(("accuracy", "f1"), labels=2),
    "accuracy_macro_f1": Metric(("accuracy", "macro_f1")),
    "pearson": Metric(("pearson",), on="values"),
    "spearman": Metric(("spearman",), on="values"),
    "pearson_spearman": Metric(("pearson", "spearman"), on="values"),
}


def score(metric: str, predictions: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The score of predictions, in percent, and its parts.

    Args:
        metric: a name in ``METRICS``.
        predictions: ``(examples,)`` class ids, or real numbers for a regression.
        labels: ``(examples,)``, the same.

    Returns:
        ``"score"``, the mean of the parts, and each part by its name. All are NaN if a prediction is not finite. A
        correlation with constant predictions is 0, as is Matthews' coefficient.

    Raises:
        ValueError: an unknown metric, no examples, or lengths that differ.
    """
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; known: {', '.join(METRICS)}")
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    if predictions.shape != labels.shape or labels.ndim != 1 or len(labels) == 0:
        raise ValueError(
            "predictions and labels must be two lists of the same length, at least 1, "
            f"but their shapes are {predictions.shape} and {labels.shape}"
        )
    parts = METRICS[metric].parts
    if not np.isfinite(predictions).all():
        return dict.fromkeys(("score", *parts), float("nan"))
    values = {part: 100.0 * PARTS[part](predictions, labels) for part in parts}
    return {"score": float(np.mean(list(values.values()))), **values}
