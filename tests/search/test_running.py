"""Packs in training, as the driver sees them: how far they got on, and when it gives them up."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.stub_study import TRAIN, logged, write_study
from rich.console import Console

from search import study, tuner
from search._running import Running
from search.plan import plan
from search.trainable import Report
from search.tuner import Outcome
from search.view import View
from trainables.trial import Epoch


def test_epochs_that_come_again_are_no_news(tmp_path: Path) -> None:
    """Those of an earlier run are news once, and are part of the history; those of before a worker's death are not."""
    pack = plan(study.load(write_study(tmp_path))).packs[0]
    (trial,) = pack.trials
    epochs = [(trial.id, Epoch(number, 50.0 + number, 0.5, 1.0)) for number in (1, 2, 3)]
    running = Running(pack)
    for report, news in (
        (Report(earlier=epochs[:1]), epochs[:1]),
        (Report(epochs[1:2]), epochs[1:2]),
        (Report(epochs[2:], earlier=epochs[:2]), epochs[2:]),
        (Report(epochs[:2]), []),
    ):
        assert running.news(report) == news
        running.update(report)
    assert running.seconds(epochs) == {trial.id: 3.0}
    ((_, result),) = running.close("failed", "why")
    assert result.history == tuple(epoch for _, epoch in epochs)


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
