"""How often the paper's verdict is right: conclusions about two macros, and cells within a deviation."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis import inference
from analysis.outcomes import FAILS, HOLDS, Macro, above, gap, macro, on_par
from benchmarks._rates import Rate

#: Tasks, seeds, how the true deviations differ between tasks (alike, or one that is thirty times the smallest), and
#: the assignments of the two methods.
DESIGNS = ((8, 5, 1, (1, 1)), (8, 5, 30, (1, 1)), (7, 3, 5, (1, 1)), (2, 5, 1, (1, 1)), (8, 5, 1, (40, 8)),
           (8, 5, 5, (100, 10)), (7, 3, 5, (40, 8)))  # fmt: skip
MARGIN = 1.0


def rates(repeats: int, seed: int) -> list[Rate]:
    """Coverage of the interval, how often equal macros count as apart, and how often ones apart count as on par."""
    found = []
    for tasks, seeds, ratio, counts in DESIGNS:
        draw = np.random.default_rng(seed)
        spread = np.geomspace(1, ratio, tasks)
        tried = "one assignment each" if counts == (1, 1) else f"{counts[0]} against {counts[1]} assignments"
        design = f"{tasks} × {seeds}, std 1:{ratio}, {tried}"
        pairs = [tuple(_macro(draw, spread, count, seeds) for count in counts) for _ in range(repeats)]
        covered = np.mean([abs(value) <= half for value, half in (gap(*pair) for pair in pairs)])
        apart = np.mean([above(*pair).verdict in (HOLDS, FAILS) for pair in pairs])
        par = np.mean([on_par(_shifted(one), other, MARGIN).verdict == HOLDS for one, other in pairs])
        found += [
            Rate("interval of a macro difference holds the truth", design, 0.95, float(covered), repeats),
            Rate("equal macros: one is called above or below", design, 0.05, float(apart), repeats),
            Rate("macros exactly the margin apart are called on par", design, 0.025, float(par), repeats),
        ]
    draw = np.random.default_rng(seed)
    ours, theirs = draw.standard_normal((2, repeats, 5))
    gaps, deviation = np.abs(np.median(ours, axis=1) - np.median(theirs, axis=1)), theirs.std(axis=1, ddof=1)
    for times, word in ((1, "one deviation"), (2, "two deviations")):
        near = float((gaps <= times * deviation).mean())
        what = f"the same cell again lies within {word}"
        found.append(Rate(what, "one cell, 5 seeds against 5", None, near, repeats))
    return found


def _shifted(one: Macro) -> Macro:
    return Macro(one.name, one.value + MARGIN, one.parts)


def _macro(draw: np.random.Generator, spread: np.ndarray, count: int, seeds: int) -> Macro:
    """The macro of tasks whose assignments are all equal, and their scores normal around zero."""
    scores = draw.standard_normal((len(spread), count, seeds)) * spread[:, None, None]
    fresh, variances = inference.leave_one_out(scores)
    n = np.array(seeds)
    inflation = inference.median_inflation(n) if count > 1 else 1.0
    rows = {"selected": 0.0, "fresh": np.median(fresh, axis=1), "df": seeds - 1,
            "variance": inflation * inference.median_variance(n) * variances}  # fmt: skip
    return macro("simulated", pd.DataFrame(rows))
