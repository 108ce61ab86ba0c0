"""Is a difference between methods more than luck? Small samples, so exact tests, and each says how small it could get.

Two questions. *Over tasks*: does one method beat another across a benchmark (Wilcoxon signed-rank on the differences of
best medians, Demšar 2006)? *Over seeds*: does it on one task (permutation test on the seeds' scores of the two best
assignments)? Both compare every method with a reference, the best one, and correct for the number of comparisons
(Holm 1979).
"""

from __future__ import annotations

import hashlib
import math
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from analysis.selection import APART, CELL, counts, macro, mean

RESAMPLES = 10_000
_EXACT = 200_000  # permutations enumerated; beyond that they are drawn
_DIGITS = 9  # differences that agree this far are equal
OVER_TASKS = [
    *("benchmark", "backbone", "reference", "method", "n_tasks", "wins", "ties", "losses"),
    *("difference", "lower", "upper", "p", "p_holm", "p_least"),
]
OVER_SEEDS = [
    *("benchmark", "backbone", "task", "reference", "method", "n_reference", "n_method"),
    *("difference", "p", "p_holm", "p_least"),
]
_MIN_TASKS = 5  # a bootstrap over fewer tasks says nothing


def holm(p_values: list[float]) -> list[float]:
    """Holm's step-down correction: family-wise error over all comparisons given, in their order."""
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(p_values))
    running = 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted.tolist()


def signed_rank(differences: np.ndarray, stream: np.random.Generator) -> tuple[float, float]:
    """Two-sided p of Wilcoxon's signed-rank test, and the least p possible with so many differences.

    Zero differences are left out. All ``2^n`` assignments of signs are enumerated where they are few enough, so ties in
    rank are exact as well; else ``RESAMPLES`` are drawn.
    """
    differences = np.round(differences, _DIGITS)
    differences = differences[differences != 0]
    n = len(differences)
    if n == 0:
        return 1.0, 1.0
    ranks = stats.rankdata(np.abs(differences))
    observed = abs(np.sum(np.sign(differences) * ranks))
    exact = 2**n <= _EXACT
    signs = (np.arange(2**n)[:, None] >> np.arange(n)) % 2 if exact else stream.integers(2, size=(RESAMPLES, n))
    extreme = np.abs((2 * signs - 1) @ ranks) >= observed - 1e-9
    p = float(extreme.mean()) if exact else float((extreme.sum() + 1) / (RESAMPLES + 1))
    return p, 2.0**-n * 2


def permutation(left: np.ndarray, right: np.ndarray, stream: np.random.Generator) -> tuple[float, float]:
    """Two-sided p that two groups of seeds' scores differ in mean only by chance, and the least p possible.

    Groups are not paired: the same seed gives two methods different weights to start from.
    """
    pooled = np.concatenate([left, right])
    n, total = len(left), len(left) + len(right)
    splits = math.comb(total, n)
    if n == 0 or n == total:
        return 1.0, 1.0
    if splits <= _EXACT:
        chosen = np.array(list(combinations(range(total), n)))
    else:
        chosen = np.argsort(stream.random((RESAMPLES, total)), axis=1)[:, :n]
    sums = pooled[chosen].sum(axis=1)
    # The mean of one side fixes that of the other; its distance from the pooled mean is the statistic.
    distance = np.abs(sums - n * pooled.mean())
    extreme = distance >= abs(left.sum() - n * pooled.mean()) - 1e-9
    least = (2 if 2 * n == total else 1) / splits
    p = float(extreme.mean()) if splits <= _EXACT else float((extreme.sum() + 1) / (RESAMPLES + 1))
    return p, least


def over_tasks(winners: pd.DataFrame) -> pd.DataFrame:
    """Every method against the one with the best complete macro score, per benchmark and backbone.

    ``difference`` is the mean over the ``n_tasks`` tasks both have of (method − reference) in points, ``lower`` and
    ``upper`` its 95 % bootstrap interval over tasks (NaN under five tasks).
    """
    rows = []
    for (benchmark, backbone), group in winners.groupby(["benchmark", "backbone"]):
        scores = group.dropna(subset="median").pivot(index="task", columns="method", values="median")
        reference = _reference(group)
        if reference is None:
            continue
        family = []
        for method in [m for m in scores.columns if m != reference]:
            gaps = (scores[method] - scores[reference]).dropna().to_numpy()
            if not len(gaps):
                continue
            stream = _stream(benchmark, backbone, reference, method)
            drawn = gaps[stream.integers(len(gaps), size=(RESAMPLES, len(gaps)))].mean(axis=1)
            lower, upper = np.quantile(drawn, [0.025, 0.975]) if len(gaps) >= _MIN_TASKS else (math.nan, math.nan)
            p, least = signed_rank(gaps, stream)
            even = np.round(gaps, _DIGITS) == 0
            family.append({
                "benchmark": benchmark, "backbone": backbone, "reference": reference, "method": method,
                "n_tasks": len(gaps), "wins": int(((gaps > 0) & ~even).sum()), "ties": int(even.sum()),
                "losses": int(((gaps < 0) & ~even).sum()), "difference": mean(gaps.tolist()),
                "lower": lower, "upper": upper, "p": p, "p_least": least,
            })  # fmt: skip
        rows += _corrected(family)
    return pd.DataFrame(rows, columns=OVER_TASKS)


def over_seeds(frame: pd.DataFrame, winners: pd.DataFrame) -> pd.DataFrame:
    """On each task, every method's best assignment against the best method's, on their seeds' scores.

    ``difference`` is that of the medians (method − reference) in points. Corrected within a task.
    """
    keys = [*CELL, "assignment_id"]
    scored = frame[counts(frame)].merge(winners.dropna(subset="median")[keys], on=keys)
    scores = {cell: group["score"].sort_values().to_numpy() for cell, group in scored.groupby(CELL)}
    rows = []
    for (benchmark, backbone, task), group in winners.dropna(subset="median").groupby(CELL[:3]):
        ranked = group[group["method"] != APART].sort_values(["median", "method"], ascending=[False, True])
        if ranked.empty:
            continue
        reference = ranked["method"].iloc[0]
        left = scores[benchmark, backbone, task, reference]
        family = []
        for method in [m for m in group["method"] if m != reference]:
            right = scores[benchmark, backbone, task, method]
            p, least = permutation(left, right, _stream(benchmark, backbone, task, reference, method))
            family.append({
                "benchmark": benchmark, "backbone": backbone, "task": task, "reference": reference, "method": method,
                "n_reference": len(left), "n_method": len(right),
                "difference": float(np.median(right) - np.median(left)), "p": p, "p_least": least,
            })  # fmt: skip
        rows += _corrected(family)
    return pd.DataFrame(rows, columns=OVER_SEEDS)


def _reference(group: pd.DataFrame) -> str | None:
    """The method with the highest complete macro score, fine-tuning apart; ``None`` if there is none."""
    table = macro(group)
    table = table[table["complete"] & (table["method"] != APART)]
    return (
        None if table.empty else str(table.sort_values(["macro", "method"], ascending=[False, True])["method"].iloc[0])
    )


def _corrected(family: list[dict]) -> list[dict]:
    return [row | {"p_holm": p} for row, p in zip(family, holm([row["p"] for row in family]), strict=True)]


def _stream(*names: str) -> np.random.Generator:
    """Random numbers that belong to one comparison, whatever else is compared."""
    return np.random.default_rng(
        int.from_bytes(hashlib.sha256("|".join(("significance", *names)).encode()).digest()[:8])
    )
