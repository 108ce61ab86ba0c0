"""Metrics of many resamples of the same examples at once: what :mod:`common.metrics` gives, without a loop.

A resample is a row of weights: how often each example is in it. Metrics on classes are made of weighted counts,
correlations of weighted moments and, for Spearman's, of weighted midranks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from common.metrics import METRICS

_BLOCK = 4_000_000  # weights held at once


def bootstrap(n_examples: int, resamples: int, stream: np.random.Generator) -> Iterator[np.ndarray]:
    """Weights of ``resamples`` bootstrap samples in blocks, ``(block, n_examples)`` each."""
    rows = max(1, _BLOCK // n_examples)
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        drawn = stream.integers(n_examples, size=(count, n_examples)) + np.arange(count)[:, None] * n_examples
        yield np.bincount(drawn.ravel(), minlength=count * n_examples).reshape(count, n_examples).astype(np.float32)


def halves(n_examples: int, splits: int, stream: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Weights of random halves of the examples and of what each leaves, ``(splits, n_examples)`` both."""
    order = np.argsort(stream.random((splits, n_examples)), axis=1)
    first = (order < n_examples // 2).astype(np.float32)
    return first, 1 - first


def scores(metric: str, weights: np.ndarray, predicted: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """The metric's score in percent on each resample, ``(resamples, models)``.

    Args:
        metric: a key of ``METRICS``.
        weights: ``(resamples, n_examples)``.
        predicted: ``(models, n_examples)``.
        gold: ``(n_examples,)``.
    """
    parts = METRICS[metric].parts
    if METRICS[metric].on == "values":
        return 100 * np.mean([_correlations(part, weights, predicted, gold) for part in parts], axis=0)

    def count(event: Event) -> np.ndarray:
        return (weights @ event(predicted).T.astype(np.float32)).astype(np.float64)  # whole numbers, so exact

    total = weights.sum(axis=1, dtype=np.float64)[:, None]
    classes = np.union1d(gold, predicted.ravel())
    return 100 * np.mean([_agreements(part, count, total, classes, gold) for part in parts], axis=0)


def exchanged(metric: str, swaps: np.ndarray, sides: Sequence[np.ndarray], gold: np.ndarray) -> np.ndarray:
    """The difference of two methods' mean scores, in percent, where they change answers: ``(exchanges,)``.

    Args:
        metric: one on classes.
        swaps: 1 where an example's answers change sides, ``(exchanges, examples)``, of the examples on which the sides
            differ, in their order.
        sides: both methods' answers, ``(models, n_examples)`` each, as many models of both.
        gold: ``(n_examples,)``.
    """
    differ = (sides[0] != sides[1]).any(axis=0)
    classes, total = np.union1d(gold, np.ravel(sides)), np.array(float(len(gold)))
    weights = swaps.astype(np.float32)
    scored = []
    for own, other in (sides, sides[::-1]):

        def count(event: Event, own: np.ndarray = own, other: np.ndarray = other) -> np.ndarray:
            mine, theirs = (event(side).astype(np.float32) for side in (own, other))
            return (mine.sum(axis=1) + weights @ (theirs - mine)[:, differ].T).astype(np.float64)

        parts = METRICS[metric].parts
        scored.append(np.mean([_agreements(part, count, total, classes, gold) for part in parts], axis=0).mean(axis=1))
    return 100 * (scored[0] - scored[1])


#: Which examples are counted, of answers ``(models, n_examples)``, and how many they are, ``(resamples, models)``.
Event = Callable[[np.ndarray], np.ndarray]
Count = Callable[[Event], np.ndarray]


def _agreements(part: str, count: Count, total: np.ndarray, classes: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """Accuracy, F1 and Matthews' coefficient from counts by class, ``(resamples, models)``."""
    if part == "accuracy":
        return count(lambda answers: answers == gold) / total
    classes = np.array([1]) if part == "f1" else classes
    right = np.stack([count(lambda answers, c=c: (answers == c) & (gold == c)) for c in classes])  # type: ignore[misc]
    given = np.stack([count(lambda answers, c=c: answers == c) for c in classes])  # type: ignore[misc]
    there = np.stack([count(lambda answers, c=c: (gold == c)[None]) for c in classes])  # type: ignore[misc]
    return _matthews(right, given, there, total) if part == "matthews" else _f1(right, given, there)


def _f1(right: np.ndarray, given: np.ndarray, there: np.ndarray) -> np.ndarray:
    """The mean over the classes that are given or there; 0 where none is."""
    sums = given + there
    values = 2 * right / np.where(sums > 0, sums, 1)
    return np.asarray(values.sum(axis=0) / np.maximum((sums > 0).sum(axis=0), 1))


def _matthews(right: np.ndarray, given: np.ndarray, there: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Matthews' coefficient of any number of classes (Gorodkin 2004); 0 where either side is of one class."""
    spread = (total**2 - (given**2).sum(axis=0)) * (total**2 - (there**2).sum(axis=0))
    agreement = right.sum(axis=0) * total - (given * there).sum(axis=0)
    return np.where(spread > 0, agreement / np.sqrt(np.where(spread > 0, spread, 1)), 0.0)


def _correlations(part: str, weights: np.ndarray, predicted: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """Pearson's correlation of the values, or of their midranks in each resample; 0 where either does not vary."""
    weights = weights.astype(np.float64)
    if part == "pearson":
        return _pearson(weights, predicted.astype(np.float64), gold.astype(np.float64))
    target, spread = _midranks(gold, weights)
    target *= weights
    found = []
    for answers in predicted:
        ranks, own = _midranks(answers, weights)
        both = own * spread
        covariance = np.einsum("bn,bn->b", ranks, target)
        found.append(np.where(both > 0, covariance / np.sqrt(np.where(both > 0, both, 1)), 0.0))
    return np.stack(found, axis=1)


def _pearson(weights: np.ndarray, predicted: np.ndarray, gold: np.ndarray) -> np.ndarray:
    total = weights.sum(axis=1)[:, None]
    left, right = predicted - predicted.mean(axis=1, keepdims=True), (gold - gold.mean())[None]
    a, b, ab, aa, bb = (weights @ x.T / total for x in (left, right, left * right, left * left, right * right))
    spread_a, spread_b = aa - a * a, bb - b * b
    vary = (spread_a > 1e-12 * aa) & (spread_b > 1e-12 * bb)
    return np.where(vary, (ab - a * b) / np.sqrt(np.where(vary, spread_a * spread_b, 1)), 0.0)


def _midranks(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rank of each example in each resample, less their mean, ``(resamples, n_examples)``, and the sum of squares.

    Ties have the mean of their ranks.
    """
    _, place = np.unique(values, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(place.max() + 1))
    counts = np.add.reduceat(weights[:, order], starts, axis=1)  # (resamples, distinct values)
    ranks = np.cumsum(counts, axis=1) - (counts - 1) / 2
    ranks -= (weights.sum(axis=1, keepdims=True) + 1) / 2
    return ranks[:, place], np.einsum("bu,bu,bu->b", counts, ranks, ranks)
