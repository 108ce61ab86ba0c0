"""The stopping rule as Tune sees it. That Tune obeys it: test_tuner.py, with a loop that never stops by itself."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from ray.tune.schedulers import TrialScheduler

from search.schedulers import Comparison, PackPatience, PatienceScheduler
from search.study import EarlyStopping
from search.trainable import Job, Report
from trainables import tasks
from trainables.member import Member
from trainables.trial import BackboneSource, Epoch, Pack, Protocol, Result, Trial


def pack(members: int = 1, epochs: int = 100, patience: int = 2) -> Pack:
    source = BackboneSource("tiny", "tiny")
    protocol = Protocol(epochs=epochs, patience=patience)
    first = Trial(source, tasks.get("glue/rte"), "bitfit", {"learning_rate": 0.1, "batch_size": 8}, 0, protocol)
    return Pack(tuple(replace(first, seed=seed) for seed in range(members)))


def at(trial: Trial, epoch: int, score: float, loss: float = 0.5) -> tuple[str, Epoch]:
    return trial.id, Epoch(epoch, score, loss, 1.0)


SCORES = {
    "falls at once": [50, 40, 40, 40, 40],
    "rises, then falls": [50, 60, 55, 55, 55],
    "a tie is no improvement": [50, 50, 50, 50],
    "rises just in time": [50, 40, 51, 40, 40, 40],
    "to the last epoch": [1, 2, 3, 4, 5, 6, 7, 8],
    "not a number": [50, math.nan, 60, 70],
}


@pytest.mark.parametrize("scores", SCORES.values(), ids=SCORES)
def test_a_member_ends_in_the_epoch_in_which_the_loop_ends_it(scores: list[float]) -> None:
    one = pack(epochs=8)
    patience, member = PackPatience(one), Member(one.trials[0])
    for epoch, score in enumerate(scores, start=1):
        member.close_epoch({"score": score}, 0.5, 1.0, dict)
        assert patience.update([at(one.trials[0], epoch, score)]) == (member.status is not None)
        if member.status is not None:
            return
    pytest.fail("neither of them stopped")


def test_a_loss_that_is_not_finite_ends_a_member() -> None:
    one = pack()
    assert PackPatience(one).update([at(one.trials[0], 1, 50.0, math.inf)])


def test_a_pack_ends_with_its_last_member() -> None:
    two = pack(members=2)
    first, second = two.trials
    patience = PackPatience(two)
    assert not patience.update([at(first, 1, 50), at(second, 1, 50)])
    assert not patience.update([at(first, 2, 40), at(second, 2, 60)])
    assert not patience.update([at(first, 3, 40), at(second, 3, 60)])
    assert patience.ended == {first.id}
    assert patience.update([at(second, 4, 60)])


def test_a_member_with_a_result_has_ended() -> None:
    two = pack(members=2)
    patience = PackPatience(two)
    assert not patience.update([], [two.trials[0].id])
    assert patience.update([], [two.trials[1].id])


def test_epochs_that_come_again_count_once() -> None:
    """A worker died after epoch 2 and its pack goes on from epoch 1."""
    one = pack()
    (trial,) = one.trials
    patience = PackPatience(one)
    assert not patience.update([at(trial, 1, 50), at(trial, 2, 40)])
    assert not patience.update([at(trial, 2, 40)])
    assert patience.update([at(trial, 3, 40)])


def test_the_scheduler_decides_for_each_pack_alone() -> None:
    scheduler = PatienceScheduler()
    packs = {"a": pack(patience=1), "b": pack(patience=3)}
    tune_trials = {
        name: SimpleNamespace(trial_id=name, config={"job": Job(p, "train", "storage", "cache", 1)})
        for name, p in packs.items()
    }

    def decide(name: str, epoch: int, score: float) -> str:
        report = Report([at(packs[name].trials[0], epoch, score)])
        return scheduler.on_trial_result(None, tune_trials[name], {"report": report})

    assert decide("a", 1, 50) == decide("b", 1, 50) == TrialScheduler.CONTINUE
    assert decide("a", 2, 40) == TrialScheduler.STOP
    assert decide("b", 2, 40) == TrialScheduler.CONTINUE
    scheduler.on_trial_complete(None, tune_trials["a"], {})
    assert decide("a", 1, 50) == TrialScheduler.CONTINUE, "nothing is kept of a pack that has ended"


def test_a_report_with_the_results_of_all_members_stops() -> None:
    one = pack()
    tune_trial = SimpleNamespace(trial_id="a", config={"job": Job(one, "train", "storage", "cache", 1)})
    result = Result(one.trials[0].id, "finished", 50.0, 1, (), 10)
    decision = PatienceScheduler().on_trial_result(None, tune_trial, {"report": Report([], [result])})
    assert decision == TrialScheduler.STOP


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
                comparison.update(str(trial), epoch, 50.0 + trial)
        held = {trial.trial_id: len(results) for trial, results in comparison._rule._results.items()}
        for trial in range(4):
            assert not comparison.update(str(trial), 1, 0.0) or trial < 2
        assert {trial.trial_id: len(results) for trial, results in comparison._rule._results.items()} == held
