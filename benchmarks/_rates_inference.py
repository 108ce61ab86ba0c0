"""How often the intervals of ``analysis/inference.py`` hold the truth, and how often equal methods are told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy import stats

from analysis import collapses, inference
from benchmarks._rates import Rate

#: Dev sets as large as those of CB, COPA, WSC, RTE, MRPC, CoLA, BoolQ and QNLI: rows, spread over seeds, level.
ROWS = np.array([56, 100, 104, 277, 408, 1043, 3270, 5463])
SPREAD = np.array([2.5, 2.5, 2.0, 1.2, 0.8, 0.8, 0.4, 0.3])
LEVELS = np.array([85.0, 70.0, 65.0, 78.0, 88.0, 60.0, 80.0, 92.0])
COLLAPSED = 50.0
_FRESH = 400  # fresh runs by which the truth is known
NOMINAL = 0.95
BATCH = 200  # searches held in memory at once


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
    """``scores (r, t, a, s)`` of r searches, best medians ``chosen (r, t)``, and the chosen's ``fresh (r, t, n)``."""

    scores: np.ndarray
    chosen: np.ndarray
    fresh: np.ndarray

    def truth(self, seeds: int) -> np.ndarray:
        """What the median over so many fresh seeds is on average, over tasks: ``(r,)``."""
        *head, n = self.fresh.shape
        whole = self.fresh[..., : n // seeds * seeds]
        return np.median(whole.reshape(*head, n // seeds, seeds), axis=-1).mean(axis=(1, 2))

    def interquartile_mean(self) -> np.ndarray:
        """That of all fresh scores: ``(r,)``."""
        return stats.trim_mean(self.fresh.reshape(len(self.fresh), -1), 0.25, axis=1)

    def held_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Scores of each seed left out ``(r, t, s)``, and the spread ``(r, t)``."""
        repeats, tasks, _, seeds = self.scores.shape
        fresh, spread = inference.leave_one_out(self.scores.reshape(repeats * tasks, -1, seeds))
        return fresh.reshape(repeats, tasks, seeds), spread.reshape(repeats, tasks)

    def collapsing(self, seeds: int | None = None) -> np.ndarray:
        """The share of runs that collapses, by the search and so many fresh seeds, as in a report: ``(r,)``."""
        repeats, tasks, *_ = self.scores.shape
        runs = self.scores
        if seeds is not None:
            more = np.full((repeats, tasks, 1, max(seeds, runs.shape[-1])), np.nan)
            more[..., :seeds] = self.fresh[:, :, None, :seeds]
            wider = [(0, 0)] * 3 + [(0, more.shape[-1] - runs.shape[-1])]
            runs = np.concatenate([np.pad(runs, wider, constant_values=np.nan), more], axis=2)
        found = collapses.counted(runs.reshape(repeats * tasks, *runs.shape[2:]))
        return collapses.share(*(counts.reshape(repeats, tasks).sum(axis=1) for counts in found))


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
    inflation = inference.median_inflation(np.array(seeds)) if run.scores.shape[2] > 1 else 1.0
    variances = inflation * inference.median_variance(np.array(seeds)) * spread
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


def macro_selected(run: Simulated) -> tuple[np.ndarray, ...]:
    """The same from the winners' own search seeds, as if they had not been chosen by them."""
    best = np.median(run.scores, axis=-1).argmax(axis=-1)[..., None]
    own = np.take_along_axis(run.scores.var(axis=-1, ddof=1), best, axis=-1)[..., 0]
    seeds = run.scores.shape[-1]
    variances = own * inference.median_variance(np.array(seeds))
    return (*inference.mean_interval(run.chosen, variances, np.full(own.shape, seeds - 1)), variances)


def macro_bootstrap(run: Simulated, random: np.random.Generator, draws: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """The percentile bootstrap over seeds, stratified by assignment, with the choice made anew in every sample."""
    repeats, seeds = len(run.scores), run.scores.shape[-1]
    drawn = np.empty((draws, repeats))
    for i in range(draws):
        pick = random.integers(seeds, size=run.scores.shape)
        again = np.take_along_axis(run.scores, pick, axis=-1)
        drawn[i] = np.median(again, axis=-1).max(axis=-1).mean(axis=-1)
    lower, upper = np.quantile(drawn, [0.025, 0.975], axis=0)
    return lower, upper


def _missed(truth: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> float:
    return float(np.mean(~((lower - 1e-9 <= truth) & (truth <= upper + 1e-9))))


def _of_shown(what: str, design: Design, run: Simulated, seeds: int, interval: np.ndarray, fresh: bool) -> list[Rate]:
    """How often an interval of medians of so many seeds is shown, and how often one that is shown misses."""
    medians = collapses.of_median(np.array(seeds), run.collapsing(seeds if fresh else None))
    shown = ~collapses.too_often(medians, np.array(design.tasks))
    missed = _missed(run.truth(seeds)[shown], *interval[:, shown]) if shown.any() else 0.0
    found = [
        Rate(f"{what}: misses where shown", str(design), 0.05, missed, int(shown.sum())),
        Rate(f"{what}: shown", str(design), None, float(shown.mean()), len(shown)),
    ]
    if design.collapse:
        missed = _missed(run.truth(seeds), *interval)
        found.append(Rate(f"(not shown) {what}, whatever collapses: misses", str(design), 0.05, missed, len(shown)))
    return found


DESIGNS = [
    *(Design(assignments=a, apart=apart) for a, apart in product((8, 40), (0.0, 0.5, 1.0, 2.0))),
    *(Design(assignments=12, collapse=share) for share in (0.01, 0.02, 0.05, 0.1)),
    *(Design(assignments=1, collapse=share) for share in (0.02, 0.05)),
    *(Design(assignments=12, seeds=s, collapse=share) for s, share in ((2, 0.02), (2, 0.05), (3, 0.05), (10, 0.05))),
    *(Design(tasks=t, assignments=12, collapse=0.05) for t in (1, 3)),
    *(Design(assignments=a, seeds=s) for s, a in ((2, 8), (2, 40), (3, 8), (3, 40), (10, 12))),
    *(Design(tasks=t, assignments=12, seeds=s) for t, s in ((1, 5), (3, 5), (3, 3))),
    Design(assignments=1),
]

TRIED = [Design(assignments=a, apart=apart) for a, apart in ((8, 0.0), (40, 0.0), (40, 1.0))]


def rates(repeats: int, seed: int) -> list[Rate]:
    """The share of simulated searches whose interval misses the truth; 5 % is what it says of itself.

    Of macros the share of those that are shown; a line that says nothing of misses where none is.
    """
    random = np.random.default_rng(seed)
    parts = [_part(min(BATCH, repeats - done), random) for done in range(0, repeats, BATCH)]
    return [rate for same in zip(*parts, strict=True) if (rate := _joined(same)).repeats]


def _joined(same: Sequence[Rate]) -> Rate:
    total = sum(rate.repeats for rate in same)
    return replace(same[0], measured=sum(rate.measured * rate.repeats for rate in same) / max(total, 1), repeats=total)


def _part(repeats: int, random: np.random.Generator) -> list[Rate]:
    found: list[Rate] = []
    for design in DESIGNS:
        run = simulated(design, repeats, random)
        found += _macros(run, design, repeats, random)
        found += _shares(run, simulated(design, repeats, random, lead=0.7), design, repeats)
    for small, large in (((8, 5), (40, 5)), ((8, 3), (40, 3)), ((8, 2), (40, 2)), ((1, 5), (1, 5))):
        found += _equal_methods(small, large, repeats, random)
    return found


def _macros(run: Simulated, design: Design, repeats: int, random: np.random.Generator) -> list[Rate]:
    found = _of_shown("macro, held out", design, run, design.seeds, np.stack(macro_held_out(run)[1:3]), fresh=False)
    for seeds in sorted({2, 3, design.seeds}, reverse=True):
        interval = np.stack(macro_confirmed(run, seeds)[1:3])
        found += _of_shown(f"macro, confirmed on {seeds}", design, run, seeds, interval, fresh=True)
    _, lower, upper, _ = macro_selected(run)
    missed = _missed(run.truth(design.seeds), lower, upper)
    found.append(Rate("(not shown) macro as selected: misses", str(design), 0.05, missed, repeats))
    if design in TRIED:
        some = min(repeats, 200)
        part = Simulated(run.scores[:some], run.chosen[:some], run.fresh[:some])
        missed = _missed(part.truth(design.seeds), *macro_bootstrap(part, random))
        found.append(Rate("(not shown) macro, bootstrap with selection: misses", str(design), 0.05, missed, some))
        mean, _, _, variances = macro_held_out(run)
        plain = variances / inference.median_inflation(np.array(design.seeds))
        _, lower, upper = inference.mean_interval(np.zeros(plain.shape), plain, np.full(plain.shape, design.seeds - 1))
        missed = _missed(run.truth(design.seeds), mean + lower, mean + upper)
        found.append(Rate("(not shown) macro, held out, not inflated: misses", str(design), 0.05, missed, repeats))
        missed = _missed(*_bootstrapped_iqm(run, design.seeds, random))
        found.append(Rate("(not shown) IQM, confirmed, bootstrap: misses", str(design), 0.05, missed, repeats))
    return found


def _bootstrapped_iqm(run: Simulated, seeds: int, random: np.random.Generator) -> tuple[np.ndarray, ...]:
    """rliable's interval, stratified by task: the truth, ``lower`` and ``upper``."""
    scores = run.fresh[:, :, :seeds]
    drawn = []
    for _ in range(500):
        again = np.take_along_axis(scores, random.integers(seeds, size=scores.shape), axis=-1)
        drawn.append(stats.trim_mean(again.reshape(len(again), -1), 0.25, axis=1))
    return run.interquartile_mean(), *np.quantile(drawn, [0.025, 0.975], axis=0)


def _shares(run: Simulated, other: Simulated, design: Design, repeats: int) -> list[Rate]:
    """Interquartile means, profiles and probabilities of improvement, held out and confirmed."""
    found = []
    thresholds = np.linspace(50, 100, 51)
    shares = np.stack([(run.fresh > t).mean(axis=(1, 2)) for t in thresholds], axis=-1)
    inside = (shares > 0.02) & (shares < 0.98)
    middle = run.interquartile_mean()
    above = np.sign(run.fresh[..., :, None] - other.fresh[..., None, :60]).mean(axis=(1, 2, 3)) / 2 + 0.5
    for kind in ("held out", "confirmed"):
        held = kind == "held out"
        mine, theirs = (r.held_out()[0] if held else r.fresh[:, :, : design.seeds] for r in (run, other))
        inflation = inference.HELD_OUT if held and design.assignments > 1 else 1.0
        more = inference.HELD_OUT_MIDDLE if held else 1.0
        collapsing = run.collapsing(None if held else design.seeds)
        _, lower, upper = inference.improvement(mine, theirs, inflation)
        found.append(Rate(f"improvement, {kind}: misses", str(design), 0.05, _missed(above, lower, upper), repeats))
        allowances = {"": collapsing} | ({", whatever collapses": 0.0} if design.collapse else {})
        for allowing, share in allowances.items():
            no = "(not shown) " if allowing else ""
            if design.tasks >= inference.LEAST_TASKS:
                _, lower, upper = inference.interquartile_mean(mine, more, share)
                missed = _missed(middle, lower, upper)
                found.append(Rate(f"{no}IQM, {kind}{allowing}: misses", str(design), 0.05, missed, repeats))
            _, lower, upper = inference.profile(mine, thresholds, inflation, share)
            missed = float(np.mean(((shares < lower) | (shares > upper))[inside]))
            what = f"{no}profile, {kind}{allowing}: misses at a threshold"
            found.append(Rate(what, str(design), 0.05, missed, repeats))
    return found


def _equal_methods(
    small: tuple[int, int], large: tuple[int, int], repeats: int, random: np.random.Generator
) -> list[Rate]:
    """Eight methods whose assignments are all equal, of which one has many more: nothing is to be found."""
    designs = [Design(assignments=a, seeds=s, apart=0.0) for a, s in (large, small, *[small] * 6)]
    runs = [simulated(design, repeats, random) for design in designs]
    seeds = small[1]
    name = f"8 tasks, {large[0]} against {small[0]} × {seeds}, equal"
    gap = runs[0].truth(seeds) - runs[1].truth(seeds)
    found = []
    for kind, numbers in (
        ("difference, held out: misses", [macro_held_out(run) for run in runs[:2]]),
        ("difference, confirmed: misses", [macro_confirmed(run, seeds) for run in runs[:2]]),
        ("(not shown) difference as selected: misses", [macro_selected(run) for run in runs[:2]]),
    ):
        found.append(Rate(kind, name, 0.05, _missed(gap, *_between(numbers[0], numbers[1], seeds, NOMINAL)), repeats))
    every = [macro_held_out(run) for run in runs]
    reference = np.stack([run.chosen.mean(axis=1) for run in runs]).argmax(axis=0)
    wrong = np.zeros(repeats, bool)
    comparisons = 7 if small[0] > 1 else 28  # all pairs, as in analysis/estimates.py
    for i, j in product(range(len(runs)), repeat=2):
        if i != j:
            lower, upper = _between(every[i], every[j], seeds, 1 - 0.05 / comparisons)
            wrong |= (reference == j) & ((lower > 0) | (upper < 0))
    what = "differences from the best of 8, held out: any shown"
    return [*found, Rate(what, name, 0.05, float(wrong.mean()), repeats)]


def _between(
    one: tuple[np.ndarray, ...], other: tuple[np.ndarray, ...], seeds: int, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """The interval of a difference of macros, each ``mean, lower, upper, variance``."""
    variances = np.concatenate([one[3], other[3]], axis=-1)
    half = inference.mean_interval(
        np.zeros(variances.shape), 4 * variances, np.full(variances.shape, seeds - 1), level
    )[2]
    return one[0] - other[0] - half, one[0] - other[0] + half
