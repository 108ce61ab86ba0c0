"""A trial's answers on the dev split at its best epoch: what best assignments are compared by, example by example."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Predictions:
    """``predicted`` and ``gold``, ``(n_examples,)`` each: class ids, or real numbers where the metric is on values.

    ``metric``: the name of the task's, a key of ``common.metrics.METRICS``.
    """

    metric: str
    predicted: np.ndarray
    gold: np.ndarray
