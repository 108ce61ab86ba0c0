"""How often the tests of a report reject: equal methods, and differences that are there."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from analysis import exact, examples, ranking
from analysis.exact import LEVEL
from analysis.predictions import Predictions
from benchmarks._rates import Rate

_TRUTH = 2_000  # pairs of methods that the truth of a difference is the mean of
Noise = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def _skewed(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Of deviation 1: close together above, and a long tail of seeds that did badly."""
    return 1 - draw.exponential(size=shape)


def _grid(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Of deviation about 1.5 on a dev set of 100 examples: whole points, many ties."""
    return np.round(draw.normal(0, 1.5, size=shape))


NOISES: dict[str, Noise] = {
    "normal": lambda draw, shape: draw.normal(size=shape),
    "skewed": _skewed,
    "whole points": _grid,
}


def rates(repeats: int, seed: int) -> list[Rate]:
    """Of every test in the reports on significance, ranking and examples."""
    draw = np.random.default_rng(seed)
    parts = (_over_seeds, _families, _best, _over_tasks, _ranks, _detectable, _signs, _answered)
    return [rate for part in parts for rate in part(repeats, draw)]


def _share(what: str, design: str, nominal: float | None, happened: list[bool]) -> Rate:
    return Rate(what, design, nominal, float(np.mean(happened)), len(happened))


# --- seeds -----------------------------------------------------------------------------------------------------------


def _chosen(scores: np.ndarray, choosing: int) -> np.ndarray:
    """The held-out seeds of the best of ``(n_assignments, n_seeds)`` by the median of the first ``choosing``."""
    return np.asarray(scores[np.median(scores[:, :choosing], axis=1).argmax(), choosing:])


def _studies(
    draw: np.random.Generator, noise: Noise, tasks: int, counts: tuple[int, int], seeds: int, held_out: int
) -> exact.Pairs:
    """Scores of two methods of one quality on every task; of ``counts`` assignments each. Without held-out seeds the
    scores are those that chose."""
    pairs = []
    for _ in range(tasks):
        sides = [noise(draw, (count, seeds)) for count in counts]
        if held_out:
            left, right = (_chosen(side, seeds - held_out) for side in sides)
        else:
            left, right = (side[np.median(side, axis=1).argmax()] for side in sides)
        pairs.append((left, right))
    return pairs


def _over_seeds(repeats: int, draw: np.random.Generator) -> Iterator[Rate]:
    """p < 0.05 of equal methods. Designs whose floor is above never reject: 2 tasks of 2 seeds have 2/36."""
    designs = [(8, 5, 2), (8, 10, 5), (3, 6, 3), (2, 10, 5), (1, 10, 5), (2, 4, 2)]
    for name, noise in NOISES.items():
        for tasks, seeds, held_out in designs:
            p = [exact.exchange(_studies(draw, noise, tasks, (40, 8), seeds, held_out), draw) for _ in range(repeats)]
            design = f"40 against 8 equal, {tasks} × {held_out} held out, {name}"
            yield _share("exchange test rejects", design, LEVEL, [x < LEVEL for x in p])
    p = [exact.exchange(_studies(draw, NOISES["normal"], 8, (40, 8), 5, 0), draw) for _ in range(repeats)]
    yield _share(
        "(not shown) on the seeds that chose", "40 against 8 equal, 8 × 5, normal", LEVEL, [x < LEVEL for x in p]
    )
    for tasks in (1, 8):
        p = [
            exact.exchange([(draw.normal(size=5), 3 * draw.normal(size=5)) for _ in range(tasks)], draw)
            for _ in range(repeats)
        ]
        yield _share("exchange test rejects", f"{tasks} × 5, deviations 1 and 3", LEVEL, [x < LEVEL for x in p])


def _families(repeats: int, draw: np.random.Generator) -> Iterator[Rate]:
    """Any of six equal methods against a seventh, after Holm."""
    for tasks, seeds in ((8, 2), (1, 5)):
        hits = []
        for _ in range(repeats):
            scores = draw.normal(size=(7, tasks, seeds))
            p = [exact.exchange(list(zip(own, scores[0], strict=True)), draw) for own in scores[1:]]
            hits.append(min(exact.holm(p)) < LEVEL)
        yield _share("any of 6 is shown after Holm", f"7 equal methods, {tasks} × {seeds}", LEVEL, hits)


def _best(repeats: int, draw: np.random.Generator) -> Iterator[Rate]:
    """Any of six equal methods against the one with the best macro by all seeds, of which the last two are tested."""
    for count in (8, 2, 1):
        hits = []
        for _ in range(repeats):
            scores = draw.normal(size=(7, 6, count, 5))
            best = np.median(scores, axis=-1).max(axis=-1).mean(axis=-1).argmax()
            held = [[_chosen(cell, 3) for cell in own] for own in scores]
            others = [own for i, own in enumerate(held) if i != best]
            p = [exact.exchange(list(zip(own, held[best], strict=True)), draw) for own in others]
            hits.append(min(exact.holm(p)) < LEVEL)
        design = f"7 equal methods of {count}, 6 × 2 held out"
        yield _share("any of 6 against the best is shown", design, LEVEL, hits)


# --- tasks -----------------------------------------------------------------------------------------------------------


def _over_tasks(repeats: int, draw: np.random.Generator) -> Iterator[Rate]:
    for tasks in (6, 7, 8, 15):
        for name, noise in NOISES.items():
            gaps = noise(draw, (repeats, tasks)) - noise(draw, (repeats, tasks))
            yield _share("signed-rank test rejects", f"{tasks} tasks, equal, {name}", LEVEL,
                         [exact.signed_rank(own) < LEVEL for own in gaps])  # fmt: skip
        inside = [
            lower <= 0 <= upper for _, lower, upper in map(exact.typical_difference, draw.normal(size=(repeats, tasks)))
        ]
        yield _share("interval holds the typical difference", f"{tasks} tasks, normal", 0.95, inside)


def _ranks(repeats: int, draw: np.random.Generator) -> Iterator[Rate]:
    """Any pair told apart among equal methods, and a pair of equals among others that are steadier than they."""
    for tasks, methods in ((8, 7), (7, 7), (6, 3)):
        critical = ranking.critical_difference(tasks, methods)
        ranks = draw.random((repeats, tasks, methods)).argsort(axis=2).argsort(axis=2).mean(axis=1)
        yield _share("any pair told apart by mean ranks", f"{methods} equal methods, {tasks} tasks", LEVEL,
                     (np.ptp(ranks, axis=1) >= critical - 1e-9).tolist())  # fmt: skip
    scores = draw.normal(size=(repeats, 8, 7)) * np.array([10, 10, 1, 1, 1, 1, 1])
    ranks = scores.argsort(axis=2).argsort(axis=2).mean(axis=1)
    apart = np.abs(ranks[:, 0] - ranks[:, 1]) >= ranking.critical_difference(8, 7) - 1e-9
    yield _share("two equals told apart by mean ranks", "2 wild among 5 steady, 8 tasks", LEVEL, apart.tolist())


# --- examples --------------------------------------------------------------------------------------------------------


def _signs(repeats: int, draw: np.random.Generator) -> Iterator[Rate]:
    for n, count in ((277, 1), (277, 5), (56, 5), (9_815, 5)):
        hits = []
        for _ in range(repeats):
            hard = draw.beta(2, 0.6, size=n)  # of each example, shared by the methods, and by a method's models
            own = [np.clip(hard + draw.normal(0, 0.2, size=n), 0, 1) for _ in range(2)]
            left, right = ((draw.random((count, n)) < chance).sum(axis=0) for chance in own)
            hits.append(exact.signs(left - right)[0] < LEVEL)
        yield _share("signs of examples reject (accuracy)", f"{n} examples, {count} models each, equal", LEVEL, hits)


def _answers(draw: np.random.Generator, metric: str, n: int, count: int, worse: float = 0.0) -> list[np.ndarray]:
    """Gold, and the answers of two methods, ``(count, n)`` each; the second errs more often by ``worse``."""
    if metric == "pearson_spearman":
        gold = draw.normal(size=n)
        return [gold, *(gold + draw.normal(0, 0.4, size=n) + draw.normal(0, 0.3, size=(count, n)) for _ in range(2))]
    labels = 3 if metric == "accuracy_macro_f1" else 2
    gold = draw.choice(labels, size=n, p=(0.5, 0.41, 0.09) if labels == 3 else (0.32, 0.68))
    sides = []
    for more in (0.0, worse):
        hard = draw.beta(0.6, 2.4, size=n)
        wrong = draw.random((count, n)) < hard + more
        sides.append(np.where(wrong, (gold + draw.integers(1, labels, size=n)) % labels, gold))
    return [gold, *sides]


def _compared(metric: str, answers: list[np.ndarray], name: str) -> dict:
    """What a report says of two methods' answers."""
    gold, *sides = answers
    kept = [(method, Predictions(metric, own, gold)) for method, side in zip("ab", sides, strict=True) for own in side]
    found = dict(examples._resampled(kept, name))
    return examples._pair(found["a"], found["b"])


def _gap(metric: str, answers: list[np.ndarray]) -> float:
    gold, *sides = answers
    one, other = (examples.Answers(metric, side, gold, np.empty(0)).score for side in sides)
    return one - other


def _answered(repeats: int, draw: np.random.Generator) -> Iterator[Rate]:
    """How often equal methods are told apart, and how often the interval of others holds by how much they differ."""
    designs = [("accuracy_f1", 408), ("matthews", 1_043), ("accuracy_macro_f1", 56), ("pearson_spearman", 1_500)]
    for metric, n in designs:
        count = min(repeats, 100 if metric == "pearson_spearman" else 400)  # half a second each
        pairs = [_compared(metric, _answers(draw, metric, n, 3), str(i)) for i in range(count)]
        design = f"{n} examples, 3 models each, equal"
        yield _share(f"examples reject ({metric})", design, LEVEL, [pair["p"] < LEVEL for pair in pairs])
        inside = [pair["lower"] <= 0 <= pair["upper"] for pair in pairs]
        yield _share(f"the interval holds the truth ({metric})", design, 0.95, inside)
    for metric, n in designs[:3]:
        truth = np.mean([_gap(metric, _answers(draw, metric, n, 3, 0.1)) for _ in range(_TRUTH)])
        pairs = [_compared(metric, _answers(draw, metric, n, 3, 0.1), str(i)) for i in range(min(repeats, 400))]
        inside = [pair["lower"] <= truth <= pair["upper"] for pair in pairs]
        design = f"{n} examples, 3 models each, apart"
        yield _share(f"the interval holds the truth ({metric})", design, 0.95, inside)


# --- power -----------------------------------------------------------------------------------------------------------


def _detectable(repeats: int, draw: np.random.Generator) -> Iterator[Rate]:
    """At the detectable difference that known deviations give, of the first of six comparisons: 80 of 100."""
    for tasks, seeds in ((8, 2), (8, 5), (2, 5), (1, 5)):
        base = np.linspace(-1, 1, seeds) / np.std(np.linspace(-1, 1, seeds), ddof=1)
        effect = exact.detectable_exchange([(base, base)] * tasks, 6)
        found = [
            6 * exact.exchange([(draw.normal(effect, 1, seeds), draw.normal(0, 1, seeds)) for _ in range(tasks)], draw)
            < LEVEL
            for _ in range(repeats)
        ]
        yield _share("power at the detectable difference, over seeds", f"{tasks} × {seeds}: {effect:.1f} deviations",
                     exact.POWER, found)  # fmt: skip
    base = np.linspace(-1, 1, 8) / np.std(np.linspace(-1, 1, 8), ddof=1)
    effect = exact.detectable_signed_rank(base, 6)
    found = [6 * exact.signed_rank(own) < LEVEL for own in draw.normal(effect, 1, size=(repeats, 8))]
    design = f"8 tasks: {effect:.1f} deviations"
    yield _share("power at the detectable difference, over tasks", design, exact.POWER, found)
