"""Which method is first, and how firmly: mean ranks over tasks, and ranks in resampled studies.

Mean ranks and their critical difference follow Demšar (2006): two methods are told apart where their mean ranks differ
by more than all orders being equally likely would give to the widest pair (Nemenyi's test; its distribution is drawn
for so few tasks, not taken from a table for many). Stability: the study is made again from its own trials, with other
seeds, assignments or tasks, the choice of the best assignments included and never by the scores that rank it, and the
methods are ranked anew. Fine-tuning
is ranked nowhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations, product

import numpy as np
import pandas as pd
from scipy import stats

from analysis.exact import LEVEL
from analysis.selection import APART, CELL, is_scored
from common.seeds import seed_of

STUDIES = 1_000  # resampled, of each kind
RESAMPLED = ("seeds", "assignments", "tasks")
MEAN_RANKS = ["benchmark", "backbone", "method", "n_tasks", "n_methods", "mean_rank", "critical"]
STABILITY = ["benchmark", "backbone", "resampled", "method", "rank", "share"]
_ORDERS = 50_000
_DIGITS = 9
_ENUMERATED = 5  # seeds of which all resamples are listed


def mean_ranks(scores: pd.DataFrame) -> pd.DataFrame:
    """A row per method of each benchmark and backbone that has scores on all of its tasks, two at least.

    ``scores`` is an :func:`analysis.evidence.evidence` table: methods are ranked in each task by the mean of seeds that
    chose nothing; 1 is the best, ties share. ``critical``: mean ranks that differ by at least so much are told apart,
    infinite where none could be.
    """
    rows: list[dict] = []
    means = scores[scores["method"] != APART].groupby(CELL)["score"].mean().reset_index()
    for (benchmark, backbone), group in means.groupby(["benchmark", "backbone"]):
        table = group.pivot(index="task", columns="method", values="score").dropna(axis="columns")
        n_tasks, n_methods = table.shape
        if n_tasks < 2 or n_methods < 2:
            continue
        ranks = stats.rankdata(-table.to_numpy().round(_DIGITS), axis=1).mean(axis=0)
        place = {"benchmark": benchmark, "backbone": backbone, "n_tasks": n_tasks, "n_methods": n_methods,
                 "critical": critical_difference(n_tasks, n_methods)}  # fmt: skip
        rows += [place | {"method": name, "mean_rank": rank} for name, rank in zip(table, ranks, strict=True)]
    return pd.DataFrame(rows, columns=MEAN_RANKS).sort_values(
        ["benchmark", "backbone", "mean_rank", "method"], ignore_index=True
    )


@lru_cache(maxsize=64)
def critical_difference(n_tasks: int, n_methods: int, level: float = LEVEL) -> float:
    """The least difference of mean ranks that the widest pair of methods reaches in under 5 of 100 cases by chance.

    Of 50,000 draws, every order of the methods as likely as any other in each task. Infinite where even a method that
    is always first and one that is always last are that close to chance.
    """
    if (n_methods * (n_methods - 1)) ** (1.0 - n_tasks) >= level:
        return math.inf
    stream = np.random.default_rng(seed_of(f"critical|{n_tasks}|{n_methods}"))
    ranks = np.tile(np.arange(1, n_methods + 1), (_ORDERS, 1))
    sums = sum(stream.permuted(ranks, axis=1) for _ in range(n_tasks))
    ranges = np.ptp(np.asarray(sums), axis=1)
    return next(wide for wide in np.unique(ranges).tolist() if (ranges >= wide).mean() < level) / n_tasks


def together(mean_rank: np.ndarray, critical: float) -> list[tuple[int, int]]:
    """The widest runs, first to last, of ascending mean ranks that are not told apart; of two methods at least."""
    reach = [int(np.searchsorted(mean_rank, r + critical - 1e-9)) - 1 for r in mean_rank]
    return [(i, last) for i, last in enumerate(reach) if last > i and (i == 0 or reach[i - 1] < last)]


def stability(frame: pd.DataFrame) -> pd.DataFrame:
    """How often each method has each rank by macro score, of ``STUDIES`` resampled ones; a row per method and rank.

    ``resampled``: ``seeds`` (a random half of a cell's seeds chooses its assignment, the rest score it),
    ``assignments`` (of each method half as many as the one with the fewest has on that task, without replacement so
    that none counts twice, and the best of those) or ``tasks`` (with replacement, a cell scored by the mean over all
    halves of its seeds). So no method is first for having had more assignments. Of a cell's assignments those with the
    most seeds are candidates. Methods that lack a task are left out; ties fall by chance. A kind is missing where there
    is one of it to draw from; those of seeds and tasks also where one seed chose among several assignments.
    """
    rows: list[pd.DataFrame] = []
    for (benchmark, backbone), cells in _cells(frame):
        tasks, methods = _complete(cells)
        if len(methods) < 2:
            continue
        stream = np.random.default_rng(seed_of(f"stability|{benchmark}|{backbone}"))
        own = {key: scores for key, scores in cells.items() if key[1] in methods}
        for kind, macros in _resampled(own, tasks, methods, stream).items():
            jitter = stream.random(macros.shape) * 10.0**-_DIGITS
            places = stats.rankdata(-(macros.round(_DIGITS) + jitter), axis=1).astype(int)
            shares = np.stack([(places == rank).mean(axis=0) for rank in range(1, len(methods) + 1)])
            index = pd.MultiIndex.from_product([range(1, len(methods) + 1), methods], names=["rank", "method"])
            table = pd.DataFrame({"share": shares.ravel()}, index=index).reset_index()
            rows.append(table.assign(benchmark=benchmark, backbone=backbone, resampled=kind))
    return pd.concat(rows, ignore_index=True)[STABILITY] if rows else pd.DataFrame(columns=STABILITY)


Cells = dict[tuple[str, str], np.ndarray]


def _cells(frame: pd.DataFrame) -> Iterator[tuple[tuple[str, str], Cells]]:
    """Per benchmark and backbone the candidates' scores ``(n_assignments, n_seeds)`` of each task and method."""
    scored = frame.loc[is_scored(frame) & (frame["method"] != APART), [*CELL, "assignment_id", "seed", "score"]]
    scored = scored.sort_values([*CELL, "assignment_id", "seed"])
    scored["n"] = scored.groupby([*CELL, "assignment_id"])["score"].transform("size")
    scored = scored[scored["n"] == scored.groupby(CELL)["n"].transform("max")]
    for place, rows in scored.groupby(["benchmark", "backbone"]):
        found = rows.groupby(["task", "method"])
        yield place, {key: own["score"].to_numpy().reshape(-1, int(own["n"].iloc[0])) for key, own in found}


def _complete(cells: Cells) -> tuple[list[str], list[str]]:
    tasks = sorted({task for task, _ in cells})
    methods = sorted({method for _, method in cells})
    return tasks, [m for m in methods if all((t, m) in cells for t in tasks)]


def _resampled(
    cells: Cells, tasks: list[str], methods: list[str], stream: np.random.Generator
) -> dict[str, np.ndarray]:
    """Macro scores ``(STUDIES, n_methods)`` by what is resampled."""
    medians = {key: np.median(scores, axis=1) for key, scores in cells.items()}
    half = {t: (min(len(medians[t, m]) for m in methods) + 1) // 2 for t in tasks}
    # Where one seed chose and scored, the method with more assignments would lead by luck.
    fair = all(len(scores) == 1 or scores.shape[1] > 1 for scores in cells.values())
    others = {key: _other_seeds(scores) for key, scores in cells.items()} if fair else {}
    found: dict[str, np.ndarray] = {}
    if any(len(values) > 1 for values in others.values()):
        drawn = [[others[t, m][stream.integers(len(others[t, m]), size=STUDIES)] for m in methods] for t in tasks]
        found["seeds"] = np.mean(drawn, axis=0).T
    if any(len(own) > 1 for own in medians.values()):
        best = [[_fewer(medians[t, m], half[t], stream) for m in methods] for t in tasks]
        found["assignments"] = np.mean(best, axis=0).T
    if len(tasks) > 1 and fair:
        table = np.array([[others[t, m].mean() for m in methods] for t in tasks])
        found["tasks"] = table[stream.integers(len(tasks), size=(STUDIES, len(tasks)))].mean(axis=1)
    return found


def _fewer(medians: np.ndarray, count: int, stream: np.random.Generator) -> np.ndarray:
    """The best of ``count`` of the medians, ``(STUDIES,)``, drawn without replacement."""
    first = np.argsort(stream.random((STUDIES, len(medians))), axis=1)[:, :count]
    return medians[first].max(axis=1)


def _other_seeds(scores: np.ndarray) -> np.ndarray:
    """What a cell's search ``(n_assignments, n_seeds)`` could have given with other seeds, each as likely.

    Of every half of the seeds (the larger one): the best assignment by its median on it, and that one's median on the
    rest. Of one assignment, where nothing is chosen, its median in every resample of its seeds.
    """
    n_assignments, n_seeds = scores.shape
    if n_assignments == 1:
        middles = _middles(n_seeds)
        return np.asarray(np.sort(scores[0])[middles].mean(axis=1))
    chosen, rest = _halves(n_seeds)
    best = np.median(scores[:, chosen], axis=2).argmax(axis=0)  # (halves,)
    return np.asarray(np.median(scores[best[:, None], rest], axis=1))


@lru_cache(maxsize=16)
def _halves(n: int) -> tuple[np.ndarray, np.ndarray]:
    """The places of ⌈n/2⌉ of n seeds in every way, or in 1,000 where there are more, and of the others."""
    size = (n + 1) // 2
    if math.comb(n, size) <= STUDIES:
        chosen = np.array(list(combinations(range(n), size)))
    else:
        chosen = np.argsort(np.random.default_rng(n).random((STUDIES, n)), axis=1)[:, :size]
    rest = np.array([np.setdiff1d(np.arange(n), own) for own in chosen])
    return chosen, rest


@lru_cache(maxsize=16)
def _middles(n: int) -> np.ndarray:
    """The places of the middle two of ``n`` sorted values in each resample of them, ``(resamples, 2)``."""
    if n <= _ENUMERATED:
        drawn = np.array(list(product(range(n), repeat=n)))
    else:
        drawn = np.random.default_rng(n).integers(n, size=(20_000, n))
    drawn.sort(axis=1)
    return drawn[:, [(n - 1) // 2, n // 2]]
