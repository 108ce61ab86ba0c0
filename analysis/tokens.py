"""The file of ``aot tokens``: of each AoT artifact the tokens with the largest ‖P_x‖₂, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

COLUMNS = ["backbone", "task", "method", "layer", "rank", "token_id", "token", "norm", "special", "seen"]
_KEY = ["backbone", "task", "method"]
_TRUTH = {"True": True, "False": False, "": None}


class TokensError(ValueError):
    """A file that is not one of ``aot tokens``."""


def table(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a frame with ``COLUMNS``."""
    return pd.DataFrame(list(rows), columns=COLUMNS)


def read(path: Path) -> pd.DataFrame:
    """The frame of a file; TokensError says what is wrong in it.

    A token may be called ``NA`` or ``null``: nothing but an empty ``seen`` is missing.
    """
    try:
        found = pd.read_csv(path, keep_default_na=False, dtype=str)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise TokensError(f"{path} cannot be read ({error}); give the tokens.csv that aot tokens wrote") from error
    if missing := [name for name in COLUMNS if name not in found]:
        raise TokensError(f"{path} must have the columns of aot tokens, but has no {', '.join(missing)}")
    try:
        numbers = dict.fromkeys(("layer", "rank", "token_id"), int) | {"norm": float}
        found = found[COLUMNS].astype(numbers)
    except ValueError as error:
        raise TokensError(f"{path}: layer, rank, token_id and norm must be numbers ({error})") from error
    for name in ("special", "seen"):
        if other := sorted(set(found[name]) - _TRUTH.keys()):
            raise TokensError(f"{path}: {name} must be True, False or empty, but is {other[0]!r}")
        found[name] = found[name].map(_TRUTH).astype(object)
    return found.sort_values([*_KEY, "layer", "rank"], ignore_index=True)
