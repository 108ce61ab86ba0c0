"""The metrics of the paper's Table 4, in percent. ``METRICS`` is the registry: a study names one of its keys."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Metric:
    """A score that is the mean of its ``parts``, names in ``PARTS``.

    ``on``: what its predictions are, class ids or real numbers.
    ``labels``: how many labels a task must have; ``None``: any number.
    """

    parts: tuple[str, ...]
    on: Literal["classes", "values"] = "classes"
    labels: int | None = None


# The libraries are imported where they are used: a study is planned with the metrics' names alone.


def _accuracy(predictions: np.ndarray, labels: np.ndarray) -> float:
    return float((predictions == labels).mean())


def _f1(predictions: np.ndarray, labels: np.ndarray) -> float:
    """F1 of class 1, the positive one; 0 where it is neither predicted nor there."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels, predictions, pos_label=1, zero_division=0.0))


def _macro_f1(predictions: np.ndarray, labels: np.ndarray) -> float:
    """The unweighted mean of F1 over the classes that are predicted or there."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels, predictions, average="macro", zero_division=0.0))


def _matthews(predictions: np.ndarray, labels: np.ndarray) -> float:
    """0 where the predictions or the labels are all of one class."""
    if len(np.unique(predictions)) == 1 or len(np.unique(labels)) == 1:
        return 0.0
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(labels, predictions))


def _pearson(predictions: np.ndarray, labels: np.ndarray) -> float:
    from scipy.stats import pearsonr

    return float(pearsonr(predictions, labels).statistic) if _vary(predictions, labels) else 0.0


def _spearman(predictions: np.ndarray, labels: np.ndarray) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(predictions, labels).statistic) if _vary(predictions, labels) else 0.0


def _vary(predictions: np.ndarray, labels: np.ndarray) -> bool:
    """Whether a correlation is defined. What differs by rounding alone does not vary."""
    return all(np.ptp(x) > 1e-13 * np.abs(x).max() for x in (predictions, labels))


#: Each part of a score, in [-1, 1], from predictions and labels ``(examples,)``.
PARTS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": _accuracy,
    "f1": _f1,
    "macro_f1": _macro_f1,
    "matthews": _matthews,
    "pearson": _pearson,
    "spearman": _spearman,
}

#: What parts import when they are first asked for.
LIBRARIES = {
    "f1": "sklearn.metrics",
    "macro_f1": "sklearn.metrics",
    "matthews": "sklearn.metrics",
    "pearson": "scipy.stats",
    "spearman": "scipy.stats",
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
    known = _known(metric)
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    if predictions.shape != labels.shape or labels.ndim != 1 or len(labels) == 0:
        raise ValueError(
            "predictions and labels must be two lists of the same length, at least 1, "
            f"but their shapes are {predictions.shape} and {labels.shape}"
        )
    if not np.isfinite(predictions).all():
        return dict.fromkeys(("score", *known.parts), float("nan"))
    if known.on == "values":
        predictions, labels = predictions.astype(np.float64), labels.astype(np.float64)
    values = {part: 100.0 * PARTS[part](predictions, labels) for part in known.parts}
    return {"score": float(np.mean(list(values.values()))), **values}


def import_ahead(metric: str) -> None:
    """Import what ``score`` needs for this metric in a thread, while the caller has something else to do: scikit-learn
    takes up to a second.

    An import that fails is told by ``score``.
    """
    parts = _known(metric).parts
    names = {LIBRARIES[part] for part in parts if part in LIBRARIES} - set(sys.modules)
    for name in sorted(names):
        threading.Thread(target=_import, args=(name,), daemon=True).start()


def _import(name: str) -> None:
    with suppress(Exception):
        importlib.import_module(name)


def majority(metric: str, labels: np.ndarray) -> float:
    """What the best constant answer scores, in percent: the line that a trial has to pass to have learned anything.

    Args:
        metric: a name in ``METRICS``.
        labels: ``(examples,)``, class ids (or the numbers of choices), or real numbers.

    Returns:
        Of classes, the best ``score`` of one for all examples; an answer that is no label of any scores no better. Of
        values 0: a constant has no correlation.

    Raises:
        ValueError: an unknown metric, or no labels.
    """
    labels = np.asarray(labels)
    constants = np.unique(labels) if _known(metric).on == "classes" else labels[:1]
    return max(score(metric, np.full_like(labels, constant), labels)["score"] for constant in constants)


def _known(metric: str) -> Metric:
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; known: {', '.join(METRICS)}")
    return METRICS[metric]
