"""Is a difference between methods more than luck? Small samples, so exact tests, and each says how small it could get.

Two questions. *Over tasks*: would one method beat another on other tasks too (Wilcoxon signed-rank on the differences
of best medians, Demšar 2006)? *Over seeds*: would it with other seeds, on one task or over the tasks of a benchmark
(permutation of the seeds' scores of the two best assignments, within each task)? Every method is compared with a
reference, the best one, and p-values are corrected for the number of comparisons (Holm 1979).
"""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from analysis.selection import APART, CELL, is_scored, macro_scores, mean
from common.seeds import seed_of

RESAMPLES = 10_000
_EXACT = 200_000  # permutations enumerated; beyond that they are drawn
_DIGITS = 9  # differences that agree this far are equal
OVER_TASKS = [
    *("benchmark", "backbone", "reference", "method", "n_tasks", "wins", "ties", "losses"),
    *("difference", "lower", "upper", "p", "p_holm", "p_least", "p_least_holm", "p_seeds", "p_seeds_holm"),
]
OVER_SEEDS = [
    *("benchmark", "backbone", "task", "reference", "method", "n_reference", "n_method"),
    *("difference", "p", "p_holm", "p_least", "p_least_holm"),
]
_MIN_TASKS = 5  # a bootstrap over fewer tasks says nothing


def holm(p_values: list[float]) -> list[float]:
    """Holm's step-down correction: family-wise error over all comparisons given, in their order; NaN stays NaN."""
    known = [i for i in np.argsort(p_values, kind="stable") if not math.isnan(p_values[i])]
    adjusted = [math.nan] * len(p_values)
    running = 0.0
    for rank, i in enumerate(known):
        running = max(running, min(1.0, (len(known) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted


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


def stratified_permutation(pairs: list[tuple[np.ndarray, np.ndarray]], stream: np.random.Generator) -> float:
    """Two-sided p that two methods' mean scores over several tasks differ only by seeds.

    ``pairs`` holds the seeds' scores of both methods on each task. Scores are exchanged within a task, ``RESAMPLES``
    times; the statistic is the mean over tasks of the difference of means.
    """
    observed, drawn = 0.0, np.zeros(RESAMPLES)
    for left, right in pairs:
        pooled, n = np.concatenate([left, right]), len(left)
        shuffled = pooled[np.argsort(stream.random((RESAMPLES, len(pooled))), axis=1)]  # (resamples, seeds of both)
        drawn += shuffled[:, :n].mean(axis=1) - shuffled[:, n:].mean(axis=1)
        observed += left.mean() - right.mean()
    return float((np.sum(np.abs(drawn) >= abs(observed) - 1e-9) + 1) / (RESAMPLES + 1))


def over_tasks(frame: pd.DataFrame, winners: pd.DataFrame) -> pd.DataFrame:
    """Every method against the one with the best complete macro score, per benchmark and backbone.

    ``difference`` is the mean over the ``n_tasks`` tasks both have of (method - reference) in points, ``lower`` and
    ``upper`` its 95 % bootstrap interval over tasks (NaN under five tasks). ``p`` is over tasks, ``p_seeds`` over seeds
    (NaN where no task has two seeds of either method).
    """
    seeds = _seeds(frame, winners)
    rows: list[dict] = []
    for (benchmark, backbone), group in winners.groupby(["benchmark", "backbone"]):
        scores = group.dropna(subset="median").pivot(index="task", columns="method", values="median")
        reference = _reference(group)
        if reference is None:
            continue
        family = []
        for method in [m for m in scores.columns if m != reference]:
            gaps = (scores[method] - scores[reference]).dropna()
            if gaps.empty:
                continue
            pairs = [
                (seeds[benchmark, backbone, t, method], seeds[benchmark, backbone, t, reference]) for t in gaps.index
            ]
            names = {"benchmark": benchmark, "backbone": backbone, "reference": reference, "method": method}
            family.append(names | _compare(gaps.to_numpy(), pairs, _stream(*names.values())))
        seeds_holm = holm([row["p_seeds"] for row in family])
        rows += [row | {"p_seeds_holm": p} for row, p in zip(_corrected(family), seeds_holm, strict=True)]
    return pd.DataFrame(rows, columns=OVER_TASKS)


def _compare(gaps: np.ndarray, pairs: list[tuple[np.ndarray, np.ndarray]], stream: np.random.Generator) -> dict:
    """One row of :func:`over_tasks`: ``gaps`` between medians ``(n_tasks,)``, ``pairs`` of seeds' scores per task."""
    gaps = np.round(gaps, _DIGITS)
    lower, upper = math.nan, math.nan
    if len(gaps) >= _MIN_TASKS:
        drawn = gaps[stream.integers(len(gaps), size=(RESAMPLES, len(gaps)))].mean(axis=1)
        lower, upper = np.quantile(drawn, [0.025, 0.975])
    p, least = signed_rank(gaps, stream)
    replicated = any(len(left) + len(right) > 2 for left, right in pairs)
    return {
        "n_tasks": len(gaps), "wins": int((gaps > 0).sum()), "ties": int((gaps == 0).sum()),
        "losses": int((gaps < 0).sum()), "difference": mean(gaps.tolist()), "lower": lower, "upper": upper,
        "p": p, "p_least": least, "p_seeds": stratified_permutation(pairs, stream) if replicated else math.nan,
    }  # fmt: skip


def over_seeds(frame: pd.DataFrame, winners: pd.DataFrame) -> pd.DataFrame:
    """On each task, every method's best assignment against the best method's, on their seeds' scores.

    ``difference`` is that of the medians (method - reference) in points. Corrected within a task.
    """
    scores = _seeds(frame, winners)
    rows: list[dict] = []
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


def _seeds(frame: pd.DataFrame, winners: pd.DataFrame) -> dict[tuple[str, ...], np.ndarray]:
    """The seeds' scores of every cell's best assignment, by cell, in ascending order."""
    keys = [*CELL, "assignment_id"]
    scored = frame[is_scored(frame)].merge(winners.dropna(subset="median")[keys], on=keys)
    return {cell: group["score"].sort_values().to_numpy() for cell, group in scored.groupby(CELL)}


def _reference(group: pd.DataFrame) -> str | None:
    """The method with the highest complete macro score, fine-tuning apart; ``None`` if there is none."""
    table = macro_scores(group)
    table = table[table["complete"] & (table["method"] != APART)].sort_values(
        ["macro", "method"], ascending=[False, True]
    )
    return None if table.empty else str(table["method"].iloc[0])


def _corrected(family: list[dict]) -> list[dict]:
    """Rows with ``p_holm``, and ``p_least_holm``: what it would be if this row alone had its least possible p."""
    p = [row["p"] for row in family]
    least = [holm([*p[:i], row["p_least"], *p[i + 1 :]])[i] for i, row in enumerate(family)]
    return [row | {"p_holm": a, "p_least_holm": b} for row, a, b in zip(family, holm(p), least, strict=True)]


def _stream(*names: str) -> np.random.Generator:
    """Random numbers that belong to one comparison, whatever else is compared."""
    return np.random.default_rng(seed_of("|".join(("significance", *names))))
