"""All fresh scores of a method and not one number: interquartile means and performance profiles."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis import bounds, inference
from analysis.estimates import Estimates, held_out
from analysis.selection import METHOD, PLACE

_THRESHOLDS = 150


def _grids(found: Estimates) -> dict[tuple[str, str, str], tuple[np.ndarray, bool, float]]:
    """Per benchmark, backbone and method the fresh scores ``(t, n)`` on all t tasks that any method has there, as many
    of each task as every task has, whether some were held out of a choice, and the share of runs that collapses. A
    method without one of the tasks is not among them."""
    result = {}
    choices = found.cells[held_out(found.cells)].groupby(METHOD).size().index
    share = found.collapses.set_index(METHOD)["share"].to_dict()
    wanted = found.cells.groupby(PLACE)["task"].nunique().to_dict()
    for place, own in found.scores.groupby(METHOD):
        tasks = [rows["score"].to_numpy() for _, rows in own.groupby("task")]
        if len(tasks) == wanted[place[:2]]:
            fewest = min(map(len, tasks))
            result[place] = np.stack([t[:fewest] for t in tasks]), place in choices, share[place]
    return result


def interquartile_means(found: Estimates) -> pd.DataFrame:
    """``iqm, lower, upper, n_tasks, n_seeds`` per method with fresh scores on all tasks, five or more."""
    rows = []
    lowest = found.cells.groupby(PLACE)["lowest"].min().to_dict()
    searched = found.cells[found.cells["kind"] == "held out"].groupby(METHOD).size().index
    for place, (grid, _, share) in _grids(found).items():
        if len(grid) >= inference.LEAST_TASKS:
            # Also where there was no choice: by simulation scores of one assignment need it as well.
            inflation = inference.HELD_OUT_MIDDLE if place in searched else 1.0
            iqm, *ends = inference.interquartile_mean(grid, inflation, share)
            rows.append((*place, *grid.shape, iqm, *np.clip(ends, lowest[place[:2]], bounds.HIGHEST)))
    return pd.DataFrame(rows, columns=[*METHOD, "n_tasks", "n_seeds", "iqm", "lower", "upper"])


def profiles(found: Estimates) -> pd.DataFrame:
    """Performance profiles: ``share`` of a method's fresh scores above ``threshold``, with a pointwise 95 % band."""
    grids = _grids(found)
    rows = []
    for place, (grid, held, collapsing) in grids.items():
        all_here = np.concatenate([other.ravel() for key, (other, *_) in grids.items() if key[:2] == place[:2]])
        edges = np.linspace(all_here.min() - 1, all_here.max(), _THRESHOLDS)
        share, lower, upper = inference.profile(grid, edges, inference.HELD_OUT if held else 1.0, collapsing)
        names = dict(zip(METHOD, place, strict=True))
        rows.append(pd.DataFrame({**names, "threshold": edges, "share": share, "lower": lower, "upper": upper}))
    columns = [*METHOD, "threshold", "share", "lower", "upper"]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=columns)
