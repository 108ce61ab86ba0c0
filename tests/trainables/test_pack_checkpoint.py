"""Checkpoints by time: what a death costs, and that nobody can tell afterwards."""

from __future__ import annotations

import math
import os
import pickle
import random
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from helpers.checkpoints import (
    EPOCHS,
    STEPS,
    Steps,
    checkpoints,
    die,
    finish,
    kept_files,
    make,
    outcome,
    workspace,
)
from helpers.families import save_tiny
from helpers.servers import until
from torch import Tensor

from trainables import backbones, methods, pack_checkpoint, training
from trainables.checkpoint import Storage
from trainables.pack_checkpoint import SAVING_SHARE, PackCheckpoint
from trainables.trial import BackboneSource, Pack

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> BackboneSource:
    return backbones.resolve(str(save_tiny("bert", tmp_path_factory.mktemp("bert"))))


every_step = pytest.mark.usefixtures("_always")


class Clock:
    """A clock that goes on by ``step`` seconds whenever the loop looks whether a checkpoint is due."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        monkeypatch.setattr(pack_checkpoint.time, "monotonic", lambda: self.now)
        due = PackCheckpoint.due.fget

        def looked(checkpoint: PackCheckpoint) -> bool:
            self.now += 1
            return due(checkpoint)

        monkeypatch.setattr(PackCheckpoint, "due", property(looked))


@every_step
@pytest.mark.parametrize("death", [3, STEPS, STEPS + 1, 3 * STEPS - 1])
@pytest.mark.parametrize("method", ["lora", "aot_fc", "fine_tuning"])
def test_a_death_in_the_middle_of_an_epoch_costs_a_step_and_changes_nothing(
    method: str, death: int, backbone: BackboneSource, tmp_path: Path, steps: Steps
) -> None:
    pack = make(backbone, method, methods.get(method).max_members or 2)
    undisturbed, where = workspace(tmp_path / "one", math.inf), workspace(tmp_path / "two", 0)
    expected = finish(pack, undisturbed)
    die(pack, where, steps, death)
    again = finish(pack, where)
    assert steps.begun == EPOCHS * STEPS - (death - 1), "what was done before is not done again"
    assert outcome(again) == outcome(expected)
    assert kept_files(where) == kept_files(undisturbed)
    training.discard(pack, where)
    assert checkpoints(where) == []


@every_step
def test_a_process_that_is_killed_at_any_moment(backbone: BackboneSource, tmp_path: Path) -> None:
    """With -9, most often while it writes: a step is lost each time, and all files are those of an undisturbed run."""
    pack = make(backbone, members=4)
    undisturbed, where = workspace(tmp_path / "one", math.inf), workspace(tmp_path / "two", 0)
    expected = finish(pack, undisturbed)
    (tmp_path / "pack.pickle").write_bytes(pickle.dumps((pack, where)))
    counted, moments = tmp_path / "steps", random.Random(8)
    counted.touch()
    command = [sys.executable, "-m", "helpers.killed", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])}
    for kill in range(3):
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        until(lambda kill=kill: counted.stat().st_size >= (kill + 1) * (STEPS - 1))
        time.sleep(moments.random() * 0.02)  # whenever: what is asserted does not depend on it
        process.kill()
        process.wait()
        assert checkpoints(where)
    results = finish(pack, where)
    assert counted.stat().st_size <= EPOCHS * STEPS
    assert outcome(results) == outcome(expected)
    assert kept_files(where) == kept_files(undisturbed)


def test_a_checkpoint_is_written_when_it_is_time(
    backbone: BackboneSource, tmp_path: Path, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every four seconds of a clock on which a step takes one, and the end of an epoch another."""
    pack, where = make(backbone), workspace(tmp_path, 4)
    Clock(monkeypatch)
    die(pack, where, steps, 4)
    assert checkpoints(where) == [], "three steps and then a death: it was not time yet"
    die(pack, where, steps, 7)
    assert f"{pack.group}.safetensors" in checkpoints(where)
    finish(pack, where)
    assert steps.begun == EPOCHS * STEPS - 4


