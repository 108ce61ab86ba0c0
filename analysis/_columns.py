"""The columns of a frame of runs: their names, and a column of any values made one of its type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis._values import hyperparameter_series, number, truth

STATUSES = ("finished", "diverged", "failed", "pruned")
COLUMNS = (
    *("study", "benchmark", "backbone", "task", "method", "assignment_id", "trial_id", "seed", "status", "score"),
    *("best_epoch", "epochs", "trainable_parameters", "seconds"),
)
#: How an adaptive search came to a trial; see ``analysis/selection.py``.
ADAPTIVE = ("strategy", "promotion")
#: What the study plans: seeds of the assignment, trials of the cell, tasks of the benchmark, trials in all, at most.
PLANNED = ("planned_seeds", "planned_in_cell", "planned_tasks", "planned_in_study")
#: How a trial was trained, beside its hyperparameters.
PROTOCOL = ("max_length", "precision", "dropout", "max_epochs", "patience", "train_rows", "dev_rows")
#: Shares, of 0 to 1, of sequences that were cut and of tokens that the backbone does not know.
SHARES = ("train_cut", "dev_cut", "train_unknown", "dev_unknown")
#: Where a result comes from: the pack and device that made it, the code, the weights and rows, when (UTC, ISO 8601),
#: and the run that MLflow has of it. ``reason``: why it failed or diverged.
PROVENANCE = ("pack_size", "device", "commit", "result_version", "versions", "backbone_hash", "data_hash", "ended",
              "run_id", "reason")  # fmt: skip
#: What may be known of a trial beside ``COLUMNS``, in this order. ``role``: ``confirmation`` for a seed that took no
#: part in the choice of its assignment, else ``search`` or empty. ``in_study``: whether the study names the trial as it
#: stands, empty where nobody could tell. ``draw``: the place of its assignment in a random search, counted from 1.
#: ``metric``: the name of the task's; ``majority``: what it gives, in percent, for the best constant answer on the dev
#: split.
OPTIONAL = (*ADAPTIVE, "role", "in_study", *PLANNED, "draw", *PROTOCOL, *SHARES, "metric", "majority", *PROVENANCE)
_TEXT = ("study", "benchmark", "backbone", "task", "method", "assignment_id", "trial_id")
_TEXT_OR_NONE = (*ADAPTIVE, "role", "precision", "metric", "device", "commit", "versions", "backbone_hash", "data_hash",
                 "ended", "run_id", "reason")  # fmt: skip
_WHOLE = ("seed", "best_epoch", "epochs", "trainable_parameters", *PLANNED, "draw", "max_length", "max_epochs",
          "patience", "train_rows", "dev_rows", "pack_size", "result_version")  # fmt: skip
_REAL = ("score", "seconds", "dropout", *SHARES, "majority")
HYPERPARAMETER = "hp."


def known(column: object) -> bool:
    """Whether it is one of the schema."""
    return column in COLUMNS or column in OPTIONAL or str(column).startswith(HYPERPARAMETER)


def typed(column: str, raw: pd.Series, where: list[str], problems: list[str]) -> Any:
    """A column of the schema with its type. Every value is looked at once, however many rows have it.

    What is wrong with a row is added to ``problems``, with its name in ``where``.
    """
    if column in _WHOLE or column in _REAL:
        return _numbers(column, raw, where, problems)
    codes, values = _distinct(raw)
    if column.startswith(HYPERPARAMETER):
        return hyperparameter_series(values).take(codes)
    if column == "in_study":
        parsed = [truth(value) for value in values]
        _tell(column, raw, codes, [value is None for value in parsed], where, problems)
        return pd.array(parsed, dtype="boolean").take(codes)
    if column == "status":
        _tell(column, raw, codes, [value not in STATUSES for value in values], where, problems)
        return pd.array([str(value) for value in values], dtype="str").take(codes)
    texts = ["" if value is None or value is pd.NA or value != value else str(value) for value in values]
    if column in _TEXT:
        texts = [text.strip() for text in texts]
        _tell(column, raw, codes, [not text for text in texts], where, problems)
    return pd.array(texts, dtype="str").take(codes)


def _distinct(raw: pd.Series) -> tuple[np.ndarray, list[Any]]:
    """The values of a column that differ, and for each row the place of its own among them.

    Of a column with values of several types every row is one of its own: 1, 1.0 and True are equal.
    """
    if raw.dtype == object and pd.api.types.infer_dtype(raw, skipna=True) not in ("string", "empty"):
        return np.arange(len(raw)), raw.tolist()
    codes, values = pd.factorize(raw, use_na_sentinel=False)
    return codes, values.tolist()


def _numbers(column: str, raw: pd.Series, where: list[str], problems: list[str]) -> Any:
    """Finite numbers, empty where a cell is; whole and not negative where the column counts something."""
    if raw.dtype != bool and pd.api.types.is_numeric_dtype(raw):
        reached = raw.to_numpy("float64", na_value=np.nan)
        plain = np.isfinite(reached) & (reached >= 0) & ((column in _REAL) | (reached == np.floor(reached)))
        plain |= np.isnan(reached) & (column != "seed")
        wrong = ~plain
        wrong[wrong] = [bool(_judged(column, value)[1]) for value in raw[wrong].tolist()]
        codes, numbers = np.arange(len(raw)), raw.mask(wrong) if wrong.any() else raw
    else:
        codes, values = _distinct(raw)
        judged = [_judged(column, value) for value in values]
        wrong = np.array([bool(fault) for _, fault in judged], dtype=bool)
        numbers = [pd.NA if value is None else value for value, _ in judged]
    _tell(column, raw, codes, wrong, where, problems)
    if column in _WHOLE:
        return pd.array(numbers, dtype="Int64").take(codes)
    return pd.array(numbers, dtype="Float64").to_numpy("float64", na_value=np.nan)[codes]


def _judged(column: str, value: Any) -> tuple[float | int | None, str]:
    """The number in a cell, ``None`` where it is empty or wrong, and what is wrong with it."""
    try:
        parsed = number(value)
    except ValueError:
        return None, f"{value!r} is not a number"
    if parsed is None:
        return None, "the value is empty; every trial has a seed" if column == "seed" else ""
    if not np.isfinite(float(parsed)):
        return None, f"{value!r} is not finite; leave the cell empty where there is no {column}"
    if column in _WHOLE and parsed != int(parsed):
        return None, f"{value!r} is not a whole number"
    if column not in ("score", "seed") and parsed < 0:
        return None, f"{value!r} is negative"
    return int(parsed) if column in _WHOLE else parsed, ""


def _tell(
    column: str, raw: pd.Series, codes: np.ndarray, wrong: Sequence[bool], where: list[str], problems: list[str]
) -> None:
    """Say what is wrong with each row whose value is: ``wrong`` of the values that ``codes`` are the places of."""
    for i in np.flatnonzero(np.asarray(wrong, dtype=bool)[codes]):
        problems.append(f"{where[i]}, column {column!r}: {_fault(column, raw.iloc[[i]].tolist()[0])}")


def _fault(column: str, value: Any) -> str:
    if column in _TEXT:
        return f"the value is empty; every trial has a {column}"
    if column == "status":
        return f"{value!r} is not a status; known: {', '.join(STATUSES)}"
    if column == "in_study":
        return f"{value!r} is neither true nor false; it may be empty"
    return _judged(column, value)[1]
