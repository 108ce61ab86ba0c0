"""How often that which was tried for a report and is not shown would be wrong: intervals, tests and rankings.

On the searches of ``_rates_inference.py`` and the answers of ``_rates_tests.py``. Bands of Expected Validation
Performance are in ``_rates_tried_evp.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product

import numpy as np
from scipy import stats

from analysis import exact, examples, inference
from analysis.exact import LEVEL
from analysis.predictions import Predictions
from benchmarks import _rates_inference as simulation
from benchmarks._rates import Rate, Size
from benchmarks._rates_inference import Design, Simulated
from benchmarks._rates_tests import _answers

Interval = tuple[np.ndarray, np.ndarray, np.ndarray]  # mean, lower, upper
DESIGNS = [
    *(Design(assignments=a, apart=apart) for a, apart in product((8, 40), (0.0, 1.0, 2.0))),
    *(Design(assignments=12, collapse=share) for share in (0.02, 0.05)),
]
MARGIN = 1.0
_MORE = 5  # times as often: what is cheap and close to its nominal level


def rates(repeats: int, seed: int) -> list[Rate | Size]:
    """Every rate of this file; see ``benchmarks/statistics.py``."""
    random = np.random.default_rng(seed)
    parts = (_intervals, _best_of_eight, _answered, _equivalent, _rankings)
    return [rate for part in parts for rate in part(repeats, random)]


# --- intervals of a macro --------------------------------------------------------------------------------------------


def not_inflated(run: Simulated) -> Interval:
    """Medians held out, as a report has them, without the factor 2(S − 1)/S."""
    mean, _, _, variances = simulation.macro_held_out(run)
    seeds = run.scores.shape[-1]
    plain = variances / inference.median_inflation(np.array(seeds))
    half = inference.mean_interval(np.zeros(plain.shape), plain, np.full(plain.shape, seeds - 1))[2]
    return mean, mean - half, mean + half


def means(run: Simulated) -> Interval:
    """The mean of the scores held out in the place of their median; the choice is the same."""
    fresh, spread = run.held_out()
    seeds = fresh.shape[-1]
    variances = inference.median_inflation(np.array(seeds)) * spread / seeds
    mean, lower, upper = inference.mean_interval(fresh.mean(axis=-1), variances, np.full(spread.shape, seeds - 1))
    return mean, lower, upper


def halves(run: Simulated, independent: int) -> Interval:
    """Chosen by half of the seeds (three of five) and scored by the median of the rest, the mean over all splits. They
    overlap; the variance is that of a median of so many ``independent`` seeds."""
    scores, seeds = run.scores, run.scores.shape[-1]
    medians, spreads = [], []
    for choosing in map(list, combinations(range(seeds), (seeds + 1) // 2)):
        best = np.median(scores[..., choosing], axis=-1).argmax(axis=-1)[..., None, None]
        own = np.take_along_axis(scores, best, axis=2)[:, :, 0]  # (r, t, s)
        medians.append(np.median(np.delete(own, choosing, axis=-1), axis=-1))
        spreads.append(own.var(axis=-1, ddof=1))
    variances = inference.median_variance(np.array(independent)) * np.mean(spreads, axis=0)
    df = np.full(variances.shape, seeds - 1)
    mean, lower, upper = inference.mean_interval(np.mean(medians, axis=0), variances, df)
    return mean, lower, upper


def wald(scores: np.ndarray, thresholds: np.ndarray) -> Interval:
    """Wald's band of a performance profile, by the variance within tasks: share of ``scores (r, t, s)`` above each."""
    *_, tasks, seeds = scores.shape
    shares = (scores[..., None] > thresholds).mean(axis=-2)  # (r, t, k)
    half = stats.norm.ppf(0.975) * np.sqrt((shares * (1 - shares)).sum(axis=-2) / (seeds - 1)) / tasks
    share = shares.mean(axis=-2)
    return share, share - half, share + half


