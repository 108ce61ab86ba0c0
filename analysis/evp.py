"""Expected Validation Performance: the best score to expect after trying ``n`` assignments of a cell.

With the N assignments of a cell sorted by their median over seeds, ``x_1 ≤ … ≤ x_N``, the expected best of ``n`` is
``Σ w_i x_i``. The estimators differ in the weights:

* V-statistic (Dodge et al. 2019, "Show Your Work"): ``n`` draws with replacement,
  ``w_i = (i/N)^n − ((i−1)/N)^n``.
* U-statistic (Tang et al. 2020, "Showing Your Work Doesn't Always Work"): ``n`` of N without replacement,
  ``w_i = C(i−1, n−1) / C(N, n)``; free of bias where the assignments were drawn at random.

The band is a 95 % percentile bootstrap over assignments. Assignments cut short by an adaptive search are no sample of
the search space, so a cell with pruned trials is refused. Nor is the part of a grid that is trained first, in the order
of the file. Of a random search that has not ended, the assignments drawn before the first that lacks a seed are one.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from analysis.selection import CELL, assignments
from common.seeds import seed_of

Estimator = Literal["v", "u"]
COLUMNS = [*CELL, "n", "expected", "lower", "upper", "estimator"]
RESAMPLES = 1000
LEVEL = 0.95
_CHUNK = 4_000_000  # entries of a weight matrix held at once (32 MB)


def weights(size: int, draws: np.ndarray, estimator: Estimator) -> np.ndarray:
    """Weights of the sorted values, ``(size, len(draws))``; each column sums to 1.

    ``draws`` holds the numbers ``n ≥ 1`` of assignments tried; the U-statistic needs ``n ≤ size``.
    """
    if estimator not in ("v", "u"):
        raise ValueError(f"the estimator must be 'v' or 'u', but is {estimator!r}")
    if draws.min() < 1 or (estimator == "u" and draws.max() > size):
        limit = f"1 to {size}" if estimator == "u" else "at least 1"
        raise ValueError(f"the number of draws must be {limit}, but spans {draws.min()} to {draws.max()}")
    ranks = np.arange(1, size + 1, dtype=float)[:, None]  # (N, 1)
    n = draws.astype(float)[None, :]
    if estimator == "v":
        return (ranks / size) ** n - ((ranks - 1) / size) ** n
    # From the top: w_N = n/N, and w_i = w_{i+1} · (i − n + 1)/i. Ratios, so no binomial ever overflows.
    below = ranks[:-1]
    ratios = np.clip((below - n + 1) / below, 0.0, None)  # 0 where fewer than n values are that small
    return np.vstack([n / size, ratios[::-1]]).cumprod(axis=0)[::-1]


def expected_best(values: np.ndarray, estimator: Estimator = "v", draws: np.ndarray | None = None) -> np.ndarray:
    """Expected maximum of ``n`` of the values ``(…, N)``, for each ``n`` of ``draws`` (default 1 … N): ``(…, n)``."""
    ordered = np.sort(values, axis=-1)
    size = ordered.shape[-1]
    draws = np.arange(1, size + 1) if draws is None else draws
    step = max(1, _CHUNK // size)
    parts = [ordered @ weights(size, draws[i : i + step], estimator) for i in range(0, len(draws), step)]
    return np.concatenate(parts, axis=-1)


def curve(values: np.ndarray, estimator: Estimator = "v", seed: str = "") -> pd.DataFrame:
    """``n``, ``expected``, ``lower``, ``upper`` for n = 1 … N from one value per assignment, ``(N,)``.

    ``seed`` names the stream of the bootstrap: the same name gives the same band, whatever else is computed.
    """
    size = len(values)
    stream = np.random.default_rng(seed_of(f"evp|{seed}"))
    drawn = np.asarray(values, dtype=float)[stream.integers(size, size=(RESAMPLES, size))]  # (resamples, N)
    tail = (1 - LEVEL) / 2
    lower, upper = np.quantile(expected_best(drawn, estimator), [tail, 1 - tail], axis=0)
    expected = expected_best(np.asarray(values, dtype=float), estimator)
    return pd.DataFrame({"n": np.arange(1, size + 1), "expected": expected, "lower": lower, "upper": upper})


def curves(frame: pd.DataFrame, estimator: Estimator = "v") -> tuple[pd.DataFrame, dict[tuple[str, ...], str]]:
    """EVP of every cell as one table (columns ``COLUMNS``), and why a cell was refused, by its key.

    An assignment whose every trial failed has no value and is not among the N.
    """
    parts: list[pd.DataFrame] = []
    refused: dict[tuple[str, ...], str] = {}
    for cell, table in assignments(frame).groupby(CELL):
        pruned, unfinished = int(table["n_pruned"].sum()), _unfinished(table)
        values = (_first_draws(table) if unfinished else table)["median"].dropna().to_numpy(dtype=float)
        if pruned:
            refused[cell] = f"{pruned} of {int(table['n_trials'].sum())} trials were cut short by an adaptive search"
        elif table["proposed"].any():
            refused[cell] = f"{int(table['proposed'].sum())} of {len(table)} assignments are no random sample but TPE's"
        elif table["promoted"].any() and table["n_trials"].nunique() > 1:
            refused[cell] = f"{int(table['promoted'].sum())} of {len(table)} assignments were promoted to more seeds"
        elif unfinished and table["draw"].isna().any():
            refused[cell] = (
                f"only {unfinished} trials of the grid have ended, in the order of the file, which is no random sample"
            )
        elif unfinished and not len(values):
            refused[cell] = f"only {unfinished} trials have ended, and the first assignment drawn lacks a seed"
        elif not len(values):
            refused[cell] = "no trial has a score"
        else:
            part = curve(values, estimator, "|".join(cell))
            parts.append(part.assign(**dict(zip(CELL, cell, strict=True)), estimator=estimator)[COLUMNS])
    return (pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)), refused


def _unfinished(table: pd.DataFrame) -> str:
    """``12 of 30`` where so many trials of a cell have ended; empty where all have, or nobody knows of how many."""
    planned, ended = table["planned_in_cell"].max(), int(table["n_trials"].sum())
    return "" if pd.isna(planned) or ended >= planned else f"{ended:,} of {planned:,}"


def _first_draws(table: pd.DataFrame) -> pd.DataFrame:
    """The assignments of a random search before the first that is missing or lacks a seed."""
    drawn = table.sort_values("draw")
    whole = (drawn["n_trials"] >= drawn["planned_seeds"]) & (drawn["draw"] == np.arange(1, len(drawn) + 1))
    return drawn[whole.fillna(False).cummin().astype(bool)]
