"""Scores that took no part in the choice: what the chosen assignment of a cell gives on seeds that did not choose it.

The median that a search reports is the largest of many, so it is too high by luck (the winner's curse). Two things
measure an assignment without it: seeds trained after the choice (``aot run STUDY --confirm K``), and seeds that were
held out of a choice made with the others.
"""

from __future__ import annotations

import pandas as pd

from analysis.selection import CELL, assignments, best_assignments, is_scored
from common.selection import DIGITS

KINDS = ("confirmed", "held out")
COLUMNS = [*CELL, "assignment_id", "seed", "score", "kind"]
_KEYS = [*CELL, "assignment_id"]


def evidence(frame: pd.DataFrame, confirmation: pd.DataFrame | None = None) -> pd.DataFrame:
    """A row per score, in percent, of each cell's chosen assignment on a seed that took no part in choosing it.

    ``frame`` holds the trials of the search, ``confirmation`` those of fresh seeds (``selection.split_roles``).
    ``kind`` is the same for all rows of a cell:

    * ``confirmed``: the winner by all search seeds (:mod:`common.selection`) on its confirmation seeds, however many of
      those that were planned have a score. Confirmation trials of any other assignment are passed over.
    * ``held out``, elsewhere: the winner by the first ⌈S/2⌉ of the cell's S seeds, in ascending order, among the
      assignments with a score for all of those, on its other seeds. The rule is the same: highest median, ties to fewer
      trainable parameters, then to the smaller id.

    A cell has no row with one seed alone; where the winner by the first seeds has no other score; and, unless
    confirmed, where a trial was pruned: an assignment's seeds were then cut short for their scores.

    Why they are unbiased *for the assignment that was chosen*: given its hyperparameters, seeds are independent and
    alike, and the choice is a function of other seeds alone; so whatever was chosen, and out of however many, the mean
    of these scores has that assignment's mean over all seeds as its expectation. It takes for granted that a trial
    without a score was lost for a reason that has nothing to do with its score. Held out, the choice rests on half of
    the seeds: it is a worse one on average than that of the whole search, and may be of another assignment. Where TPE
    proposed assignments by all seeds' scores, which ones there were to choose from is not quite independent of the
    held-out seeds.
    """
    fresh = _confirmed(frame, confirmation) if confirmation is not None and len(confirmation) else None
    if fresh is None or fresh.empty:
        return _held_out(frame)
    done = pd.MultiIndex.from_frame(fresh[CELL])
    rest = frame[~pd.MultiIndex.from_frame(frame[CELL]).isin(done)]
    both = [fresh, _held_out(rest)] if len(rest) else [fresh]
    return pd.concat(both, ignore_index=True).sort_values([*CELL, "seed"], ignore_index=True)


def _confirmed(frame: pd.DataFrame, confirmation: pd.DataFrame) -> pd.DataFrame:
    own = frame.merge(confirmation[CELL].drop_duplicates(), on=CELL)
    if own.empty:
        return pd.DataFrame(columns=COLUMNS)
    winners = best_assignments(assignments(own)).dropna(subset="median")
    return _rows(confirmation[is_scored(confirmation)].merge(winners[_KEYS], on=_KEYS), "confirmed")


def _held_out(frame: pd.DataFrame) -> pd.DataFrame:
    """Each of the frame's cells by half of its seeds; see :func:`evidence`."""
    pruned = frame.groupby(CELL)["status"].transform(lambda status: (status == "pruned").any())
    frame = frame[~pruned.astype(bool)]
    scored = frame[is_scored(frame)]
    cell = scored.groupby(CELL)["seed"]
    place = cell.rank(method="dense").astype(float)  # 1 for the cell's first seed
    half = (cell.transform("nunique") + 1) // 2
    first = place <= half
    choosing = scored[first].assign(half=half[first])
    table = choosing.groupby(_KEYS).agg(median=("score", "median"), n=("score", "size"), half=("half", "first"))
    sizes = scored.groupby(_KEYS)["trainable_parameters"].max().astype(float).rename("size")
    table = table[table["n"] == table["half"]].join(sizes).reset_index()
    table["median"] = -table["median"].round(DIGITS)
    order = [*CELL, "median", "size", "assignment_id"]  # an unknown size comes last
    winners = table.sort_values(order, kind="stable").drop_duplicates(CELL)
    return _rows(scored[~first].merge(winners[_KEYS], on=_KEYS), "held out")


def _rows(trials: pd.DataFrame, kind: str) -> pd.DataFrame:
    return trials.assign(kind=kind)[COLUMNS].sort_values([*CELL, "seed"], ignore_index=True)
