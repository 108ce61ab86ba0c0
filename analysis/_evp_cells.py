"""What Expected Validation Performance is made of: a value, an error and a cost for every assignment of a cell.

An assignment's value is its median over seeds. A trial that failed, or diverged before it had a score, counts with the
floor: what the best constant answer gives on the dev split (``majority``); where the frame does not say, 0, or the
lowest score on the task if that is lower: the lowest score alone would let a search gain by failing where it was
worst. A diverged trial with a score keeps it, as in the choice of the best assignment.

Assignments cut short by an adaptive search are no sample of the search space, so a cell with pruned trials is refused.
Nor is the part of a grid that is trained first. Of a random search that has not ended, the assignments drawn before the
first that lacks a seed are one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from analysis.frame import hyperparameters
from analysis.selection import CELL, is_scored

Failures = Literal["floor", "drop"]
Kind = Literal["sample", "grid"]
_ASSIGNMENT = [*CELL, "assignment_id"]
_TASK = ["benchmark", "backbone", "task"]


@dataclass(frozen=True)
class Values:
    """The N assignments of a cell, in the order of their medians.

    ``medians``, ``(N,)`` in percent; ``variances``, ``(N,)``: the sample variance over the seeds that have a score, NaN
    where fewer than two have; ``seeds``, ``(N,)``: how many have; ``hours``, ``(N,)``: device-hours over all seeds, NaN
    where the frame has no seconds. ``floor``: what failed trials count with, in percent; ``chance``: whether that is
    the task's chance, or 0 for want of it. ``lowest``: the lowest score on the task. ``n_floor``: assignments with a
    seed that counts with the floor.
    """

    cell: tuple[str, str, str, str]
    kind: Kind
    medians: np.ndarray
    variances: np.ndarray
    seeds: np.ndarray
    hours: np.ndarray
    floor: float = 0.0
    chance: bool = False
    lowest: float = 0.0
    n_floor: int = 0

    @property
    def size(self) -> int:
        """N."""
        return len(self.medians)


def cells(frame: pd.DataFrame, failures: Failures = "floor") -> tuple[list[Values], dict[tuple[str, ...], str]]:
    """The values of every cell that has any, in the order of the names, and why others were refused, by their key."""
    if failures not in ("floor", "drop"):
        raise ValueError(f"failures must be 'floor' (they count with chance) or 'drop', but is {failures!r}")
    table = _assignments(frame, failures).sort_values([*CELL, "median", "assignment_id"], ignore_index=True)
    found: list[Values] = []
    refused: dict[tuple[str, ...], str] = {}
    stop = 0
    for cell in _per_cell(table).itertuples():
        start, stop = stop, stop + cell.size
        rows = np.arange(start, stop)
        if cell.unfinished and not cell.of_grid:
            rows = _first_draws(table, rows)
        why = _why_not(cell, len(rows))
        if why:
            refused[cell.Index] = why
        else:
            found.append(_values(cell.Index, table, rows[~np.isnan(table["median"].to_numpy()[rows])]))
    return found, refused


def _assignments(frame: pd.DataFrame, failures: Failures) -> pd.DataFrame:
    """A row per assignment: its value and what decides whether its cell has a curve."""
    unknown = pd.array([pd.NA] * len(frame), dtype="Int64")
    frame = frame.sort_values("trial_id")  # sums are then the same to the last bit, whatever the order of the rows
    scored = is_scored(frame)
    lost = ~scored & (frame["status"] != "pruned")
    floor, chance, lowest = _floors(frame, scored)
    score = frame["score"].where(scored)
    work = frame[_ASSIGNMENT].assign(
        score=score, value=score.where(~lost, floor) if failures == "floor" else score,
        lost=lost & (failures == "floor"), pruned=frame["status"] == "pruned",
        hours=_hours(frame), floor=floor, chance=chance, lowest=lowest,
        proposed=frame["strategy"] == "tpe" if "strategy" in frame else False,
        promoted=frame["promotion"] == "promoted" if "promotion" in frame else False,
        **{name: frame.get(name, unknown) for name in ("planned_seeds", "planned_in_cell", "draw")},
    )  # fmt: skip
    groups = work.groupby(_ASSIGNMENT, sort=True)
    table = groups.agg(
        n_trials=("value", "size"), median=("value", "median"), variance=("score", "var"), seeds=("score", "count"),
        n_lost=("lost", "sum"), n_pruned=("pruned", "sum"), hours=("hours", "sum"), timed=("hours", "count"),
        **{name: (name, "max") for name in ("floor", "chance", "lowest", "proposed", "promoted", "planned_seeds",
                                            "planned_in_cell", "draw")},
    )  # fmt: skip
    names = hyperparameters(frame)
    tried = frame.drop_duplicates(_ASSIGNMENT).set_index(_ASSIGNMENT)[names]
    table = table.join(tried).reset_index()
    table["hours"] = table["hours"].where(table["timed"] > 0)
    return table.assign(grid=_are_grids(table, names)).drop(columns=names)


def _floors(frame: pd.DataFrame, scored: pd.Series) -> tuple[pd.Series, pd.Series, pd.Series]:
    """For each trial: what it counts with if it failed, whether that is its task's chance, the task's lowest score."""
    keys = [frame[name] for name in _TASK]
    lowest = frame["score"].where(scored).groupby(keys).transform("min").fillna(0.0)
    if "majority" not in frame:
        return np.minimum(lowest, 0.0), pd.Series(False, frame.index), lowest
    majority = frame["majority"].groupby(keys).transform("max")
    return majority.fillna(np.minimum(lowest, 0.0)), majority.notna(), lowest


def _hours(frame: pd.DataFrame) -> pd.Series:
    """Device-hours of each trial; one without seconds counts with the mean of its cell, NaN where that has none."""
    hours = frame["seconds"] / 3600
    return hours.fillna(hours.groupby([frame[name] for name in CELL]).transform("mean"))


def _are_grids(table: pd.DataFrame, names: list[str]) -> pd.Series:
    """Which assignments belong to a grid.

    An export says so: a random search numbers its draws (``draw``). Where nobody says, runs are a grid if in every cell
    every combination of the values of its hyperparameters occurs once, and some cell varies two; else they are taken
    for a sample, whose bands are the wider ones.
    """
    told = table["planned_in_cell"].notna() | table["draw"].notna()
    cells = table.groupby(CELL)
    values = cells[names].nunique() if names else pd.DataFrame(index=cells.size().index)
    whole = values.clip(lower=1).prod(axis=1) == cells.size()
    looks = bool(whole.all() and ((values > 1).sum(axis=1) > 1).any())
    return pd.Series(np.where(told, table["draw"].isna(), looks), table.index, dtype=bool)


def _per_cell(table: pd.DataFrame) -> pd.DataFrame:
    """A row per cell, in the order of the table: what its curve depends on."""
    cells = table.assign(no_draw=table["draw"].isna()).groupby(CELL, sort=True)
    found = cells.agg(
        size=("median", "size"), n_trials=("n_trials", "sum"), n_pruned=("n_pruned", "sum"),
        n_scored=("seeds", "sum"), n_proposed=("proposed", "sum"), n_promoted=("promoted", "sum"),
        chances=("n_trials", "nunique"), planned=("planned_in_cell", "max"), of_grid=("no_draw", "any"),
    )  # fmt: skip
    found["unfinished"] = (found["planned"] > found["n_trials"]).fillna(False).astype(bool)
    return found


def _why_not(cell: Any, sampled: int) -> str:
    """The reason against a curve of a cell, of which ``sampled`` assignments could count; empty where there is none."""
    ended = f"{cell.n_trials:,} of {cell.planned:,}" if cell.unfinished else ""
    if cell.n_pruned:
        return f"{cell.n_pruned} of {cell.n_trials} trials were cut short by an adaptive search"
    if cell.n_proposed:
        return f"{cell.n_proposed} of {cell.size} assignments are no random sample but TPE's"
    if cell.n_promoted and cell.chances > 1:
        return f"{cell.n_promoted} of {cell.size} assignments were promoted to more seeds"
    if cell.unfinished and cell.of_grid:
        return f"only {ended} trials of the grid have ended, which are no random sample"
    if not cell.n_scored:
        return "no trial has a score"
    if not sampled:
        return f"only {ended} trials have ended, and the first assignment drawn lacks a seed"
    return ""


def _first_draws(table: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
    """Of the rows of a random search, those of the assignments before the first that is missing or lacks a seed."""
    drawn = table.iloc[rows].sort_values("draw")
    whole = (drawn["n_trials"] >= drawn["planned_seeds"]) & (drawn["draw"] == np.arange(1, len(drawn) + 1))
    return np.sort(drawn.index[whole.fillna(False).cummin().astype(bool)].to_numpy())


def _values(cell: tuple[str, str, str, str], table: pd.DataFrame, rows: np.ndarray) -> Values:
    medians, variances, seeds, hours, floor, chance, lowest, lost, grid = (
        table[name].to_numpy()[rows]
        for name in ("median", "variance", "seeds", "hours", "floor", "chance", "lowest", "n_lost", "grid")
    )
    return Values(
        cell, "grid" if grid[0] else "sample", medians, variances, seeds, hours,
        float(floor[0]), bool(chance[0]), float(lowest[0]), int((lost > 0).sum()),
    )  # fmt: skip
