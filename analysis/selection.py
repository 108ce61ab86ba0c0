"""From trials to results: median and deviation over seeds, the best assignment of a cell, macro scores.

Pure functions of a frame. Statistics use every trial with a score that is ``finished`` or ``diverged`` (a diverged
trial keeps the best score it reached); ``failed`` and ``pruned`` trials give no number and are counted beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar, cast

import pandas as pd

from analysis.frame import PLANNED, STATUSES, hyperparameters
from common.selection import COUNTED, Seed, best_assignment, candidates

PLACE = ["benchmark", "backbone"]
METHOD = [*PLACE, "method"]
CELL = ["benchmark", "backbone", "task", "method"]
_T = TypeVar("_T")
APART = "fine_tuning"  # ranked nowhere: as in the paper, the other methods are compared with one another


def split_roles(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The trials that the search is made of, and those of seeds that took no part in any choice (``role``)."""
    if "role" not in frame:
        return frame, frame.iloc[:0]
    fresh = frame["role"] == "confirmation"
    return frame[~fresh].reset_index(drop=True), frame[fresh].reset_index(drop=True)


def is_scored(frame: pd.DataFrame) -> pd.Series:
    """Which rows of a frame enter the statistics: a score, and the status finished or diverged."""
    return frame["status"].isin(COUNTED) & frame["score"].notna()


