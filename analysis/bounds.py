"""What a score can be, in percent: the ends that no interval of one may pass."""

from __future__ import annotations

import pandas as pd

from analysis.devsets import PUBLISHED, TASK
from common.metrics import METRICS

HIGHEST = 100.0
_SIGNED = ("matthews", "pearson", "spearman")  # parts of a metric that may be below zero


def lowest(frame: pd.DataFrame) -> pd.DataFrame:
    """The least that a score can be, a row per benchmark, backbone and task: 0, or -100 where a part of the metric is a
    correlation or nobody knows the metric (``metric`` of the frame, else that of the published task)."""
    known = frame[TASK].assign(metric=frame["metric"].fillna("") if "metric" in frame else "")
    found = known.groupby(TASK, as_index=False)["metric"].max()
    names = found["metric"].where(
        found["metric"] != "", found["task"].map(lambda task: PUBLISHED.get(task, (0, ""))[1])
    )
    return found.drop(columns="metric").assign(lowest=[_lowest(name) for name in names])


def _lowest(metric: str) -> float:
    """Of a score that is the mean of its parts."""
    if metric not in METRICS:
        return -100.0
    parts = METRICS[metric].parts
    return -100.0 * sum(part in _SIGNED for part in parts) / len(parts)
