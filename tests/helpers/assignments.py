"""Cells of known scores, for what is computed from assignments."""

from __future__ import annotations

import numpy as np

from analysis._evp_cells import Kind, Values


def cell(
    scores: np.ndarray,
    kind: Kind,
    method: str = "m",
    task: str = "t",
    hours: np.ndarray | None = None,
    **known: float,
) -> Values:
    """The assignments of a cell, from their scores ``(N, seeds)``; each costs an hour where nothing is said."""
    medians = np.median(scores, axis=1)
    order = np.argsort(medians, kind="stable")
    variances = scores.var(axis=1, ddof=1)[order] if scores.shape[1] > 1 else np.full(len(order), np.nan)
    return Values(
        ("b", "k", task, method), kind, medians[order], variances, np.full(len(order), scores.shape[1]),
        np.ones(len(order)) if hours is None else hours[order],
        **{"lowest": float(scores.min()), **known},  # type: ignore[arg-type]
    )  # fmt: skip