def assignments(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per assignment of each cell.

    ``median`` and ``std`` (sample deviation; NaN with one seed) of the score over seeds in percent, ``n_seeds`` (trials
    with a score that counts), ``complete`` (every seed that was planned has one) and ``selected`` (the cell's best, by
    :mod:`common.selection`), ``n_trials`` and ``n_finished``, ``n_diverged``, ``n_failed``, ``n_pruned``,
    ``trainable_parameters``, ``seconds`` (sum over seeds), ``promoted`` (it got all seeds for its first), ``proposed``
    (by TPE), what the study plans (``frame.PLANNED``) and ``draw``, empty where the frame does not say, and the
    ``hp.NAME`` columns.
    """
    return once(frame, "assignments", lambda: _assignments(frame)).copy(deep=False)


@contextmanager
def kept(frame: pd.DataFrame) -> Iterator[None]:
    """In this block what :func:`once` makes of this very frame is made once; nobody may change the frame in it.

    Most reports ask for :func:`assignments`, and of the paper's five studies these take half a second.
    """
    token = _KEPT.set((frame, {}))
    try:
        yield
    finally:
        _KEPT.reset(token)


def once(frame: pd.DataFrame, name: Hashable, make: Callable[[], _T]) -> _T:
    """``make()``, which depends on the frame and the name alone and is changed by nobody; see :func:`kept`."""
    known = _KEPT.get()
    if known is None or known[0] is not frame:
        return make()
    if name not in known[1]:
        known[1][name] = make()
    return cast(_T, known[1][name])


_KEPT: ContextVar[tuple[pd.DataFrame, dict[Hashable, object]] | None] = ContextVar("kept", default=None)


def _assignments(frame: pd.DataFrame) -> pd.DataFrame:
    unknown = pd.array([pd.NA] * len(frame), dtype="Int64")
    frame = frame.sort_values("trial_id")  # sums are then the same to the last bit, whatever the order of the rows
    work = frame.assign(**{name: frame.get(name, unknown) for name in (*PLANNED, "draw")})
    work = work.assign(**{f"n_{status}": frame["status"] == status for status in STATUSES})
    work["proposed"] = frame["strategy"] == "tpe" if "strategy" in frame else False
    table = work.groupby([*CELL, "assignment_id"], sort=True).agg(
        n_trials=("trial_id", "size"),
        **{f"n_{status}": (f"n_{status}", "sum") for status in STATUSES},
        seconds=("seconds", "sum"),
        proposed=("proposed", "any"),
        **{name: (name, "max") for name in (*PLANNED, "draw")},
    )
    names = hyperparameters(frame)
    table = (table.join(work.groupby([*CELL, "assignment_id"])[names].first()) if names else table).reset_index()
    return table.merge(_chosen(work), on=[*CELL, "assignment_id"])


def _chosen(frame: pd.DataFrame) -> pd.DataFrame:
    """What the rule says of every assignment: a row each, with the names of a ``Candidate``."""
    promoted = (frame["promotion"] == "promoted").tolist() if "promotion" in frame else [False] * len(frame)
    values = [frame[name].astype(object).where(frame[name].notna(), None).tolist() for name in _SEED]
    names = zip(*(frame[name].tolist() for name in CELL), strict=True)
    cells: dict[tuple[str, ...], list[Seed]] = {}
    for cell, *seed in zip(names, *values, promoted, strict=True):
        cells.setdefault(cell, []).append(Seed(*seed))
    planned = frame.groupby(CELL)["planned_seeds"].max().fillna(0)
    rows = []
    for cell, own in cells.items():
        found = candidates(own, int(planned[cell]))
        best = best_assignment(found)
        rows += [(*cell, *(getattr(c, name) for name in _CANDIDATE), c.assignment_id == best) for c in found]
    table = pd.DataFrame(rows, columns=[*CELL, *_CANDIDATE, "selected"]).rename(columns={"seeds": "n_seeds"})
    table["trainable_parameters"] = table["trainable_parameters"].astype("Int64")
    return table.astype({"median": float, "std": float})


_SEED = ("assignment_id", "status", "score", "trainable_parameters")
_CANDIDATE = ("assignment_id", "median", "std", "seeds", "trainable_parameters", "promoted", "complete")


def with_all_seeds(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """The assignments with all their seeds, and where a group of ``keys`` has none, all that it has.

    A curve over a part of a cell then compares what the rule for the whole cell does: with few seeds luck goes further.
    """
    any_whole = table["complete"].groupby([table[key] for key in keys]).transform("any")
    return table[table["complete"] | ~any_whole]


def best_assignments(table: pd.DataFrame) -> pd.DataFrame:
    """The best assignment of every cell of an :func:`assignments` table, with what the whole cell counts.

    ``seeds_given``: seeds that an assignment was to have, or the most that one has; ``fewer_seeds`` says where the
    winner has a score for fewer. ``n_missing``: trials of the cell that have not ended, zero where nobody knows.
    ``n_promoted`` counts the assignments that were promoted, zero where none was.
    ``n_assignments``, ``n_trials`` and ``n_failed``, ``n_diverged``, ``n_pruned`` count the whole cell. A cell without
    a score keeps its row, with an empty median and no ``assignment_id``.
    """
    # In a cell without a score any row stands for it.
    winners = table.sort_values("selected", ascending=False, kind="stable").drop_duplicates(CELL)
    winners["assignment_id"] = winners["assignment_id"].where(winners["selected"])
    counted = [f"n_{status}" for status in STATUSES]
    cells = table.groupby(CELL).agg(
        n_assignments=("assignment_id", "size"),
        n_scored_assignments=("median", "count"),
        seeds_given=("n_trials", "max"),
        cell_trials=("n_trials", "sum"),
        **{f"cell_{name}": (name, "sum") for name in counted},
        n_promoted=("promoted", "sum"),
    )
    dropped = ["n_trials", "promoted", "proposed", "selected", "complete", "draw", *counted]
    result = winners.drop(columns=dropped).merge(cells.reset_index(), on=CELL)
    result = result.rename(columns={f"cell_{name}": name for name in counted} | {"cell_trials": "n_trials"})
    result["seeds_given"] = result["planned_seeds"].fillna(result["seeds_given"]).astype(int)
    result["fewer_seeds"] = (result["n_seeds"] < result["seeds_given"]) & result["median"].notna()
    missing = result["planned_in_cell"] - result["n_trials"]
    result["n_missing"] = missing.fillna(0).clip(lower=0).astype(int)
    return result.sort_values(CELL, ignore_index=True)


def best_trials(frame: pd.DataFrame) -> pd.DataFrame:
    """Of every cell that has a score the best seed of its best assignment: the row of one trial each.

    Of equal scores it is the smaller seed. Trials of a confirmation take no part, as in the choice of the assignment.
    """
    searched, _ = split_roles(frame)
    table = assignments(searched)
    selected = table.loc[table["selected"], [*CELL, "assignment_id"]]
    scored = searched[is_scored(searched)].merge(selected, on=[*CELL, "assignment_id"])
    ordered = scored.sort_values(["score", "seed"], ascending=[False, True], kind="stable")
    return ordered.drop_duplicates(CELL).sort_values(CELL, ignore_index=True)


def macro_scores(winners: pd.DataFrame) -> pd.DataFrame:
    """Macro score of each method on a benchmark, from a :func:`best_assignments` table.

    ``macro`` is the mean of the best medians over the ``n_tasks`` tasks that have one (NaN where none has);
    ``complete`` says whether those are all tasks of that benchmark and backbone that the study plans or, where nobody
    knows, that occur in the frame for any method.
    """
    rows = []
    for (benchmark, backbone), group in winners.groupby(["benchmark", "backbone"]):
        known = max(group["task"].nunique(), int(group["planned_tasks"].fillna(0).max()))
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
