"""The stopping rule as Tune sees it. That Tune obeys it: test_tuner.py, with a loop that never stops by itself."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
from ray.tune.schedulers import TrialScheduler

from search.schedulers import PackPatience, PatienceScheduler
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
