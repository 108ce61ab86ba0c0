"""Packs in training, as the driver sees them: how far they got on, and when it gives them up."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from helpers.packs import at, pack
from helpers.stub_study import TRAIN, logged, write_study
from rich.console import Console

from search import study
from search.planning.plan import plan
from search.tune import tuner
from search.tune.running import PackPatience, RunningPack
from search.tune.trainable import PackReport
from search.tune.tuner import Outcome
from search.tune.view import View
from trainables.member import Member
from trainables.trial import Epoch

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
        member.close_epoch({"score": score}, 0.5, 1.0, dict, lambda: None)
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


def test_epochs_that_come_again_are_no_news(tmp_path: Path) -> None:
    """Those of an earlier run are news once, and are part of the history; those of before a worker's death are not."""
    one = plan(study.load(write_study(tmp_path))).packs[0]
    (trial,) = one.trials
    epochs = [(trial.id, Epoch(number, 50.0 + number, 0.5, 1.0)) for number in (1, 2, 3)]
    running = RunningPack(one)
    for report, news in (
        (PackReport(earlier=epochs[:1]), epochs[:1]),
        (PackReport(epochs[1:2]), epochs[1:2]),
        (PackReport(epochs[2:], earlier=epochs[:2]), epochs[2:]),
        (PackReport(epochs[:2]), []),
    ):
        assert running.news(report) == news
        running.update(report)
    assert running.seconds(epochs) == {trial.id: 3.0}
    ((_, result),) = running.close("failed", "why")
    assert result.history == tuple(epoch for _, epoch in epochs)


def test_steps_that_a_checkpoint_holds_are_progress() -> None:
    """A pack of long epochs on machines that do not live long gets on, though no epoch ends."""
    one = pack()
    running, first = RunningPack(one), [at(one.trials[0], 1, 50)]
    assert running.got_on(PackReport(first))
    for resumed, further in (((1, 0), False), ((1, 40), True), ((1, 40), False), ((1, 90), True), ((1, 40), False)):
        assert running.got_on(PackReport(earlier=first, resumed=resumed)) == further
    assert running.got_on(PackReport([at(one.trials[0], 2, 50)]))


@pytest.mark.usefixtures("ray_two_cpus")
def test_a_pack_that_gets_no_further_is_given_up(tmp_path: Path) -> None:
    """Without a checkpoint its first two epochs come again each time, before its worker is killed in the third."""
    one = {"learning_rate": [1e-3], "batch_size": [16]}
    path = write_study(tmp_path, {"kill": {"0.001": 20}, "seconds": 0.25}, defaults=one, seeds=[0])
    (tmp_path / "runs" / "stub" / "checkpoints").rmdir()  # the stub then writes none
    console = Console(record=True, width=250, file=open("/dev/null", "w"))  # noqa: SIM115
    outcome = tuner.run(study.load(path), view=View(console, seconds=0), train=TRAIN)
    assert outcome == Outcome(failed=1)
    assert console.export_text().count("a worker died; a pack of 1 trial") == 2
    ((row,),) = logged(tmp_path).values()
    assert row["tags"]["aot.reason"].startswith("its worker died 3 times in one epoch")
    assert row["metrics"]["epochs"] == 2
