"""The stopping rule as Tune sees it. That Tune obeys it: test_tuner.py, with a loop that never stops by itself."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from helpers.packs import at, pack
from ray.tune.schedulers import TrialScheduler

from search.strategy.comparison import Comparison
from search.study import EarlyStopping
from search.tune.running import RunningPack
from search.tune.schedulers import PatienceScheduler
from search.tune.trainable import PackReport
from trainables.trial import Result


def decide(running: RunningPack, report: PackReport) -> str:
    scheduler = PatienceScheduler({})
    scheduler.running["a"] = running
    return scheduler.on_trial_result(None, SimpleNamespace(trial_id="a"), {"report": report})


def test_a_pack_goes_on_until_all_of_its_members_have_ended() -> None:
    two = pack(members=2, patience=1)
    first, second = two.trials
    running = RunningPack(two)
    assert decide(running, PackReport([at(first, 1, 50), at(second, 1, 50)])) == TrialScheduler.CONTINUE
    assert decide(running, PackReport([at(first, 2, 40), at(second, 2, 60)])) == TrialScheduler.CONTINUE
    assert running.patience.ended == {first.id}
    assert decide(running, PackReport([at(second, 3, 40)])) == TrialScheduler.STOP


def test_an_epoch_counts_once_for_the_scheduler_and_for_who_follows_the_pack() -> None:
    """Tune shows every report to both; they share one patience."""
    one = pack(patience=2)
    (trial,) = one.trials
    running = RunningPack(one)
    for epoch, score, decision in ((1, 50, "CONTINUE"), (2, 40, "CONTINUE"), (3, 40, "STOP")):
        report = PackReport([at(trial, epoch, score)])
        assert decide(running, report) == decision
        running.update(report)
    ((_, result),) = running.close("pruned", "stopped by the scheduler")
    assert (result.status, result.score, result.epochs) == ("finished", 50, 3)


def test_patience_counts_what_was_reached_before_an_interruption() -> None:
    one = pack()
    (trial,) = one.trials
    report = PackReport([at(trial, 3, 45)], earlier=[at(trial, 1, 50), at(trial, 2, 40)])
    assert decide(RunningPack(one), report) == TrialScheduler.STOP


def test_a_report_with_the_results_of_all_members_stops() -> None:
    one = pack()
    result = Result(one.trials[0].id, "finished", 50.0, 1, (), 10)
    assert decide(RunningPack(one), PackReport([], [result])) == TrialScheduler.STOP


class TestComparison:
    """What members of a pack are told, by the rule of their cell."""

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
            scheduler = PatienceScheduler({trial.cell: comparison})
            found = scheduler.compare([one], PackReport([], earlier=told))
            for epoch in (4, 5, 6, 7, 8):
                found |= scheduler.compare([one], PackReport([at(trial, epoch, 60.0 + epoch)]))
            assert found == behind

    def test_what_a_member_reached_before_is_not_judged_again(self) -> None:
        one = pack(members=2, epochs=9, patience=9)
        low, high = one.trials
        comparison = Comparison(EarlyStopping(rule="asha"), 9)
        for i in range(9):
            comparison.learn(str(i), 1, 60.0)
        scheduler = PatienceScheduler({low.cell: comparison})
        assert scheduler.compare([one], PackReport(earlier=[at(low, 1, 50), at(high, 1, 70)])) == set()

    def test_a_member_whose_worker_died_before_it_was_cut_short_is_cut_short_by_the_next(self) -> None:
        one = pack(epochs=9, patience=9)
        (trial,) = one.trials
        comparison = Comparison(EarlyStopping(rule="asha"), 9)
        for i in range(9):
            comparison.learn(str(i), 1, 60.0)
        scheduler = PatienceScheduler({trial.cell: comparison})
        assert scheduler.compare([one], PackReport([at(trial, 1, 50)])) == {trial.id}
        assert scheduler.compare([one], PackReport(earlier=[at(trial, 1, 50)])) == {trial.id}
