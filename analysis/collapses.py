"""Runs that collapse: how many of a method's do, and from how many seeds a median is then safe.

A run has collapsed if it ends further below its assignment's median than eight times what runs of its cell typically
are from theirs. Counted are the assignments like the chosen one, one of whose seeds comes as near to the best median.
A few collapses do not show in a few seeds, and yet move what these seeds estimate. So the share of the method's runs on
the benchmark and backbone counts, and no interval stands where the median of so few seeds is too often one of them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from analysis.selection import CELL, METHOD

FAR = 8.0  # typical distances from the median; of normal scores 5.4 deviations
_OFTEN = 0.025  # most that medians of one task may be of collapsed runs; of t tasks over the root of t
MOST_SEEDS = 100  # beyond, a number of seeds is no advice


def counted(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per cell how many runs of assignments like the best one collapsed, and how many such runs there are: ``(c,)``.

    ``scores (c, a, s)``: of c cells, a assignments and s seeds; NaN where there is none. Those of one seed tell nothing
    and count nowhere.
    """
    n = np.isfinite(scores).sum(axis=-1)
    medians = _median(scores)  # (c, a)
    below = medians[..., None] - scores
    away = np.abs(below).reshape(len(scores), -1)
    typical = _median(np.where(away > 0, away, np.nan))  # ties on small dev sets say nothing of the spread
    reach = FAR * np.where(np.isfinite(typical), typical, np.inf)
    whole = n == n.max(axis=-1, keepdims=True)
    best = np.where(whole, medians, -np.inf).max(axis=-1)
    highest = np.where(np.isfinite(scores), scores, -np.inf).max(axis=-1)
    like = (n > 1) & (highest >= (best - reach)[:, None])
    fell = like[..., None] & (below > reach[:, None, None])
    return fell.sum(axis=(1, 2)), np.where(like, n, 0).sum(axis=1)


def _median(values: np.ndarray) -> np.ndarray:
    """Over the last axis, of what is there; NaN where nothing is."""
    n = np.isfinite(values).sum(axis=-1, keepdims=True)
    ordered = np.sort(values, axis=-1)  # what is missing comes last
    middle = [np.take_along_axis(ordered, place, axis=-1) for place in (np.maximum(n - 1, 0) // 2, n // 2 - (n == 0))]
    return np.asarray((middle[0] + middle[1])[..., 0] / 2)


def share(collapsed: np.ndarray, runs: np.ndarray) -> np.ndarray:
    """The share that collapses, of which so many were seen: the mean of Jeffreys' posterior, never zero."""
    return np.asarray((collapsed + 0.5) / (runs + 1))


def of_median(seeds: np.ndarray, share: np.ndarray) -> np.ndarray:
    """The probability that half of the seeds or more collapse, and the median with them.

    One seed counts as ten of which none may: it has no spread of its own that would show its fall.
    """
    seeds = np.asarray(seeds)
    alone = seeds == 1
    return np.asarray(stats.binom.sf(np.where(alone, 0, np.ceil(seeds / 2) - 1), np.where(alone, 10, seeds), share))


def too_often(medians: np.ndarray, tasks: np.ndarray) -> np.ndarray:
    """Whether so large a share of medians moves their mean over tasks by more than its interval allows for.

    The more tasks, the narrower the interval: 2.5 % of one task's medians, 0.9 % of those of eight.
    """
    return np.asarray(medians > _OFTEN / np.sqrt(tasks))


def needed(share: float, tasks: int) -> int:
    """The least number of seeds whose median is safe; above ``MOST_SEEDS`` if none up to there is."""
    seeds = np.arange(1, MOST_SEEDS + 1)
    safe = np.flatnonzero(~too_often(of_median(seeds, np.array(share)), np.array(tasks)))
    return int(seeds[safe[0]]) if len(safe) else MOST_SEEDS + 1


def of_methods(cells: pd.DataFrame, searched: pd.DataFrame, fresh: pd.DataFrame) -> pd.DataFrame:
    """A row per benchmark, backbone and method with a fresh score.

    ``collapsed`` of so many ``runs`` of assignments like the chosen ones, confirmation seeds among them; the ``share``
    that this makes likely; ``too_often``: no interval holds with so few fresh seeds as there are; ``needed``: the seeds
    with which one does. ``cells``: a row per cell with ``kind`` and ``n_fresh``, as
    :class:`analysis.estimates.Estimates` has them; ``searched`` and ``fresh``: scored trials of the search, and of
    confirmation.
    """
    table = _counts(searched, fresh)
    table["share"] = share(table["collapsed"].to_numpy(), table["runs"].to_numpy())
    known = cells.loc[cells["kind"] != "", [*METHOD, "n_fresh"]].merge(table[[*METHOD, "share"]], on=METHOD)
    known["medians"] = of_median(known["n_fresh"].to_numpy(int), known["share"].to_numpy(float))
    medians = known.groupby(METHOD)["medians"].agg(often="mean", tasks="size").reset_index()
    table = table.merge(medians, on=METHOD)
    table["too_often"] = too_often(table["often"].to_numpy(float), table["tasks"].to_numpy(float))
    table["needed"] = [needed(*own) for own in table[["share", "tasks"]].itertuples(index=False, name=None)]
    return table.drop(columns=["often", "tasks"])


def _counts(searched: pd.DataFrame, fresh: pd.DataFrame) -> pd.DataFrame:
    """``collapsed`` and ``runs`` per method, where a cell's confirmation seeds stand beside its assignments."""
    own = searched[[*CELL, "assignment_id", "score"]]
    runs = pd.concat([own, fresh[[*CELL, "score"]].assign(assignment_id="")], ignore_index=True)
    if runs.empty:
        return pd.DataFrame({**{name: pd.Series(dtype=object) for name in METHOD}, "collapsed": [], "runs": []})
    cell = runs.groupby(CELL)
    c, row = cell.ngroup(), runs.groupby([*CELL, "assignment_id"]).ngroup()
    a, s = row - row.groupby(c).transform("min"), runs.groupby(row).cumcount()
    array = np.full((c.max() + 1, a.max() + 1, s.max() + 1), np.nan)
    array[c, a, s] = runs["score"]
    collapsed, n = counted(array)
    table = cell.size().reset_index()[CELL].assign(collapsed=collapsed, runs=n)
    return table.groupby(METHOD, as_index=False)[["collapsed", "runs"]].sum()
