"""How often the intervals of ``analysis/inference.py`` hold the truth, and how often equal methods are told apart."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import stats

from analysis import inference
from benchmarks._rates import Rate

#: Dev sets as large as those of CB, COPA, WSC, RTE, MRPC, CoLA, BoolQ and QNLI: rows, spread over seeds, level.
ROWS = np.array([56, 100, 104, 277, 408, 1043, 3270, 5463])
SPREAD = np.array([2.5, 2.5, 2.0, 1.2, 0.8, 0.8, 0.4, 0.3])
LEVELS = np.array([85.0, 70.0, 65.0, 78.0, 88.0, 60.0, 80.0, 92.0])
COLLAPSED = 50.0
_FRESH = 400  # fresh runs by which the truth is known
NOMINAL = 0.95


@dataclass(frozen=True)
class Design:
    """A method's search. ``apart``: how unequal its assignments are, in spreads over seeds. ``collapse``: share of runs
    that fall to chance."""

    tasks: int = 8
    assignments: int = 8
    seeds: int = 5
    apart: float = 1.0
    collapse: float = 0.0

    def __str__(self) -> str:
        collapse = f", {self.collapse:.0%} collapse" if self.collapse else ""
        return f"{self.tasks} tasks, {self.assignments} × {self.seeds}, apart {self.apart:g}{collapse}"


@dataclass(frozen=True)
class Simulated:
    """``scores (r, t, a, s)`` of r searches, ``chosen (r, t)`` medians, and ``fresh (r, t, n)`` scores of the chosen."""

    scores: np.ndarray
    chosen: np.ndarray
    fresh: np.ndarray

    def truth(self, seeds: int) -> np.ndarray:
        """What the median over so many fresh seeds is on average, over tasks: ``(r,)``."""
        *head, n = self.fresh.shape
        return np.median(self.fresh.reshape(*head, n // seeds, seeds), axis=-1).mean(axis=(1, 2))

    def held_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Scores of each seed left out ``(r, t, s)``, and the spread ``(r, t)``."""
        repeats, tasks, _, seeds = self.scores.shape
        fresh, spread = inference.leave_one_out(self.scores.reshape(repeats * tasks, -1, seeds))
        return fresh.reshape(repeats, tasks, seeds), spread.reshape(repeats, tasks)