def test_where_writing_is_slow_it_is_done_seldom(
    backbone: BackboneSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack, where = make(backbone), workspace(tmp_path, 2)
    clock, write, written = Clock(monkeypatch), Storage.write_tensors, []

    def slow(storage: Storage, name: str, *content: object) -> None:
        clock.now += 0.5
        if name == f"checkpoints/{pack.group}.safetensors":
            written.append(clock.now)
        write(storage, name, *content)

    monkeypatch.setattr(Storage, "write_tensors", slow)
    finish(pack, where)
    assert written[1] - written[0] >= SAVING_SHARE * 0.5
    assert len(written) <= 1 + EPOCHS * (STEPS + 1) / (SAVING_SHARE * 0.5) + 1


def test_one_that_is_closed_leaves_a_checkpoint_and_one_that_fails_does_not(
    backbone: BackboneSource, tmp_path: Path, steps: Steps
) -> None:
    pack, where = make(backbone), workspace(tmp_path, math.inf)
    running = training.train(pack, where)
    next(running)
    with pytest.raises(torch.OutOfMemoryError):
        running.throw(torch.OutOfMemoryError("somewhere"))
    assert checkpoints(where) == []
    running = training.train(pack, where)
    next(running)
    running.close()
    assert checkpoints(where)
    steps.begun = 0
    finish(pack, where)
    assert steps.begun == (EPOCHS - 1) * STEPS
    assert checkpoints(where) == [f"{pack.group}.safetensors"], "until its results are recorded"


@every_step
def test_best_weights_are_written_when_they_are_better(
    backbone: BackboneSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack, where = make(backbone, patience=EPOCHS), workspace(tmp_path, 0)
    write, written = Storage.write_tensors, []

    def noted(storage: Storage, name: str, tensors: Mapping[str, Tensor], state: object) -> None:
        written.append(name)
        write(storage, name, tensors, state)
        if name == f"checkpoints/{pack.group}.safetensors":
            assert not any("/best/" in tensor for tensor in tensors)

    monkeypatch.setattr(Storage, "write_tensors", noted)
    results = finish(pack, where)
    assert written.count(f"checkpoints/{pack.group}.safetensors") == EPOCHS * (STEPS + 1)
    for trial_id, result in results.items():
        best = [float("-inf")]
        for epoch in result.history[:-1]:  # with the last one it has ended, and its weights are in their own file
            name = f"checkpoints/{pack.group}-{trial_id}-best-{epoch.epoch}.safetensors"
            assert written.count(name) == (epoch.score > max(best)), name
            best.append(epoch.score)
    assert checkpoints(where) == [f"{pack.group}.safetensors"], "what is not the best any more is deleted"


@pytest.mark.parametrize("damage", ["missing", "cut off"])
def test_best_weights_that_are_damaged(
    damage: str, backbone: BackboneSource, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pack, where = make(backbone), workspace(tmp_path / "two", math.inf)
    expected = finish(pack, workspace(tmp_path / "one", math.inf))
    running = training.train(pack, where)
    next(running)
    running.close()
    (file,) = Path(where.storage).glob(f"checkpoints/*-{pack.trials[0].id}-best-1.*")
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-10])
    assert outcome(finish(pack, where)) == outcome(expected)
    assert f"the pack starts afresh: {file} is {'missing' if damage == 'missing' else 'damaged'}" in caplog.text


@every_step
def test_packs_with_the_same_trials_leave_each_other_s_files_alone(
    backbone: BackboneSource, tmp_path: Path, steps: Steps, caplog: pytest.LogCaptureFixture
) -> None:
    """As of a study that was edited and edited back: the other pack deletes its own best weights when it gets on."""
    pack, where = make(backbone, members=2), workspace(tmp_path, 0)
    expected = finish(pack, workspace(tmp_path / "whole", math.inf))
    die(pack, where, steps, STEPS + 3)
    finish(Pack(pack.trials[::-1]), where)
    steps.begun = 0
    assert outcome(finish(pack, where)) == outcome(expected)
    assert steps.begun == EPOCHS * STEPS - (STEPS + 2), "it goes on from its own checkpoint"
    assert "set aside" not in caplog.text


@every_step
def test_best_weights_of_a_member_that_ended_meanwhile_go_with_the_next_checkpoint(
    backbone: BackboneSource, tmp_path: Path, steps: Steps
) -> None:
    """Its result was written down after the last checkpoint before a death."""
    pack, where = make(backbone), workspace(tmp_path, 0)
    die(pack, where, steps, STEPS + 3)
    rest = pack.without({pack.trials[0].id})
    assert rest is not None
    finish(rest, where)
    assert checkpoints(where) == [f"{pack.group}.safetensors"]
