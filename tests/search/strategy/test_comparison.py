"""The rules that cut trials short, against the same rules in a few lines and against Ray Tune's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from helpers.records import record_of
from helpers.stub_study import write_study
from ray.tune.schedulers import AsyncHyperBandScheduler, MedianStoppingRule

from search import study
from search.strategy.comparison import Comparison, SuccessiveHalving, comparisons
from search.strategy.study_search import StudySearch
from search.study import EarlyStopping


class Named(NamedTuple):
    trial_id: str


def side_by_side(seed: int, comparison: Comparison) -> Iterator[tuple[str, int, float, float]]:
    """Trials that are trained side by side, each with its own pace and to its own end, or until it is cut short.

    Gives trial, epoch, score and the best score so far.
    """
    rng = np.random.default_rng(seed)
    curves = {str(i): list(rng.normal(60, 4) + np.cumsum(rng.normal(0, 1, rng.integers(4, 12)))) for i in range(60)}
    reached = dict.fromkeys(curves, 0)
    while reached:
        trial = str(rng.choice(sorted(reached)[:8]))
        reached[trial] += 1
        epoch = reached[trial]
        yield trial, epoch, float(curves[trial][epoch - 1]), float(max(curves[trial][:epoch]))
        if trial in comparison._cut or epoch == len(curves[trial]):
            del reached[trial]


class TestComparison:
    """Ray's rules, trial by trial, against the same rules written down in a few lines."""

    @pytest.mark.parametrize(("grace", "factor"), [(1, 3), (2, 2), (1, 4)])
    def test_asha_keeps_the_top_part_of_each_rung(self, grace: int, factor: int) -> None:
        rng = np.random.default_rng(grace * 10 + factor)
        rule = EarlyStopping(rule="asha", grace_epochs=grace, reduction_factor=float(factor))
        comparison = Comparison(rule, 20)
        rungs: dict[int, list[float]] = {grace * factor**i: [] for i in range(5) if grace * factor**i <= 20}
        for trial in range(60):
            curve = np.cumsum(rng.normal(0.5, 1.0, 20)) + 50
            stopped = None
            for epoch in range(1, 20):
                behind = False
                if epoch in rungs:
                    best = max(curve[:epoch])
                    if rungs[epoch]:
                        behind = best < np.percentile(rungs[epoch], 100 * (1 - 1 / factor))
                    rungs[epoch].append(best)
                assert comparison.update(str(trial), epoch, curve[epoch - 1]) == behind
                if behind:
                    stopped = epoch
                    break
            if stopped:
                assert comparison.update(str(trial), stopped + 1, 100.0), "once behind, always behind"

    def test_the_median_rule_compares_with_running_means(self) -> None:
        rng = np.random.default_rng(1)
        comparison = Comparison(EarlyStopping(rule="median", grace_epochs=2), 10)
        curves: list[np.ndarray] = []
        cut = 0
        for trial in range(30):
            curve = rng.normal(60, 5) + np.cumsum(rng.normal(0.5, 1.0, 10))
            for epoch in range(1, 10):
                means = [np.mean(c[1:epoch]) for c in curves if len(c) >= epoch >= 2]
                behind = epoch >= 2 and len(means) >= 3 and max(curve[:epoch]) < np.median(means)
                assert comparison.update(str(trial), epoch, curve[epoch - 1]) == behind
                if behind:
                    cut += 1
                    curve = curve[:epoch]
                    break
            else:
                curve = curve[:9]
            curves.append(curve)
        assert 3 < cut < 27

    def test_a_score_that_is_not_finite_says_nothing(self) -> None:
        comparison = Comparison(EarlyStopping(rule="asha"), 9)
        for trial in range(5):
            assert not comparison.update(str(trial), 1, 50.0 + trial)
        assert not comparison.update("nan", 1, float("nan"))
        assert comparison.update("low", 1, 1.0)

    def test_nobody_is_cut_short_in_the_last_epoch(self) -> None:
        comparison = Comparison(EarlyStopping(rule="asha", reduction_factor=2.0), 4)
        for trial in range(9):
            for epoch in range(1, 5):
                behind = comparison.update(str(trial), epoch, 100.0 if epoch < 4 else 100.0 - trial)
                assert not (behind and epoch == 4)

    def test_an_epoch_that_comes_again_counts_once(self) -> None:
        """Of a pack that was started again: its best epoch is not compared with itself."""
        comparison = Comparison(EarlyStopping(rule="median", grace_epochs=1), 9)
        for trial in range(4):
            for epoch in (1, 2, 3):
                comparison.learn(str(trial), epoch, 50.0 + trial)
        for trial in range(4):
            for _ in range(9):
                assert not comparison.update(str(trial), 1, 0.0)
        assert not comparison.update("new", 1, 51.6), "the median is that of 50, 51, 52 and 53"

    @pytest.mark.parametrize("grace", [1, 3])
    @pytest.mark.parametrize("seed", range(4))
    def test_the_median_rule_decides_as_ray_tunes_own(self, seed: int, grace: int) -> None:
        comparison = Comparison(EarlyStopping(rule="median", grace_epochs=grace), 12)
        ray = MedianStoppingRule("epoch", "score", "max", grace_period=grace)
        controller = SimpleNamespace(get_live_trials=list)
        cut = 0
        for trial, epoch, score, _ in side_by_side(seed, comparison):
            theirs = ray.on_trial_result(controller, Named(trial), {"epoch": epoch, "score": score})
            assert comparison.update(trial, epoch, score) == (theirs == "STOP")
            cut += theirs == "STOP"
        assert 5 < cut < 55

    @pytest.mark.parametrize(("grace", "factor"), [(1, 3.0), (2, 2.0), (1, 4.0), (3, 2.5)])
    @pytest.mark.parametrize("seed", range(4))
    def test_asha_decides_as_ray_tunes_own(self, seed: int, grace: int, factor: float) -> None:
        """Ray's sees the best score so far: whether a trial has peaked is no reason to cut it short."""
        comparison = Comparison(EarlyStopping(rule="asha", grace_epochs=grace, reduction_factor=factor), 12)
        ray = AsyncHyperBandScheduler("epoch", "score", "max", max_t=12, grace_period=grace, reduction_factor=factor)
        cut = 0
        for trial, epoch, score, best in side_by_side(seed, comparison):
            if epoch == 1:
                ray.on_trial_add(None, Named(trial))
            theirs = ray.on_trial_result(None, Named(trial), {"epoch": epoch, "score": best})
            assert comparison.update(trial, epoch, score) == (theirs == "STOP")
            cut += theirs == "STOP"
        assert 5 < cut < 58

    def test_trials_that_stay_where_they_are_do_not_fall_behind_each_other(self) -> None:
        """As many do, at the score of the most frequent class; a mean of equal values is that value."""
        comparison = Comparison(EarlyStopping(rule="median"), 30)
        for trial in range(9):
            for epoch in range(1, 30):
                assert not comparison.update(str(trial), epoch, 52.707581227436826)