def simulated(design: Design, repeats: int, random: np.random.Generator, lead: float = 0.0) -> Simulated:
    """Searches on dev sets of the rows above; ``lead`` lifts every assignment by so many spreads."""
    which = np.arange(design.tasks) * len(ROWS) // design.tasks
    rows, spread = ROWS[which][:, None, None], SPREAD[which][:, None, None]

    def runs(levels: np.ndarray, n: int) -> np.ndarray:
        scores = levels[..., None] + spread * random.normal(size=(*levels.shape, n))
        if design.collapse:
            scores = np.where(random.random(scores.shape) < design.collapse, COLLAPSED, scores)
        return np.round(scores * rows / 100) * 100 / rows

    levels = LEVELS[which][:, None] + spread[..., 0] * (
        lead + design.apart * random.normal(size=(repeats, design.tasks, design.assignments))
    )
    scores = runs(levels, design.seeds)
    medians = np.median(scores, axis=-1)
    best = medians.argmax(axis=-1)[..., None]
    seeds = design.seeds
    fresh = runs(np.take_along_axis(levels, best, axis=-1), _FRESH // seeds * seeds)[:, :, 0]
    return Simulated(scores, np.take_along_axis(medians, best, axis=-1)[..., 0], fresh)


def macro_held_out(run: Simulated, level: float = NOMINAL) -> tuple[np.ndarray, ...]:
    """``mean, lower, upper, variance`` as a report gives them without confirmation."""
    seeds = run.scores.shape[-1]
    fresh, spread = run.held_out()
    variances = inference.median_inflation(np.array(seeds)) * inference.median_variance(np.array(seeds)) * spread
    df = np.full(variances.shape, seeds - 1)
    return (*inference.mean_interval(np.median(fresh, axis=-1), variances, df, level), variances)


def macro_confirmed(run: Simulated, seeds: int) -> tuple[np.ndarray, ...]:
    """The same with so many fresh seeds."""
    fresh = run.fresh[:, :, :seeds]
    searched = run.scores.shape[-1]
    best = np.median(run.scores, axis=-1).argmax(axis=-1)[..., None, None]
    own = np.take_along_axis(run.scores, best, axis=2)[:, :, 0].var(axis=-1, ddof=1)
    squares = (seeds - 1) * fresh.var(axis=-1, ddof=1 if seeds > 1 else 0) + (searched - 1) * own
    df = np.full(own.shape, seeds + searched - 2)
    variances = inference.median_variance(np.array(seeds)) * squares / df
    return (*inference.mean_interval(np.median(fresh, axis=-1), variances, df), variances)


def _missed(truth: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> float:
    return float(np.mean(~((lower - 1e-9 <= truth) & (truth <= upper + 1e-9))))


DESIGNS = [
    *(Design(assignments=a, apart=apart) for a, apart in product((8, 40), (0.0, 0.5, 1.0, 2.0))),
    *(Design(assignments=12, collapse=share) for share in (0.02, 0.05)),
    *(Design(assignments=a, seeds=s) for s, a in ((2, 8), (2, 40), (3, 8), (3, 40), (10, 12))),
    *(Design(tasks=t, assignments=12, seeds=s) for t, s in ((1, 5), (3, 5), (3, 3))),
]


def rates(repeats: int, seed: int) -> list[Rate]:
    """The share of simulated searches whose interval misses the truth; 5 % is what it says of itself."""
    random = np.random.default_rng(seed)
    found: list[Rate] = []
    for design in DESIGNS:
        run = simulated(design, repeats, random)
        found += _macros(run, design, repeats)
        found += _shares(run, simulated(design, repeats, random, lead=0.7), design, repeats)
    for small, large in (((8, 5), (40, 5)), ((8, 3), (40, 3)), ((8, 2), (40, 2))):
        found += _equal_methods(small, large, repeats, random)
    return found


def _macros(run: Simulated, design: Design, repeats: int) -> list[Rate]:
    _, lower, upper, _ = macro_held_out(run)
    found = [Rate("macro, held out: misses", str(design), 0.05, _missed(run.truth(design.seeds), lower, upper), repeats)]
    for seeds in (5, 2) if design.seeds == 5 else (design.seeds,):
        _, lower, upper, _ = macro_confirmed(run, seeds)
        what = f"macro, confirmed on {seeds}: misses"
        found.append(Rate(what, str(design), 0.05, _missed(run.truth(seeds), lower, upper), repeats))
    own = run.scores.var(axis=-1, ddof=1)
    best = np.median(run.scores, axis=-1).argmax(axis=-1)[..., None]
    variances = np.take_along_axis(own, best, axis=-1)[..., 0] * inference.median_variance(np.array(design.seeds))
    df = np.full(variances.shape, design.seeds - 1)
    _, lower, upper = inference.mean_interval(run.chosen, variances, df)
    missed = _missed(run.truth(design.seeds), lower, upper)
    return [*found, Rate("(not shown) macro as selected: misses", str(design), 0.05, missed, repeats)]


def _shares(run: Simulated, other: Simulated, design: Design, repeats: int) -> list[Rate]:
    """Interquartile means, profiles and probabilities of improvement, held out and confirmed."""
    found = []
    thresholds = np.linspace(50, 100, 51)
    shares = np.stack([(run.fresh > t).mean(axis=(1, 2)) for t in thresholds], axis=-1)
    inside = (shares > 0.02) & (shares < 0.98)
    size = run.fresh.shape[-1] * design.tasks
    middle = np.sort(run.fresh.reshape(repeats, size), axis=-1)[:, size // 4 : size - size // 4].mean(axis=-1)
    above = np.sign(run.fresh[..., :, None] - other.fresh[..., None, :60]).mean(axis=(1, 2, 3)) / 2 + 0.5
    for kind in ("held out", "confirmed"):
        held = kind == "held out"
        mine, theirs = (r.held_out()[0] if held else r.fresh[:, :, : design.seeds] for r in (run, other))
        inflation = inference.HELD_OUT if held else 1.0
        _, lower, upper = inference.improvement(mine, theirs, inflation)
        found.append(Rate(f"improvement, {kind}: misses", str(design), 0.05, _missed(above, lower, upper), repeats))
        if design.tasks >= inference.LEAST_TASKS:
            _, lower, upper = inference.interquartile_mean(mine, inflation)
            found.append(Rate(f"IQM, {kind}: misses", str(design), 0.05, _missed(middle, lower, upper), repeats))
        _, lower, upper = inference.profile(mine, thresholds, inflation)
        missed = float(np.mean(((shares < lower) | (shares > upper))[inside]))
        found.append(Rate(f"profile, {kind}: misses at a threshold", str(design), 0.05, missed, repeats))
    return found


def _equal_methods(
    small: tuple[int, int], large: tuple[int, int], repeats: int, random: np.random.Generator
) -> list[Rate]:
    """Eight methods whose assignments are all equal, of which one has many more."""
    designs = [Design(assignments=a, seeds=s, apart=0.0) for a, s in (small, large, *[small] * 6)]
    runs = [simulated(design, repeats, random) for design in designs]
    seeds, tasks = small[1], designs[0].tasks
    held = [macro_held_out(run) for run in runs]
    means, variances = np.stack([h[0] for h in held]), np.stack([h[3] for h in held])  # (m, r), (m, r, t)
    selected = np.stack([run.chosen.mean(axis=1) for run in runs])
    truth = np.stack([run.truth(seeds) for run in runs])

    def misses(one: np.ndarray, other: np.ndarray, level: float) -> np.ndarray:
        joint = np.concatenate([np.take_along_axis(variances, i[None, :, None], axis=0)[0] for i in (one, other)], -1)
        _, lower, upper = inference.mean_interval(np.zeros(joint.shape), 4 * joint, np.full(joint.shape, seeds - 1), level)
        pick = lambda table, i: np.take_along_axis(table, i[None], axis=0)[0]  # noqa: E731
        gap = pick(means, one) - pick(means, other) - (pick(truth, one) - pick(truth, other))
        return ~((lower <= gap) & (gap <= upper))

    zero, one = np.zeros(repeats, int), np.ones(repeats, int)
    name = f"8 tasks, {large[0]} against {small[0]} × {seeds}, equal"
    pairs = [Rate("difference, held out: misses", name, 0.05, float(misses(one, zero, NOMINAL).mean()), repeats)]
    reference = selected.argmax(axis=0)
    family = np.stack([
        misses(np.full(repeats, k), reference, 1 - 0.05 / 7) & (reference != k) for k in range(len(runs))
    ])
    pairs.append(Rate("differences from the best of 8: any established", name, 0.05, float(family.any(0).mean()), repeats))
    drawn = [run.scores.reshape(repeats, tasks, -1, seeds) for run in runs[:2]]
    best = [np.take_along_axis(x, np.median(x, -1).argmax(-1)[..., None, None], axis=2)[:, :, 0] for x in drawn]
    gap = best[1].mean(axis=(1, 2)) - best[0].mean(axis=(1, 2))
    joint = np.concatenate([x.var(axis=-1, ddof=1) / seeds for x in best], axis=-1)
    _, lower, upper = inference.mean_interval(np.zeros(joint.shape), 4 * joint, np.full(joint.shape, seeds - 1))
    naive = float(np.mean((gap < lower) | (gap > upper)))
    pairs.append(Rate("(not shown) difference as selected: rejects", name, 0.05, naive, repeats))
    return pairs


__all__ = ["DESIGNS", "Design", "macro_confirmed", "macro_held_out", "rates", "simulated", "stats"]
