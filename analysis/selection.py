"""From trials to results: median and deviation over seeds, the best assignment of a cell, macro scores.

Pure functions of a frame. Statistics use every trial with a score that is ``finished`` or ``diverged`` (a diverged
trial keeps the best score it reached); ``failed`` and ``pruned`` trials give no number and are counted beside it.
"""

from __future__ import annotations

import math

import pandas as pd

from analysis.frame import ADAPTIVE, STATUSES, hyperparameters
from common.selection import Candidate, best_assignment

CELL = ["benchmark", "backbone", "task", "method"]
SCORED = ("finished", "diverged")
APART = "fine_tuning"  # ranked nowhere: as in the paper, the other methods are compared with one another


def is_scored(frame: pd.DataFrame) -> pd.Series:
    """Which rows of a frame enter the statistics: a score, and the status finished or diverged."""
    return frame["status"].isin(SCORED) & frame["score"].notna()


def assignments(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per assignment of each cell.

    ``median`` and ``std`` (sample deviation; NaN with one seed) of the score over seeds in percent, ``n_seeds`` (trials
    with a score that counts), ``n_trials`` and ``n_finished``, ``n_diverged``, ``n_failed``, ``n_pruned``,
    ``trainable_parameters``, ``seconds`` (sum over seeds), ``promoted`` (it got all seeds for its first), ``proposed``
    (by TPE), and the ``hp.NAME`` columns.
    """
    counted = is_scored(frame)
    work = frame.assign(value=frame["score"].where(counted), counted=counted)
    work = work.assign(**{f"n_{status}": work["status"] == status for status in STATUSES})
    # Sorted, so that the same scores in another order of seeds give the same deviation to the last bit.
    adaptive = {name: frame.get(name, "") for name in ADAPTIVE}
    work = work.assign(promoted=adaptive["promotion"] == "promoted", proposed=adaptive["strategy"] == "tpe")
    groups = work.sort_values("value").groupby([*CELL, "assignment_id"], sort=True)
    table = groups.agg(
        median=("value", "median"),
        std=("value", "std"),
        n_seeds=("counted", "sum"),
        n_trials=("trial_id", "size"),
        **{f"n_{status}": (f"n_{status}", "sum") for status in STATUSES},
        trainable_parameters=("trainable_parameters", "max"),
        seconds=("seconds", "sum"),
        promoted=("promoted", "any"),
        proposed=("proposed", "any"),
    )
    names = hyperparameters(frame)
    return (table.join(groups[names].first()) if names else table).reset_index()


def best_assignments(table: pd.DataFrame) -> pd.DataFrame:
    """The best assignment of every cell of an :func:`assignments` table, with what the whole cell counts.

    Which one that is says :func:`common.selection.best_assignment`; ``fewer_seeds`` says where the winner has fewer
    seeds than some assignment of its cell was given.

    ``n_promoted`` counts the assignments that were promoted, zero where none was.
    ``n_assignments``, ``n_trials`` and ``n_failed``, ``n_diverged``, ``n_pruned`` count the whole cell. A cell without
    a score keeps its row, with an empty median and no ``assignment_id``.
    """
    chosen = {cell: best_assignment(candidates) for cell, candidates in _candidates(table).items()}
    cells_of_rows = zip(*(table[name] for name in CELL), strict=True)
    is_best = [chosen[cell] == name for cell, name in zip(cells_of_rows, table["assignment_id"], strict=True)]
    # In a cell without a score any row stands for it.
    order = table.assign(_best=is_best).sort_values("_best", ascending=False, kind="stable")
    winners = order.drop_duplicates(CELL).drop(columns="_best")
    winners["assignment_id"] = winners["assignment_id"].where(winners["median"].notna())
    counted = [f"n_{status}" for status in STATUSES]
    cells = table.groupby(CELL).agg(
        n_assignments=("assignment_id", "size"),
        n_scored_assignments=("median", "count"),
        seeds_given=("n_trials", "max"),
        cell_trials=("n_trials", "sum"),
        **{f"cell_{name}": (name, "sum") for name in counted},
        n_promoted=("promoted", "sum"),
    )
    result = winners.drop(columns=["n_trials", "promoted", "proposed", *counted]).merge(cells.reset_index(), on=CELL)
    result = result.rename(columns={f"cell_{name}": name for name in counted} | {"cell_trials": "n_trials"})
    result["fewer_seeds"] = (result["n_seeds"] < result["seeds_given"]) & result["median"].notna()
    return result.sort_values(CELL, ignore_index=True)


def _candidates(table: pd.DataFrame) -> dict[tuple[str, ...], list[Candidate]]:
    """The rows of an :func:`assignments` table as what the rule looks at, by cell."""
    found: dict[tuple[str, ...], list[Candidate]] = {}
    names = ["assignment_id", "median", "std", "trainable_parameters", "n_trials", "promoted", "n_pruned"]
    columns = [table[name].astype(object).where(table[name].notna(), None) for name in [*CELL, *names]]
    for *cell, assignment_id, median, std, parameters, trials, promoted, pruned in zip(*columns, strict=True):
        candidate = Candidate(assignment_id, median, std, parameters, trials, promoted, cut_short=pruned > 0)
        found.setdefault(tuple(cell), []).append(candidate)
    return found


def macro_scores(winners: pd.DataFrame) -> pd.DataFrame:
    """Macro score of each method on a benchmark, from a :func:`best_assignments` table.

    ``macro`` is the mean of the best medians over the ``n_tasks`` tasks that have one (NaN where none has);
    ``complete`` says whether those are all tasks of that benchmark and backbone that occur in the frame for any method.
    """
    rows = []
    for (benchmark, backbone), group in winners.groupby(["benchmark", "backbone"]):
        known = group["task"].nunique()
        for method, own in group.groupby("method"):
            medians = own["median"].dropna().tolist()
            rows.append({
                "benchmark": benchmark, "backbone": backbone, "method": method,
                "macro": mean(medians), "n_tasks": len(medians), "complete": len(medians) == known,
            })  # fmt: skip
    return pd.DataFrame(rows, columns=["benchmark", "backbone", "method", "macro", "n_tasks", "complete"])


def mean(values: list[float]) -> float:
    """The arithmetic mean, exactly rounded, so that it does not depend on the order of tasks; NaN of nothing."""
    return math.fsum(values) / len(values) if values else math.nan
