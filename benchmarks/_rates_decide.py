"""How often the marks of the reports to decide by stand where nothing is: importances, edges, the majority class."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from analysis.devsets import bar
from analysis.frame import from_rows
from analysis.reports import importance, winners
from benchmarks._rates import Rate
from common.seeds import seed_of

_GRID = {"learning_rate": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2), "rank": (2, 4, 8, 16), "batch_size": (16, 32)}
_TASKS = 8
_RTE = (52.7, 277)  # percent of the majority class, examples


def rates(repeats: int, seed: int) -> list[Rate]:
    """Bold importances and narrow searches of noise, an importance that is there, and guessing beyond the bar."""
    draw = np.random.default_rng(seed_of(f"rates|decide|{seed}"))
    design = f"{_TASKS} tasks, 40 assignments"
    noise = [_study(draw, 0.0) for _ in range(repeats)]
    matters = [_study(draw, 1.0) for _ in range(repeats)]
    bold = [_bold(importance.compute(frame)) for frame in noise]
    narrow = [bool(winners.narrow(winners.compute(frame).edges)) for frame in noise]
    found = [_bold(importance.compute(frame))["learning_rate"] for frame in matters]
    return [
        Rate(
            "a hyperparameter of no importance is bold",
            design,
            0.025,
            float(np.mean([b.mean() for b in bold])),
            repeats,
        ),
        Rate("any of three is bold where none matters", design, None, float(np.mean([b.any() for b in bold])), repeats),
        Rate("one that moves scores by a deviation each step is", design, None, float(np.mean(found)), repeats),
        Rate("a search of noise is called too narrow", design, 0.025, float(np.mean(narrow)), repeats),
        *(_guessing(draw, assignments, repeats) for assignments in (1, 8, 40)),
    ]


def _study(draw: np.random.Generator, step: float) -> pd.DataFrame:
    """One trial per assignment; each step of the learning rate from its middle costs ``step`` deviations."""
    rows = []
    for task in range(_TASKS):
        for i, values in enumerate(itertools.product(*_GRID.values())):
            distance = abs(_GRID["learning_rate"].index(values[0]) - 2)
            rows.append({
                "study": "s", "benchmark": "x", "backbone": "x", "task": f"x/{task}", "method": "lora",
                "assignment_id": f"{i}", "trial_id": f"{task}-{i}", "seed": 0, "status": "finished",
                "score": float(70 - step * distance + draw.normal()), "best_epoch": 1, "epochs": 1,
                "trainable_parameters": 1, "seconds": 1.0,
                **{f"hp.{name}": value for name, value in zip(_GRID, values, strict=True)},
            })  # fmt: skip
    return from_rows(rows)


def _bold(table: pd.DataFrame) -> pd.Series:
    return importance.means(table)["sure"].droplevel(["benchmark", "backbone", "method"])


def _guessing(draw: np.random.Generator, assignments: int, repeats: int) -> Rate:
    """Models that guess, as often right as the majority class: the best median of five seeds against the bar."""
    majority, n = _RTE
    scores = 100 * draw.binomial(n, majority / 100, (repeats, assignments, 5)) / n
    beyond = np.median(scores, axis=2).max(axis=1) > bar(majority, n, "accuracy")
    what, design = "the best of models that guess is above the bar", f"RTE, {assignments} × 5 seeds"
    return Rate(what, design, None, float(beyond.mean()), repeats)
