"""Metrics of many resamples at once against the metrics themselves, example by example."""

import numpy as np
import pytest

from analysis import resample
from common.metrics import METRICS, score


def made(metric: str, n: int, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Predictions of four models, one of them constant, and gold."""
    if METRICS[metric].on == "values":
        gold = draw.integers(0, 6, n) / 2
        models = [gold + draw.normal(size=n), draw.integers(0, 3, n), np.full(n, 0.1), gold + draw.normal(size=n) * 3]
        return np.stack(models), gold
    labels = METRICS[metric].labels or 3
    gold = draw.integers(0, labels, n)
    models = [np.where(draw.random(n) < right, gold, draw.integers(0, labels, n)) for right in (0.9, 0.5, 0.0)]
    return np.stack([*models, np.zeros(n, dtype=int)]), gold


@pytest.mark.parametrize("n", [7, 90])
@pytest.mark.parametrize("metric", METRICS)
def test_a_resample_scores_what_its_examples_do(metric: str, n: int) -> None:
    draw = np.random.default_rng(n)
    predicted, gold = made(metric, n, draw)
    weights = np.concatenate(list(resample.bootstrap(n, 25, draw)))
    found = resample.scores(metric, weights, predicted, gold)
    for row, own in zip(found, weights.astype(int), strict=True):
        expected = [score(metric, np.repeat(p, own), np.repeat(gold, own))["score"] for p in predicted]
        assert row == pytest.approx(expected, abs=1e-6)


def test_a_bootstrap_sample_has_as_many_examples() -> None:
    blocks = list(resample.bootstrap(3_000, 2_000, np.random.default_rng(0)))
    weights = np.concatenate(blocks)
    assert len(blocks) > 1
    assert weights.shape == (2_000, 3_000)
    assert (weights.sum(axis=1) == 3_000).all()
    assert weights.mean(axis=0).std() == pytest.approx(1 / np.sqrt(2_000), rel=0.1)


def test_halves_leave_each_other() -> None:
    first, second = resample.halves(9, 50, np.random.default_rng(0))
    assert (first + second == 1).all()
    assert (first.sum(axis=1) == 4).all()
    assert first.mean(axis=0) == pytest.approx(4 / 9, abs=0.25)