@pytest.mark.parametrize("rule", ["asha", "median"])
def test_trials_of_earlier_runs_are_known_whole_and_in_any_order(rule: str, tmp_path: Path) -> None:
    """All of them trained to their end, so each is in every rung, though the later ones were worse at once."""
    rates = {"learning_rate": [i / 1000 for i in range(1, 10)], "batch_size": [16]}
    protocol = {"epochs": 9, "patience": 9, "max_length": 32}
    path = write_study(tmp_path, defaults=rates, seeds=5, search={"early_stopping": rule}, protocol=protocol)
    study_search = StudySearch(study.load(path), {})
    (cell,) = study_search.cells.values()
    records = {
        trial.id: replace(record_of(trial, 90.0 - i), history=tuple((e, 80.0 - i + e, 0.5, 1.0) for e in range(1, 10)))
        for i, trial in enumerate(cell.trials.values())
    }
    (comparison,) = comparisons(study_search, records).values()
    assert not any(comparison.learn(trial_id, 9, 0.0) for trial_id in records)
    middle = 80.0 - 22
    if rule == "asha":
        assert isinstance(comparison.rule, SuccessiveHalving)
        assert {epoch: len(reached) for epoch, reached in comparison.rule.rungs} == {1: 45, 3: 45, 9: 0}
    else:
        assert not comparison.update("above", 5, middle + 3.1), "the median of the means of five epochs is 3 more"
        assert comparison.update("below", 5, middle + 2.9)
