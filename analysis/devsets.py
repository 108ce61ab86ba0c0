"""What is known of the dev sets that scores are on: their size, their metric, what a constant answer scores.

A score of few examples is uncertain by itself: of ``n`` examples, an accuracy ``p`` has the binomial standard error
``sqrt(p (1 - p) / n)``; that of another metric is the deviation over bootstrap samples of a model's answers. It is that
of other examples, not of other seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd

from analysis import resample
from analysis.predictions import Predictions
from analysis.selection import is_scored, once

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
_RESAMPLES = 1_000

Reader = Callable[[str], Predictions | None]


def devsets(frame: pd.DataFrame, table: pd.DataFrame, predictions: Reader = lambda trial_id: None) -> pd.DataFrame:
    """A row per benchmark, backbone and task: ``n_dev``, ``counted``, ``metric``, ``majority``, ``bar``, ``best`` and
    its ``standard_error``.

    ``table`` is that of ``selection.assignments``: the answers of a chosen one tell ``n_dev``, then ``counted``; else
    it is that of the published split, cut at the protocol's ``dev_rows``, and missing where that is not known either.
    ``majority`` (percent) is NaN and ``metric`` empty where nobody knows. ``bar``: see :func:`bar`. ``best``: the
    highest median of the chosen ones; its ``standard_error`` is over examples: of an accuracy the binomial one, else of
    the answers of that assignment's seed next to the median, and NaN where none were kept.
    """
    return once(frame, ("devsets", predictions), lambda: _devsets(frame, table, predictions))


def _devsets(frame: pd.DataFrame, table: pd.DataFrame, predictions: Reader) -> pd.DataFrame:
    known = frame[TASK].assign(
        metric=frame.get("metric", ""), majority=frame.get("majority", math.nan), limit=frame.get("dev_rows", pd.NA)
    )
    found = known.groupby(TASK).max().reset_index()
    chosen = table[table["selected"]].sort_values("median", ascending=False, kind="stable")
    highest = chosen.drop_duplicates(TASK)
    best = highest.set_index(TASK)["median"].to_dict()
    asked = [_asked(frame, rows) for rows in (highest, chosen.drop(highest.index))]
    rows = []
    for *place, metric, majority, limit in found.itertuples(index=False, name=None):
        read = [(predictions(trial_id) for trial_id in ids.get(tuple(place), [])) for ids in asked]
        own, other = (next((answer for answer in answers if answer is not None), None) for answers in read)
        kept, score = own or other, best.get(tuple(place), math.nan)
        n, usual = PUBLISHED.get(place[2], (None, ""))
        size = len(kept.gold) if kept else n if n is None or pd.isna(limit) else min(n, int(limit))
        name = (kept.metric if kept else metric) or usual
        error = resampled_error(own) if own and name != "accuracy" else standard_error(score, size, name)
        rows.append((*place, size, kept is not None, name, majority, bar(majority, size, name), score, error))
    columns = [*TASK, "n_dev", "counted", "metric", "majority", "bar", "best", "standard_error"]
    return pd.DataFrame(rows, columns=columns).astype({"n_dev": "Int64", "majority": float, "bar": float})


def _asked(frame: pd.DataFrame, chosen: pd.DataFrame) -> dict[tuple[str, ...], list[str]]:
    """Trials of each task's assignments among these, those next to their median first."""
    keys = [*TASK, "method", "assignment_id"]
    own = frame[frame["assignment_id"].isin(chosen["assignment_id"])]
    own = own[is_scored(own)].merge(chosen[[*keys, "median"]], on=keys)
    own = own.assign(away=(own["score"] - own["median"]).abs()).sort_values([*TASK, "away", "trial_id"])
    return own.groupby(TASK).head(_TRIED).groupby(TASK)["trial_id"].apply(list).to_dict()


def resampled_error(answers: Predictions) -> float:
    """Standard error of a model's score over examples, in points, by the bootstrap; NaN where an answer is no number.

    Examples with one answer and one label are drawn together, as a multinomial number.
    """
    if not len(answers.gold) or not np.isfinite(answers.predicted).all():
        return math.nan
    pairs, counts = np.unique(np.stack([answers.predicted, answers.gold]), axis=1, return_counts=True)
    draws = np.random.default_rng(0).multinomial(counts.sum(), counts / counts.sum(), size=_RESAMPLES)
    return float(resample.scores(answers.metric, draws.astype(np.float32), pairs[:1], pairs[1]).std(ddof=1))


def standard_error(score: float, n_dev: int | None, metric: str) -> float:
    """Of an accuracy in percent, in points; NaN for other metrics, which it takes answers for, and of unknown sizes."""
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
