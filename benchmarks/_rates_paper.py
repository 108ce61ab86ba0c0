"""How often the paper's verdict is right: intervals of macro differences over seeds, and cells within a deviation."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.outcomes import FAILS, HOLDS, Macro, above, gap, macro, on_par
from benchmarks._rates import Rate

#: Tasks, seeds, and how the true deviations differ between tasks: alike, or one that is thirty times the smallest.
DESIGNS = ((8, 5, 1), (8, 5, 30), (7, 3, 5), (2, 5, 1))


def rates(repeats: int, seed: int) -> list[Rate]:
    """Coverage of the interval, how often equal macros count as apart, and how often ones apart count as on par."""
    found = []
    for tasks, seeds, ratio in DESIGNS:
        draw = np.random.default_rng(seed)
        spread = np.geomspace(1, ratio, tasks)
        design = f"{tasks} tasks × {seeds} seeds, std 1:{ratio}"
        pairs = [(_macro(draw, spread, seeds), _macro(draw, spread, seeds)) for _ in range(repeats)]
        covered = np.mean([abs(value) <= half for value, half in (gap(*pair) for pair in pairs)])
        apart = np.mean([above(*pair).verdict in (HOLDS, FAILS) for pair in pairs])
        margin = 1.0
        shifted = [(Macro(one.name, one.value + margin, one.parts), other) for one, other in pairs]
        par = np.mean([on_par(*pair, margin).verdict == HOLDS for pair in shifted])
        found += [
            Rate("interval of a macro difference holds the truth", design, 0.95, float(covered), repeats),
            Rate("equal macros: one is called above or below", design, 0.05, float(apart), repeats),
            Rate("macros exactly the margin apart are called on par", design, 0.025, float(par), repeats),
        ]
    draw = np.random.default_rng(seed)
    ours, theirs = draw.standard_normal((2, repeats, 5))
    near = np.abs(np.median(ours, axis=1) - np.median(theirs, axis=1)) <= theirs.std(axis=1, ddof=1)
    twice = np.abs(np.median(ours, axis=1) - np.median(theirs, axis=1)) <= 2 * theirs.std(axis=1, ddof=1)
    design = "one cell, 5 seeds against 5"
    found.append(Rate("the same cell again lies within one deviation", design, None, float(near.mean()), repeats))
    found.append(Rate("the same cell again lies within two deviations", design, None, float(twice.mean()), repeats))
    return found


def _macro(draw: np.random.Generator, spread: np.ndarray, seeds: int) -> Macro:
    """The macro of tasks whose scores are normal around zero."""
    scores = draw.standard_normal((len(spread), seeds)) * spread[:, None]
    rows = {"median": np.median(scores, axis=1), "std": scores.std(axis=1, ddof=1), "n_seeds": seeds}
    return macro("simulated", pd.DataFrame(rows))
