"""Cells of a runs file as values: text from CSV and MLflow, typed values from parquet, the same result from all."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pandas as pd

_EMPTY = frozenset({"", "nan", "none", "null", "na", "<na>"})
_INTEGER = re.compile(r"[+-]?\d+")
_EXACT = 2**53  # whole numbers up to here are exact as floats


def number(value: Any) -> int | float | None:
    """The number in a cell, ``None`` where it is empty. Raises ValueError where it holds something else."""
    if _empty(value):
        return None
    if isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{value!r} is not a number")
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value)
    text = str(value).strip()
    if _INTEGER.fullmatch(text):
        return int(text)
    if "_" in text:  # Python reads 1_000 as a number, other readers of the file do not
        raise ValueError(f"{value!r} is not a number")
    return float(text)


def truth(value: Any) -> Any:
    """The truth value in a cell, ``pd.NA`` where it is empty, ``None`` where it holds something else."""
    if _empty(value):
        return pd.NA
    return {"true": True, "false": False}.get(str(value).strip().lower())


def hyperparameter_series(values: list[Any]) -> Any:
    """A column of hyperparameter values as a pandas array.

    ``Int64`` if all are whole numbers, ``float64`` if all are numbers, ``boolean`` if all are truth values, and ``str``
    if they are mixed. A pure function of the values: what CSV made of ``16`` and parquet of ``16.0`` is one column.
    """
    parsed = [_hyperparameter(value) for value in values]
    present = [value for value in parsed if value is not None]
    if all(isinstance(value, bool) for value in present) and present:
        return pd.array([pd.NA if value is None else value for value in parsed], dtype="boolean")
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in present):
        numbers = [None if value is None else float(value) for value in parsed]
        if all(value is None or (value.is_integer() and abs(value) < _EXACT) for value in numbers):
            return pd.array([pd.NA if value is None else int(value) for value in numbers], dtype="Int64")
        return np.array([np.nan if value is None else value for value in numbers], dtype="float64")
    return pd.array([None if value is None else _text(value) for value in parsed], dtype="str")


def _hyperparameter(value: Any) -> bool | int | float | str | None:
    if _empty(value):
        return None
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    text = str(value).strip()
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        parsed = number(value)
    except ValueError:
        return text
    return text if isinstance(parsed, int) and abs(parsed) >= _EXACT else parsed


def _text(value: bool | float | str) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return str(int(value))
    return str(value)


def _empty(value: Any) -> bool:
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    if isinstance(value, (float, np.floating)):
        return math.isnan(value)
    return isinstance(value, str) and value.strip().lower() in _EMPTY
