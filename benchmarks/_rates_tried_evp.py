"""How often bands of Expected Validation Performance that were tried hold the truth, on the searches of
``_rates_evp.py``; the bands are in ``_bands.py``.

Of every band the lowest and the highest coverage, and the least and the greatest width, over six shapes of 5, 10, 40
and 100 assignments; the extremes of so many estimates lie a little too far out. Of grids, over ``n``.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from scipy.stats import t as student

from analysis import evp
from analysis._evp_band import half_widths
from analysis.inference import median_variance
from benchmarks import _rates_evp as simulation
from benchmarks._bands import BANDS, BEST, Band
from benchmarks._rates import Rate, Size

_TRUTH = 400_000  # assignments that the truth is computed from


def rates(repeats: int, seed: int) -> list[Rate | Size]:
    """Every rate of this file; see ``benchmarks/statistics.py``."""
    draw = np.random.default_rng(seed)
    claimed = simulation.claims(repeats, draw, 0.95)
    lead = Rate("a lead claimed anywhere, by 95 % intervals", "two equal methods", 0.05, claimed / repeats, repeats)
    return [*_samples(repeats, draw), *_grids(repeats, draw), lead]


def _samples(repeats: int, draw: np.random.Generator) -> Iterator[Rate | Size]:
    held: dict[tuple[str, str], list[tuple[float, str]]] = {}
    widths: dict[tuple[str, str], list[tuple[float, float, str]]] = {}
    for name, shape in simulation.SHAPES.items():
        many = np.median(simulation._scores(draw, shape(draw, (_TRUTH,))), axis=1)
        for size in (5, 10, 40, 100):
            scores = simulation._scores(draw, shape(draw, (repeats, size)))
            x = np.sort(np.median(scores, axis=2), axis=1)
            for place, n in (("n = 1", 1), ("n = N/4", size // 4), ("n = N/2", size // 2)):
                if n == 1 and place != "n = 1":
                    continue  # a quarter of five
                true, design = evp.expected_best(many, "v", np.array([n]))[0], f"{name}, N = {size}, n = {n}"
                held.setdefault(("the truth is above the best value", place), []).append(
                    (float((true > x[:, -1]).mean()), design)
                )
                for what, band in BANDS.items():
                    lower, upper = within_scale(x, n, band, draw)
                    inside = (lower <= true) & (true <= upper)
                    held.setdefault((what, place), []).append((float(inside.mean()), design))
                    width = Size.of(what, design, upper - lower)
                    widths.setdefault((what, place), []).append((width.measured, width.error, design))
    for (what, place), shares in held.items():
        nominal = 0.95 if what in BANDS else None
        for word, (share, design) in (("least", min(shares)), ("most", max(shares))):
            yield Rate(f"{what}, {place}: {word}", design, nominal, share, repeats)
    for (what, place), sizes in widths.items():
        for word, (width, error, design) in (("least", min(sizes)), ("greatest", max(sizes))):
            yield Size(f"{what}, {place}: {word} width", design, width, error)


def within_scale(x: np.ndarray, n: int, band: Band, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The band of each study ``(r, N)``, cut at 0 and 100; some are wider than the scale. In parts, for memory."""
    parts = [band(x[batch.start : batch.stop], n, draw) for batch in simulation._batches(len(x))]
    lower, upper = (np.clip(np.concatenate(ends), 0, BEST) for ends in zip(*parts, strict=True))
    return lower, upper


def pooled(weights: np.ndarray, variances: np.ndarray, seeds: int) -> np.ndarray:
    """Half the width of a grid's band by one variance of all assignments, of ``weights (N, n)``: ``(n,)``."""
    variance = variances.mean() * float(median_variance(np.array(seeds)))
    return np.asarray(student.ppf(0.975, len(variances) * (seeds - 1)) * np.sqrt(variance * (weights**2).sum(axis=0)))


def _grids(repeats: int, draw: np.random.Generator) -> Iterator[Rate]:
    """Fixed assignments of which every fourth, with the best or without, varies more over seeds than the others."""
    for (size, seeds), times, first in product(((12, 2), (12, 5), (40, 5)), (2, 4), (1, 2)):
        draws = np.array([1, size // 4, size // 2, size])
        quality = np.sort(simulation.SHAPES["exponential"](draw, (size,)))
        weights = evp.weights(size, draws, "u")
        noise = np.full((size, 1), simulation._NOISE)
        noise[-first::-4] *= times
        many = np.median(quality[:, None] + noise * draw.normal(size=(20_000, size, seeds)), axis=2)
        truth = evp.expected_best(many, "u", draws).mean(axis=0)
        held = {"pooled": np.zeros(len(draws)), "own, as shown": np.zeros(len(draws))}
        for repeat in range(repeats):
            scores = quality[:, None] + noise * draw.normal(size=(size, seeds))
            values = simulation._values(scores, "grid", str(repeat))
            off = np.abs(values.medians @ weights - truth)
            held["pooled"] += off <= pooled(weights, values.variances, seeds)
            held["own, as shown"] += off <= half_widths(values, weights)
        for what, counts in held.items():
            design = f"N = {size}, {seeds} seeds, {times} times, {'with' if first == 1 else 'without'} the best"
            for word, count in (("least", counts.min()), ("most", counts.max())):
                yield Rate(f"band of a grid, variances {what}: {word}", design, 0.95, count / repeats, repeats)
