"""Metrics against counts and formulas written out here, and against known values."""

from __future__ import annotations

import math
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from common.metrics import METRICS, PARTS, majority, score

ROOT = Path(__file__).parents[2]
PREDICTIONS = np.array([1, 1, 0, 0, 1, 0, 1, 1])
LABELS = np.array([1, 0, 0, 1, 1, 0, 1, 0])  # 3 true and 2 false positives, 2 true and 1 false negatives


def counted_f1(predictions: np.ndarray, labels: np.ndarray, positive: int) -> float:
    hits = int(((predictions == positive) & (labels == positive)).sum())
    said, there = int((predictions == positive).sum()), int((labels == positive).sum())
    return 2 * hits / (said + there) if said + there else 0.0


def test_known_values_of_the_parts() -> None:
    assert score("accuracy", PREDICTIONS, LABELS) == {"score": 62.5, "accuracy": 62.5}
    assert score("f1", PREDICTIONS, LABELS)["f1"] == pytest.approx(100 * 6 / 9)
    expected = 100 * (3 * 2 - 2 * 1) / math.sqrt(5 * 4 * 4 * 3)
    assert score("matthews", PREDICTIONS, LABELS)["score"] == pytest.approx(expected)


def test_the_score_is_the_mean_of_its_parts() -> None:
    both = score("accuracy_f1", PREDICTIONS, LABELS)
    assert both["score"] == pytest.approx((62.5 + 100 * 6 / 9) / 2)
    assert set(both) == {"score", "accuracy", "f1"}


def test_macro_f1_weighs_classes_alike() -> None:
    labels, predictions = np.array([0, 0, 0, 0, 1, 2]), np.array([0, 0, 0, 0, 2, 2])
    expected = np.mean([counted_f1(predictions, labels, c) for c in range(3)])
    assert score("accuracy_macro_f1", predictions, labels)["macro_f1"] == pytest.approx(100 * expected)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40))
def test_classes_against_counting(pairs: list[tuple[int, int]]) -> None:
    predictions, labels = np.array(pairs).T
    present = sorted(set(predictions) | set(labels))
    macro = np.mean([counted_f1(predictions, labels, c) for c in present])
    found = score("accuracy_macro_f1", predictions, labels)
    assert found["accuracy"] == pytest.approx(100 * np.mean([p == y for p, y in pairs]))
    assert found["macro_f1"] == pytest.approx(100 * macro)
    binary = score("accuracy_f1", (predictions == 1).astype(int), (labels == 1).astype(int))
    assert binary["f1"] == pytest.approx(100 * counted_f1(predictions == 1, labels == 1, positive=1))


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(0, 5)), min_size=3, max_size=40))
def test_correlations_against_their_formulas(pairs: list[tuple[int, int]]) -> None:
    predictions, labels = np.array(pairs, dtype=float).T
    found = score("pearson_spearman", predictions, labels)
    if np.ptp(predictions) == 0 or np.ptp(labels) == 0:
        assert found == {"score": 0.0, "pearson": 0.0, "spearman": 0.0}
        return
    assert found["pearson"] == pytest.approx(100 * np.corrcoef(predictions, labels)[0, 1], abs=1e-8)
    ranks = np.corrcoef(rankdata(predictions), rankdata(labels))[0, 1]
    assert found["spearman"] == pytest.approx(100 * ranks, abs=1e-8)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("constant", [0, 1])
def test_constant_predictions_have_a_score_and_give_no_warning(metric: str, constant: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = score(metric, np.full(8, constant, dtype=np.float32), LABELS)
    assert all(math.isfinite(v) for v in found.values())
    if METRICS[metric].on == "values" or metric == "matthews":
        assert found["score"] == 0


def test_nearly_constant_predictions_do_not_correlate() -> None:
    predictions = np.full(8, 0.1) + np.array([0, 1e-17] * 4)
    assert score("pearson", predictions, LABELS.astype(float))["score"] == 0


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_predictions_that_are_not_finite_have_no_score(metric: str, bad: float) -> None:
    predictions = PREDICTIONS.astype(float)
    predictions[3] = bad
    found = score(metric, predictions, LABELS)
    assert set(found) == {"score", *METRICS[metric].parts}
    assert all(math.isnan(v) for v in found.values())


@pytest.mark.parametrize("metric", METRICS)
def test_perfect_predictions_score_100(metric: str) -> None:
    assert score(metric, LABELS, LABELS)["score"] == pytest.approx(100)
    assert set(METRICS[metric].parts) <= set(PARTS)


def test_errors_name_the_rule_and_the_value() -> None:
    with pytest.raises(ValueError, match=r"unknown metric 'bleu'; known: accuracy"):
        score("bleu", PREDICTIONS, LABELS)
    with pytest.raises(ValueError, match=r"same length.*\(8,\) and \(7,\)"):
        score("accuracy", PREDICTIONS, LABELS[:7])


@given(st.sampled_from([n for n, m in METRICS.items() if m.on == "classes"]), st.lists(st.integers(0, 3), min_size=1))
def test_the_majority_s_score_is_that_of_the_best_constant(metric: str, drawn: list[int]) -> None:
    """Of all classes that there are, also those that are no label of this split."""
    classes = METRICS[metric].labels or 4
    labels = np.array(drawn) % classes
    found = [score(metric, np.full(len(labels), c), labels)["score"] for c in range(classes)]
    assert majority(metric, labels) == max(found)


def test_the_majority_s_score_by_hand() -> None:
    labels = np.array([1, 1, 1, 0])
    assert majority("accuracy", labels) == 75.0
    assert majority("f1", labels) == pytest.approx(100 * 6 / 7)
    assert majority("accuracy_f1", labels) == pytest.approx((75 + 100 * 6 / 7) / 2)
    assert majority("macro_f1", labels) == pytest.approx(100 * 3 / 7), "a class that is never said has F1 0"
    assert majority("matthews", labels) == 0.0
    assert majority("f1", np.zeros(5, dtype=int)) == 0.0
    assert majority("accuracy_f1", 1 - labels) == pytest.approx(75 / 2), "0 for all, as 1 for all has 65 / 2"
    assert majority("pearson_spearman", np.array([0.5, 2.0, 3.0])) == 0.0
    with pytest.raises(ValueError, match="unknown metric 'bleu'"):
        majority("bleu", labels)


def test_libraries_are_imported_ahead_where_a_metric_needs_them() -> None:
    code = (
        "import sys, threading; from common import metrics\n"
        "def ahead(metric):\n"
        "    metrics.import_ahead(metric)\n"
        "    for thread in threading.enumerate()[1:]: thread.join()\n"
        "    return set(sys.modules)\n"
        "def grown(metric): metrics.score(metric, [0, 1, 1], [0, 0, 1]); return len(sys.modules) - len(known)\n"
        "started = set(sys.modules); known = ahead('accuracy'); print(known == started, grown('accuracy') < 10)\n"
        "for metric in metrics.METRICS: known = ahead(metric); print(metric, grown(metric) < 10)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["True True", *(f"{metric} True" for metric in METRICS)]
