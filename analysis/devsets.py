"""What is known of the dev sets that scores are on: their size, their metric, what a constant answer scores.

A score of few examples is uncertain by itself: of ``n`` examples, an accuracy ``p`` has the binomial standard error
``sqrt(p (1 - p) / n)``. That of other examples, not of other seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pandas as pd

from analysis.predictions import Predictions

TASK = ["benchmark", "backbone", "task"]
#: Examples of the published dev splits and the paper's metrics (its Table 4), for runs that do not tell. MNLI: matched.
PUBLISHED: dict[str, tuple[int, str]] = {
    "glue/cola": (1043, "matthews"), "glue/sst-2": (872, "accuracy"), "glue/mrpc": (408, "accuracy_f1"),
    "glue/sts-b": (1500, "pearson_spearman"), "glue/qqp": (40430, "accuracy_f1"), "glue/mnli": (9815, "accuracy"),
    "glue/qnli": (5463, "accuracy"), "glue/rte": (277, "accuracy"), "superglue/boolq": (3270, "accuracy"),
    "superglue/cb": (56, "accuracy_macro_f1"), "superglue/copa": (100, "accuracy"),
    "superglue/multirc": (4848, "accuracy_f1"), "superglue/rte": (277, "accuracy"), "superglue/wic": (638, "accuracy"),
    "superglue/wsc": (104, "accuracy"),
}  # fmt: skip
_TRIED = 3  # trials of a task whose answers are looked for


def devsets(
    frame: pd.DataFrame, table: pd.DataFrame, predictions: Callable[[str], Predictions | None] = lambda trial_id: None
) -> pd.DataFrame:
    """A row per benchmark, backbone and task: ``n_dev``, ``counted``, ``metric``, ``majority``, ``bar``.

    ``table`` is that of ``selection.assignments``: the answers of a chosen one tell ``n_dev``, then ``counted``; else
    it is that of the published split, cut at the protocol's ``dev_rows``, and missing where that is not known either.
    ``majority`` (percent) is NaN and ``metric`` empty where nobody knows. ``bar``: see :func:`bar`.
    """
    known = frame[TASK].assign(
        metric=frame.get("metric", ""), majority=frame.get("majority", math.nan), limit=frame.get("dev_rows", pd.NA)
    )
    found = known.groupby(TASK).max().reset_index()
    chosen = frame[frame["assignment_id"].isin(table.loc[table["selected"], "assignment_id"])]
    asked = chosen.groupby(TASK).head(_TRIED).groupby(TASK)["trial_id"].apply(list).to_dict()
    rows = []
    for *place, metric, majority, limit in found.itertuples(index=False, name=None):
        answers = (predictions(trial_id) for trial_id in asked.get(tuple(place), []))
        kept = next((answer for answer in answers if answer is not None), None)
        n, usual = PUBLISHED.get(place[2], (None, ""))
        size = len(kept.gold) if kept else n if n is None or pd.isna(limit) else min(n, int(limit))
        name = (kept.metric if kept else metric) or usual
        rows.append((*place, size, kept is not None, name, majority, bar(majority, size, name)))
    columns = [*TASK, "n_dev", "counted", "metric", "majority", "bar"]
    return pd.DataFrame(rows, columns=columns).astype({"n_dev": "Int64", "majority": float, "bar": float})


def standard_error(score: float, n_dev: int | None, metric: str) -> float:
    """Of an accuracy in percent, in points; NaN for other metrics, and where the size is not known."""
    if metric != "accuracy" or n_dev is None or pd.isna(n_dev) or not math.isfinite(score):
        return math.nan
    share = min(max(score / 100, 0.0), 1.0)
    return 100 * math.sqrt(share * (1 - share) / n_dev)


def bar(majority: float, n_dev: int | None, metric: str) -> float:
    """What a score must exceed to be better than a constant answer by more than one standard error, at its score.

    Of another metric than accuracy, the constant answer's score itself; NaN where that is not known.
    """
    error = standard_error(majority, n_dev, metric)
    return majority + (0.0 if math.isnan(error) else error)
