"""The stopping rule as Tune sees it. That Tune obeys it: test_tuner.py, with a loop that never stops by itself."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from helpers.known import known_of
from helpers.stub_study import write_study
from ray.tune.schedulers import MedianStoppingRule, TrialScheduler

from search import study
from search.cells import cell_of
from search.schedulers import Comparison, PackPatience, PatienceScheduler, comparisons
from search.study import EarlyStopping
from search.trainable import Job, Report
from search.work import Work
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


def test_patience_counts_what_was_reached_before_an_interruption() -> None:
    one = pack()
    (trial,) = one.trials
    tune_trial = SimpleNamespace(trial_id="a", config={"job": Job(one, "train", "storage", "cache", 1)})
    report = Report([at(trial, 3, 45)], earlier=[at(trial, 1, 50), at(trial, 2, 40)])
    assert PatienceScheduler().on_trial_result(None, tune_trial, {"report": report}) == TrialScheduler.STOP


def test_a_report_with_the_results_of_all_members_stops() -> None:
    one = pack()
    tune_trial = SimpleNamespace(trial_id="a", config={"job": Job(one, "train", "storage", "cache", 1)})
    result = Result(one.trials[0].id, "finished", 50.0, 1, (), 10)
    decision = PatienceScheduler().on_trial_result(None, tune_trial, {"report": Report([], [result])})
    assert decision == TrialScheduler.STOP


class Named(NamedTuple):
    trial_id: str


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
        """Trials side by side, each with its own pace, that all end at their own time."""
        rng = np.random.default_rng(seed)
        comparison = Comparison(EarlyStopping(rule="median", grace_epochs=grace), 12)
        ray = MedianStoppingRule("epoch", "score", "max", grace_period=grace)
        controller = SimpleNamespace(get_live_trials=list)
        curves = {str(i): list(rng.normal(60, 4) + np.cumsum(rng.normal(0, 1, rng.integers(4, 12)))) for i in range(60)}
        reached = dict.fromkeys(curves, 0)
        cut = 0
        while reached:
            trial = str(rng.choice(sorted(reached)[:8]))
            reached[trial] += 1
            epoch, score = reached[trial], float(curves[trial][reached[trial] - 1])
            behind = comparison.update(trial, epoch, score)
            assert behind == (ray.on_trial_result(controller, Named(trial), {"epoch": epoch, "score": score}) == "STOP")
            cut += behind
            if behind or epoch == len(curves[trial]):
                del reached[trial]
        assert 5 < cut < 55

    def test_trials_that_stay_where_they_are_do_not_fall_behind_each_other(self) -> None:
        """As many do, at the score of the most frequent class; a mean of equal values is that value."""
        comparison = Comparison(EarlyStopping(rule="median"), 30)
        for trial in range(9):
            for epoch in range(1, 30):
                assert not comparison.update(str(trial), epoch, 52.707581227436826)

    @pytest.mark.parametrize("rule", ["asha", "median"])
    def test_a_member_that_is_resumed_is_judged_by_its_whole_curve(self, rule: str) -> None:
        """Its best epoch was before the interruption; the report of its worker brings it again."""
        one = pack(epochs=9, patience=9)
        (trial,) = one.trials
        earlier = [at(trial, 1, 70), at(trial, 2, 80), at(trial, 3, 90)]
        for told, behind in ((earlier, set()), ([], {trial.id})):
            comparison = Comparison(EarlyStopping.model_validate({"rule": rule}), 9)
            for i in range(9):
                for epoch in range(1, 10):
                    comparison.learn(str(i), epoch, 66.0 + i)
            scheduler = PatienceScheduler({cell_of(trial): comparison})
            found = scheduler.compare(one, Report([], earlier=told))
            for epoch in (4, 5, 6, 7, 8):
                found |= scheduler.compare(one, Report([at(trial, epoch, 60.0 + epoch)]))
            assert found == behind

    def test_what_a_member_reached_before_is_not_judged_again(self) -> None:
        one = pack(members=2, epochs=9, patience=9)
        low, high = one.trials
        comparison = Comparison(EarlyStopping(rule="asha"), 9)
        for i in range(9):
            comparison.learn(str(i), 1, 60.0)
        scheduler = PatienceScheduler({cell_of(low): comparison})
        assert scheduler.compare(one, Report(earlier=[at(low, 1, 50), at(high, 1, 70)])) == set()

    def test_a_member_whose_worker_died_before_it_was_cut_short_is_cut_short_by_the_next(self) -> None:
        one = pack(epochs=9, patience=9)
        (trial,) = one.trials
        comparison = Comparison(EarlyStopping(rule="asha"), 9)
        for i in range(9):
            comparison.learn(str(i), 1, 60.0)
        scheduler = PatienceScheduler({cell_of(trial): comparison})
        assert scheduler.compare(one, Report([at(trial, 1, 50)])) == {trial.id}
        assert scheduler.compare(one, Report(earlier=[at(trial, 1, 50)])) == {trial.id}


@pytest.mark.parametrize("rule", ["asha", "median"])
def test_trials_of_earlier_runs_are_known_whole_and_in_any_order(rule: str, tmp_path: Path) -> None:
    """All of them trained to their end, so each is in every rung, though the later ones were worse at once."""
    rates = {"learning_rate": [i / 1000 for i in range(1, 10)], "batch_size": [16]}
    protocol = {"epochs": 9, "patience": 9, "max_length": 32}
    path = write_study(tmp_path, defaults=rates, seeds=5, search={"early_stopping": rule}, protocol=protocol)
    work = Work(study.load(path), {})
    (cell,) = work.cells.values()
    known = {
        trial.id: replace(known_of(trial, 90.0 - i), history=tuple((e, 80.0 - i + e, 0.5, 1.0) for e in range(1, 10)))
        for i, trial in enumerate(cell.trials.values())
    }
    (comparison,) = comparisons(work, known).values()
    assert not any(comparison.learn(trial_id, 9, 0.0) for trial_id in known)
    middle = 80.0 - 22
    if rule == "asha":
        assert {epoch: len(scores) for epoch, scores in comparison._rule._brackets[0]._rungs} == {1: 45, 3: 45, 9: 0}
    else:
        assert not comparison.update("above", 5, middle + 3.1), "the median of the means of five epochs is 3 more"
        assert comparison.update("below", 5, middle + 2.9)
