"""The paper's published numbers, and which of its backbones one of ours is."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pandas as pd

from analysis import style

FOLDER = Path(__file__).parent / "paper"
SEEDS = 5  # behind each published deviation


def published() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The paper's results and macro scores, as ``analysis/paper/README.md`` describes them."""
    results, macros = _read()
    return results.copy(), macros.copy()


@cache
def _read() -> tuple[pd.DataFrame, pd.DataFrame]:
    return pd.read_csv(FOLDER / "results.csv"), pd.read_csv(FOLDER / "macro.csv")


def match(backbone: str, benchmark: str | None = None) -> str | None:
    """The paper's backbone that one of ours is, however it is spelled; ``None`` where it is none on the benchmark."""
    results = _read()[0]
    of = results if benchmark is None else results[results["benchmark"] == benchmark]
    return next((str(name) for name in of["backbone"].unique() if _plain(name) == _plain(backbone)), None)


def _plain(name: str) -> str:
    """A backbone whatever its spelling: ``microsoft/deberta-xlarge`` is DeBERTa-XL."""
    return style.plain(name.rsplit("/", maxsplit=1)[-1]).replace("xlarge", "xl")