def _intervals(repeats: int, random: np.random.Generator) -> Iterator[Rate | Size]:
    for design in DESIGNS:
        run = simulation.simulated(design, repeats, random)
        truth, mean_truth = run.truth(design.seeds), run.fresh.mean(axis=(1, 2))
        shown = simulation.macro_held_out(run)
        averaged, halved, narrow = means(run), halves(run, design.seeds // 2), halves(run, design.seeds)
        for what, true, (lower, upper) in (
            ("macro, bootstrap with selection: misses", truth, simulation.macro_bootstrap(run, random)),
            ("macro, held out, not inflated: misses", truth, not_inflated(run)[1:]),
            ("macro of means, held out: misses", mean_truth, averaged[1:]),
            ("macro by halves, variance of one split: misses", truth, halved[1:]),
            ("macro by halves, variance of all seeds: misses", truth, narrow[1:]),
        ):
            yield Rate(what, str(design), LEVEL, simulation._missed(true, lower, upper), repeats)
        missed = simulation._missed(*simulation._bootstrapped_iqm(run, design.seeds, random))
        yield Rate("IQM, confirmed, bootstrap: misses", str(design), LEVEL, missed, repeats)
        for kind, scores in (("held out", run.held_out()[0]), ("confirmed", run.fresh[:, :, : design.seeds])):
            missed = _missed_profile(run, scores)
            yield Rate(f"profile, {kind}, Wald: misses at a threshold", str(design), LEVEL, missed, repeats)
        for what, (_, lower, upper) in (
            ("macro, held out", shown[:3]),
            ("macro of means, held out", averaged),
            ("macro by halves, variance of one split", halved),
            ("macro by halves, variance of all seeds", narrow),
        ):
            yield Size.of(f"{what}: width", str(design), upper - lower)
        for what, off in (
            ("macro, held out", shown[0] - truth),
            ("macro of means, held out", averaged[0] - mean_truth),
            ("macro by halves", halved[0] - truth),
        ):
            yield Size.of(f"{what}: above the truth", str(design), off)


def _missed_profile(run: Simulated, scores: np.ndarray) -> float:
    """At thresholds that 2 to 98 % of fresh scores are above, as in ``_rates_inference.py``."""
    thresholds = np.linspace(50, 100, 51)
    shares = np.stack([(run.fresh > t).mean(axis=(1, 2)) for t in thresholds], axis=-1)
    _, lower, upper = wald(scores, thresholds)
    return float(np.mean(((shares < lower) | (shares > upper))[(shares > 0.02) & (shares < 0.98)]))


def far_from_best(macros: np.ndarray, variances: np.ndarray, df: int, comparisons: int) -> np.ndarray:
    """Whether any of ``macros (m, r)`` is shown to be below the best of them, ``(r,)``, by Bonferroni's intervals for
    so many ``comparisons``; ``variances (m, r, t)`` of the tasks."""
    best = macros.argmax(axis=0)[None]
    gaps = np.take_along_axis(macros, best, axis=0) - macros
    reference = np.broadcast_to(np.take_along_axis(variances, best[..., None], axis=0), variances.shape)
    error, joint = inference.joined(np.concatenate([variances, reference], axis=-1), np.array(df))
    half = stats.t.ppf(1 - LEVEL / comparisons / 2, joint) * error / variances.shape[-1]
    return np.asarray((gaps > half).any(axis=0))


def _best_of_eight(repeats: int, random: np.random.Generator) -> Iterator[Rate]:
    """Equal methods of one assignment against the one that the same scores make the best."""
    design, repeats = Design(assignments=1, apart=0.0), _MORE * repeats
    runs = [simulation.macro_held_out(simulation.simulated(design, repeats, random)) for _ in range(8)]
    macros, variances = np.stack([run[0] for run in runs]), np.stack([run[3] for run in runs])  # (8, r), (8, r, t)
    for name, comparisons in (("7 comparisons", 7), ("all 28 pairs", 28)):
        wrong = float(far_from_best(macros, variances, design.seeds - 1, comparisons).mean())
        what = f"any of 8 equal is below the best, for {name}"
        yield Rate(what, str(design), LEVEL, wrong, repeats)


# --- tests -----------------------------------------------------------------------------------------------------------


def bootstrap_p(drawn: np.ndarray) -> float:
    """Twice the smaller tail of resampled differences about zero."""
    return float(min(1.0, 2 * (min((drawn <= 0).sum(), (drawn >= 0).sum()) + 1) / (len(drawn) + 1)))


def _answered(repeats: int, random: np.random.Generator) -> Iterator[Rate]:
    """Examples drawn anew in pairs, and answers exchanged as a report does, on the same answers of equal methods."""
    for metric in ("accuracy_macro_f1", "accuracy_f1", "matthews"):
        count = _MORE * repeats
        p: dict[str, list[float]] = {"paired bootstrap": [], "exchange of answers": []}
        for i in range(count):
            gold, *sides = _answers(random, metric, 56, 3)
            kept = [
                (name, Predictions(metric, own, gold)) for name, side in zip("ab", sides, strict=True) for own in side
            ]
            found = dict(examples._resampled(kept, str(i)))
            p["paired bootstrap"].append(bootstrap_p(found["a"].resampled - found["b"].resampled))
            p["exchange of answers"].append(examples._pair(found["a"], found["b"])["p"])
        for name, own in p.items():
            share = float(np.mean(np.array(own) < LEVEL))
            yield Rate(f"{name} rejects ({metric})", "56 examples, 3 models each, equal", LEVEL, share, count)


def equivalent_over_seeds(pairs: exact.Pairs, margin: float, stream: np.random.Generator) -> bool:
    """Two one-sided exchange tests: that the difference is above -margin, and below margin."""
    return all(
        exact._beyond(shifted, exact.difference(shifted), stream)[0] < LEVEL
        for shifted in ([(a + margin, b) for a, b in pairs], [(b + margin, a) for a, b in pairs])
    )


def equivalent_over_tasks(differences: np.ndarray, margin: float) -> bool:
    """The same by two one-sided signed-rank tests."""
    return all(exact._signed_rank_tails(sign * differences + margin)[0] < LEVEL for sign in (1, -1))


def _equivalent(repeats: int, random: np.random.Generator) -> Iterator[Rate]:
    """Methods that are exactly the margin apart are called equal."""
    for tasks, seeds in ((8, 2), (8, 5), (2, 5)):
        found = [
            equivalent_over_seeds(
                [(random.normal(MARGIN, 1, seeds), random.normal(size=seeds)) for _ in range(tasks)], MARGIN, random
            )
            for _ in range(repeats)
        ]
        design = f"{tasks} × {seeds}, the margin apart"
        yield Rate("two one-sided exchange tests call it equal", design, LEVEL, float(np.mean(found)), repeats)
    for tasks in (8, 15):
        found = [equivalent_over_tasks(own, MARGIN) for own in random.normal(MARGIN, 0.5, (repeats, tasks))]
        what = "two one-sided signed-rank tests call it equal"
        yield Rate(what, f"{tasks} tasks, the margin apart", LEVEL, float(np.mean(found)), repeats)


# --- choices ---------------------------------------------------------------------------------------------------------


def _rankings(repeats: int, random: np.random.Generator) -> Iterator[Rate | Size]:
    """By the scores that chose; and ties that go to the smaller deviation."""
    many, few = (np.median(random.normal(size=(repeats, 3, n, 4)), axis=-1).max(axis=-1).mean(axis=-1) for n in (60, 6))
    what, design = "more assignments come first, by the scores that chose", "2 equal methods, 60 against 6, 3 × 4"
    yield Rate(what, design, 0.5, float(np.mean(many > few)), repeats)
    design = Design(tasks=1, assignments=40, apart=0.0)
    scores = simulation.simulated(design, repeats, random).scores[:, 0]
    for rule, std in deviations(scores).items():
        yield Size.of(f"std of the best, ties {rule}", f"CB, {design}", std)


def deviations(scores: np.ndarray) -> dict[str, np.ndarray]:
    """Deviation over seeds of the best median of ``scores (r, a, s)``, by how ties are decided: ``(r,)`` each."""
    medians, std = np.median(scores, axis=-1), scores.std(axis=-1, ddof=1)
    best = medians == medians.max(axis=-1, keepdims=True)
    first = np.take_along_axis(std, best.argmax(axis=-1)[:, None], axis=-1)[:, 0]
    return {"to the first": first, "to the smaller deviation": np.where(best, std, np.inf).min(axis=-1)}
