"""Expected Validation Performance: the best score to expect after trying ``n`` assignments of a cell.

With the N assignments of a cell sorted by their median over seeds, ``x_1 ≤ … ≤ x_N``, the expected best of ``n`` is
``Σ w_i x_i``. The estimators differ in the weights:

* U-statistic (Tang et al. 2020, "Showing Your Work Doesn't Always Work"): ``n`` of N without replacement,
  ``w_i = C(i−1, n−1) / C(N, n)``; free of bias where the assignments were drawn at random.
* V-statistic (Dodge et al. 2019, "Show Your Work"): ``n`` draws with replacement,
  ``w_i = (i/N)^n − ((i−1)/N)^n``; low where ``n`` comes near N.

What is estimated depends on the search (``kind``): of a ``sample``, drawn at random, the expected best of ``n`` new
draws; of a ``grid`` the expected best of ``n`` of its assignments tried in random order. Bands: ``analysis/_evp_band``.
Which assignments count, and with what: ``analysis/_evp_cells``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from analysis import _evp_band
from analysis._evp_cells import Failures, Values, cells
from analysis.selection import CELL

__all__ = ["COLUMNS", "Estimator", "Failures", "cells", "curves", "expected_best", "of_cells", "weights"]

Estimator = Literal["u", "v"]
COLUMNS = [*CELL, "n", "expected", "lower", "upper", "estimator", "n_assignments", "n_floor", "kind"]
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


def expected_best(values: np.ndarray, estimator: Estimator = "u", draws: np.ndarray | None = None) -> np.ndarray:
    """Expected maximum of ``n`` of the values ``(…, N)``, for each ``n`` of ``draws`` (default 1 … N): ``(…, n)``."""
    ordered = np.sort(values, axis=-1)
    size = ordered.shape[-1]
    draws = np.arange(1, size + 1) if draws is None else draws
    step = max(1, _CHUNK // size)
    parts = [ordered @ weights(size, draws[i : i + step], estimator) for i in range(0, len(draws), step)]
    return np.concatenate(parts, axis=-1)


def curves(
    frame: pd.DataFrame, estimator: Estimator = "u", failures: Failures = "floor"
) -> tuple[pd.DataFrame, dict[tuple[str, ...], str]]:
    """EVP of every cell as one table (columns ``COLUMNS``), and why a cell was refused, by its key."""
    found, refused = cells(frame, failures)
    return of_cells(found, estimator), refused


def of_cells(found: Sequence[Values], estimator: Estimator = "u") -> pd.DataFrame:
    """EVP of cells as one table, ``COLUMNS``: ``n`` from 1 to N, ``expected`` and the band in percent.

    ``lower`` and ``upper`` are empty where no band would cover: with fewer than five assignments, of a sample where
    ``n`` is above N/2, of a grid whose assignments have one seed each.
    """
    if not found:
        return pd.DataFrame(columns=COLUMNS)
    expected = [expected_best(values.medians, estimator) for values in found]
    lower, upper = (np.concatenate(ends) for ends in zip(*_ends(found, expected, estimator), strict=True))
    sizes = [values.size for values in found]
    named = pd.DataFrame([values.cell for values in found], columns=CELL).assign(
        n_assignments=sizes, n_floor=[values.n_floor for values in found], kind=[values.kind for values in found]
    )
    table = named.loc[named.index.repeat(sizes)].reset_index(drop=True)
    table["n"] = np.concatenate([np.arange(1, size + 1) for size in sizes])
    table["expected"] = np.concatenate(expected)
    table["lower"] = np.fmin(lower, table["expected"]).where(~np.isnan(lower))
    table["upper"] = np.fmax(upper, table["expected"]).where(~np.isnan(upper))
    return table.assign(estimator=estimator)[COLUMNS]


def _ends(
    found: Sequence[Values], expected: Sequence[np.ndarray], estimator: Estimator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The two ends of each cell's band, ``(N,)``."""
    of_samples = iter(_evp_band.resampled([values for values in found if values.kind == "sample"]))
    for values, middle in zip(found, expected, strict=True):
        every = np.arange(1, values.size + 1)
        if values.kind == "sample":
            yield _evp_band.band(*next(of_samples), every)
        else:
            half = _evp_band.half_widths(values, weights(values.size, every, estimator))
            yield middle - half, middle + half
