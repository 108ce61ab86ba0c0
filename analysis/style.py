"""How things look and what they are called, under one name: ``style.look``, ``style.method``, ``style.panels`` …

The paper's methods have the same colour, marker and line in every figure of every report; others get theirs from
:func:`looks`. See :mod:`analysis.looks`, :mod:`analysis.names` and :mod:`analysis.figures`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import matplotlib as mpl

from analysis import fonts
from analysis.figures import DPI, RC, legend, mark, panels
from analysis.looks import DARK, METHODS, Look, looks
from analysis.names import (
    BACKBONES,
    BENCHMARKS,
    LABELS,
    SHOWN,
    Shown,
    backbone,
    backbones,
    benchmark,
    benchmarks,
    look,
    method,
    methods,
    plain,
    task,
    tasks,
)

__all__ = [
    "BACKBONES", "BENCHMARKS", "DARK", "DPI", "LABELS", "METHODS", "Look", "backbone", "backbones", "benchmark",
    "benchmarks", "context", "legend", "look", "looks", "mark", "method", "methods", "panels", "plain", "task", "tasks",
]  # fmt: skip


@contextmanager
def context(
    labels: Mapping[str, str] | None = None, names: Iterable[str] = (), sizes: Mapping[str, float] | None = None
) -> Iterator[None]:
    """Within it, figures are made and saved in the project's style; outside nothing changes.

    ``labels`` are names in print by method; ``names`` are the methods that the report shows, with a label or without.
    No two of them look alike. Those with a label choose first, so that they look the same whatever else is shown.
    ``sizes``: the parameters that fine-tuning trains, by backbone.
    """
    labels = labels or {}
    token = SHOWN.set(Shown(labels, looks([*sorted(labels), *sorted(set(names))]), sizes or {}))
    try:
        with mpl.rc_context({**RC, "font.family": fonts.families()}):
            yield
    finally:
        SHOWN.reset(token)
