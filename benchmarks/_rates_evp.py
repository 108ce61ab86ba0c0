"""How often the bands of Expected Validation Performance hold the truth, and how often a lead that is none is claimed.

``percentile bootstrap`` is the band of before: of assignments, as in Dodge et al. (2019); ``with seeds`` also draws
the seeds of each assignment anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from analysis import _evp_band, courses, crossings, evp
from analysis._evp_cells import Values
from benchmarks._rates import Rate

SEEDS = 5
_NOISE = 0.7  # deviation over seeds, points
_TRUTH = 400_000  # assignments that the truth is computed from
_AT_ONCE = 50
_LONG = 60  # assignments of searches whose courses may cross
_CHANCE = 50.0

Shape = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
#: Qualities of random assignments: a symmetric one, and bounded tops with ever longer lower tails. ``learning rate``:
#: a parabola over a wide range of rates; ``collapse``: a quarter of them learn nothing; ``heavy top``: no bound near.
SHAPES: dict[str, Shape] = {
    "normal": lambda draw, shape: draw.normal(80, 3, shape),
    "exponential": lambda draw, shape: 88 - draw.exponential(5, shape),
    "lognormal": lambda draw, shape: 88 - 2 * np.exp(draw.normal(0, 1, shape)),
    "learning rate": lambda draw, shape: 86 - 3 * draw.normal(0, 1, shape) ** 2,
    "collapse": lambda draw, shape: np.where(draw.random(shape) < 0.25, _CHANCE, 85 - draw.gamma(2, 2, shape)),
    "heavy top": lambda draw, shape: np.minimum(100, 80 + 2 * draw.standard_t(3, shape)),
}


def rates(repeats: int, seed: int) -> list[Rate]:
    """Every rate of this file; see ``benchmarks/statistics.py``."""
    draw = np.random.default_rng(seed)
    return [*_samples(repeats, draw), *_macros(repeats, draw), *_grids(repeats, draw), *_leads(repeats, draw)]


# --- studies ---------------------------------------------------------------------------------------------------------


def _scores(draw: np.random.Generator, quality: np.ndarray, seeds: int = SEEDS) -> np.ndarray:
    """Scores of every seed, ``(…, seeds)``; a run that learned nothing has no noise."""
    noise = np.where(quality > _CHANCE, _NOISE, 0.0)
    return np.minimum(100, quality[..., None] + noise[..., None] * draw.normal(size=(*quality.shape, seeds)))


def _values(scores: np.ndarray, kind: str, name: str, chance: bool = False, hours: np.ndarray | None = None) -> Values:
    """The assignments ``(N, seeds)`` of one cell."""
    medians = np.median(scores, axis=1)
    order = np.argsort(medians, kind="stable")
    return Values(
        (name, "", "task", name), kind, medians[order], scores.var(axis=1, ddof=1)[order],  # type: ignore[arg-type]
        np.full(len(order), scores.shape[1]), np.ones(len(order)) if hours is None else hours[order],
        floor=_CHANCE if chance else 0.0, chance=chance, lowest=float(scores.min()),
    )  # fmt: skip


def _truth(draw: np.random.Generator, shape: Shape, draws: np.ndarray) -> np.ndarray:
    """The expected best median of ``n`` new assignments with new seeds."""
    medians = np.median(_scores(draw, shape(draw, (_TRUTH,))), axis=1)
    return evp.expected_best(medians, "v", draws)


def _batches(repeats: int) -> Iterator[range]:
    for start in range(0, repeats, _AT_ONCE):
        yield range(start, min(start + _AT_ONCE, repeats))


# --- a sample --------------------------------------------------------------------------------------------------------


def _samples(repeats: int, draw: np.random.Generator) -> Iterator[Rate]:
    for name, shape in SHAPES.items():
        for size in (5, 10, 40, 100):
            draws = np.unique([1, max(1, size // 4), size // 2])
            truth = _truth(draw, shape, draws)
            for chance in (False, True):
                held = np.zeros(len(draws))
                for batch in _batches(repeats):
                    scores = _scores(draw, shape(draw, (len(batch), size)))
                    cells = [_values(own, "sample", str(i), chance) for i, own in zip(batch, scores, strict=True)]
                    for drawn in _evp_band.resampled(cells):
                        lower, upper = _evp_band.band(*drawn, draws)
                        held += (lower <= truth) & (truth <= upper)
                known = "chance known" if chance else "chance unknown"
                for n, share in zip(draws, held / repeats, strict=True):
                    yield Rate(
                        f"band of a random search, {known}", f"{name}, N = {size}, n = {n}", 0.95, share, repeats
                    )
            if size == 40:
                yield from _bootstraps(repeats, draw, name, size)


def _bootstraps(repeats: int, draw: np.random.Generator, name: str, size: int) -> Iterator[Rate]:
    """What did not cover, and stays here to show it."""
    draws = np.array([1, size // 4, size // 2, size])
    truth = _truth(draw, SHAPES[name], draws)
    held = {"percentile bootstrap": np.zeros(4), "percentile bootstrap with seeds": np.zeros(4)}
    for _ in range(repeats):
        scores = _scores(draw, SHAPES[name](draw, (size,)))
        chosen = scores[draw.integers(size, size=(200, size))]  # (200, N, seeds)
        again = np.take_along_axis(chosen, draw.integers(SEEDS, size=chosen.shape), axis=2)
        for what, own in zip(held, (chosen, again), strict=True):
            lower, upper = np.quantile(evp.expected_best(np.median(own, axis=2), "u", draws), [0.025, 0.975], axis=0)
            held[what] += (lower <= truth) & (truth <= upper)
    for what, shares in held.items():
        for n, share in zip(draws, shares / repeats, strict=True):
            yield Rate(what, f"{name}, N = {size}, n = {n}", 0.95, share, repeats)


# --- a macro, a grid, a lead -----------------------------------------------------------------------------------------


def _macros(repeats: int, draw: np.random.Generator) -> Iterator[Rate]:
    """Eight tasks of one method, of as many shapes as there are."""
    shapes = [*SHAPES.values(), SHAPES["exponential"], SHAPES["learning rate"]]
    for size in (8, 40):
        draws = np.unique([1, size // 4, size // 2])
        truth = np.mean([_truth(draw, shape, draws) for shape in shapes], axis=0)
        held = np.zeros(len(draws))
        for repeat in range(repeats):
            cells = [
                _values(_scores(draw, shape(draw, (size,))), "sample", f"{repeat}|{task}")
                for task, shape in enumerate(shapes)
            ]
            lower, upper = _macro(cells).band()
            held += (lower[draws - 1] <= truth) & (truth <= upper[draws - 1])
        for n, share in zip(draws, held / repeats, strict=True):
            yield Rate("band of a macro over 8 tasks", f"N = {size}, n = {n}", 0.95, share, repeats)


def _macro(cells: list[Values]) -> courses.Course:
    same = [Values(**{**vars(own), "cell": ("b", "k", own.cell[0], "m")}) for own in cells]
    return courses.of_cells(same, {("b", "k"): len(same)})[1][0]


def _grids(repeats: int, draw: np.random.Generator) -> Iterator[Rate]:
    """Fixed assignments, new seeds; the truth is the mean over many sets of seeds."""
    for name in ("exponential", "learning rate"):
        for size, seeds in ((12, 2), (12, 5), (40, 5)):
            draws = np.array([1, size // 4, size // 2, size])
            quality = SHAPES[name](draw, (size,))
            many = np.median(_scores(draw, np.broadcast_to(quality, (20_000, size)), seeds), axis=2)
            truth = evp.expected_best(many, "u", draws).mean(axis=0)
            scores = _scores(draw, np.broadcast_to(quality, (repeats, size)), seeds)
            table = evp.of_cells([_values(own, "grid", f"{i:06d}") for i, own in enumerate(scores)])
            for n, true in zip(draws, truth, strict=True):
                own = table[table["n"] == n]
                share = float(((own["lower"] <= true) & (true <= own["upper"])).mean())
                yield Rate(
                    "band of a grid, new seeds", f"{name}, N = {size}, {seeds} seeds, n = {n}", 0.95, share, repeats
                )


def _leads(repeats: int, draw: np.random.Generator) -> Iterator[Rate]:
    """Two methods of one task: alike in all, and with a crossing at 20 assignments."""
    claimed = claims(repeats, draw, crossings.LEVEL)
    yield Rate("a lead claimed anywhere, two equal methods", f"N = {_LONG}", 0.05, claimed / repeats, repeats)

    # Tops of 84 and 88 with tails that make the expected bests of 10 assignments alike: 84 − a·0.1 = 88 − b·0.1
    small, large, found, right = 2.0, 42.0, 0, 0
    for repeat in range(repeats):
        table = crossings.find([
            _course(draw, small, 84, f"early{repeat}"), _course(draw, large, 88, f"late{repeat}")
        ])  # fmt: skip
        sure = table.dropna(subset=["lower", "upper"])
        found += len(sure) > 0
        right += bool(((sure["lower"] <= 10) & (sure["upper"] >= 10)).any())
    yield Rate("a crossing found, sure on both sides", f"N = {_LONG}", None, found / repeats, repeats)
    if found:
        yield Rate("its interval holds the crossing", f"N = {_LONG}", 0.95, right / found, found)


def claims(repeats: int, draw: np.random.Generator, level: float) -> int:
    """In how many studies of two equal methods one leads for sure at some budget, by intervals of so high a level."""
    claimed = 0
    for repeat in range(repeats):
        both = [_course(draw, 5, 88, f"{name}{repeat}") for name in ("one", "other")]
        hours = crossings.budgets(both)
        claimed += bool(np.any(crossings.leads(*(one.within(hours) for one in both), level)))
    return claimed


def _course(draw: np.random.Generator, scale: float, top: float, name: str) -> courses.Course:
    scores = _scores(draw, top - draw.exponential(scale, _LONG))
    values = _values(scores, "sample", name, hours=draw.gamma(4, 0.25, _LONG))
    same = Values(**{**vars(values), "cell": ("b", "k", "t", name)})
    return courses.of_cells([same], {("b", "k"): 1})[1][0]
