"""Packs that are trained along with others: whoever joins when, each trial gives what it gives alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from helpers.added import ADDED, every_name
from helpers.checkpoints import DeathError, checkpoints, finish, kept_files, make, workspace
from helpers.colours import values
from helpers.families import save_tiny
from helpers.members import assert_same_member
from torch import Tensor

from trainables import backbones, methods, training
from trainables.change import Change
from trainables.checkpoint import Storage
from trainables.optim import Members
from trainables.roster import behind, together
from trainables.trial import Pack, Protocol, Result

pytestmark = pytest.mark.usefixtures("added_methods")
NAMES = every_name()
PACKED = [name for name in NAMES if name in ADDED or methods.get(name).max_members is None]


STEPS, EPOCHS = 2, 5  # of 15 rows in batches of 8


class Made:
    """Packs with dropout, on a backbone and a task."""

    def __init__(self, folder: Path) -> None:
        (folder / "task").mkdir()
        self.backbone = backbones.resolve(str(save_tiny("bert", folder / "bert")))
        self.task = values(folder / "task")

    def packs(self, method: str = "lora", patience: int = 1) -> tuple[Pack, Pack]:
        """Of three and two members. One of each learns: the others stop as soon as patience allows.

        What is left of the first has room for all of the second, but for being in another epoch.
        """
        learning = make(self.backbone, method).trials[1]
        protocol = Protocol(EPOCHS, patience, max_length=16)
        first, second = (
            tuple(
                replace(
                    learning,
                    task=self.task,
                    protocol=protocol,
                    seed=seed + number,
                    hyperparameters={**learning.hyperparameters, "learning_rate": rate},
                )
                for number, rate in enumerate((1e-30, 5e-3, 1e-30))
            )
            for seed in (0, 10)
        )
        return Pack(first), Pack(second[:2])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made"))


class Sizes(list[int]):
    """Members of each step; ``death``: the step, counted from 1, in whose middle the process dies."""

    death = 0


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> Sizes:
    found, update = Sizes(), Members.step

    def noted(members: Members, loss: Tensor) -> None:
        if len(found) + 1 == found.death:
            raise DeathError
        found.append(len(members))
        update(members, loss)

    monkeypatch.setattr(Members, "step", noted)
    return found


def run(where: training.Workspace, first: Pack, along: Mapping[int, Sequence[Pack]]) -> dict[str, Result]:
    """Train ``first`` with those that come along in answer to items, counted from 1."""
    results: dict[str, Result] = {}
    seen: set[tuple[str, int]] = set()
    steps, change = training.train(first, where), None
    number = 0
    while True:
        try:
            progress = steps.send(change)
        except StopIteration:
            return results
        reached = {(i, e.epoch) for i, e in progress.epochs.items()}
        assert not reached & seen, "an epoch was trained twice"
        seen |= reached
        results |= {r.trial_id: r for r in progress.results}
        number += 1
        change = Change(along=along[number]) if number in along else None


def same(results: dict[str, Result], expected: dict[str, Result]) -> None:
    """But for the rounding of products of more or fewer members."""
    assert results.keys() == expected.keys()
    for trial_id, result in results.items():
        alone = expected[trial_id]
        assert (result.status, result.best_epoch) == (alone.status, alone.best_epoch)
        assert [e.epoch for e in result.history] == [e.epoch for e in alone.history]
        assert [e.score for e in result.history] == pytest.approx([e.score for e in alone.history], abs=2e-3)
        losses = [e.train_loss for e in alone.history]
        assert [e.train_loss for e in result.history] == pytest.approx(losses, rel=1e-3)


def weights(result: Result, where: training.Workspace) -> dict[str, Tensor]:
    assert result.weights is not None
    saved = Storage(where.storage).read_tensors(result.weights)
    assert saved is not None
    return saved[0]


@pytest.mark.parametrize(("method", "moment"), [("lora", 1), ("lora", 3), *((method, 2) for method in PACKED)])
def test_whenever_a_trial_joins_it_gives_what_it_gives_alone(
    method: str, moment: int, made: Made, tmp_path: Path, sizes: Sizes
) -> None:
    """With dropout everywhere; members stop by patience, and both packs end up as one."""
    first, second = made.packs(method, patience=EPOCHS if moment == 3 else 1)
    alone = workspace(tmp_path / "alone", math.inf)
    expected = {i: r for pack in (first, second) for t in pack.trials for i, r in finish(Pack((t,)), alone).items()}
    sizes.clear()
    where = workspace(tmp_path / "along", math.inf)
    results = run(where, first, {moment: [second]})
    same(results, expected)
    for trial in first.trials + second.trials:
        assert_same_member(trial, *(weights(results[trial.id], one) for one in (where, alone)))
    assert sum(sizes) == STEPS * sum(result.epochs for result in expected.values())


def test_they_go_on_together_from_the_epoch_in_which_they_fit(made: Made, tmp_path: Path, sizes: Sizes) -> None:
    first, second = made.packs()
    expected = finish(first, workspace(tmp_path / "one", math.inf)) | finish(
        second, workspace(tmp_path / "two", math.inf)
    )
    apart = len(sizes)
    sizes.clear()
    same(run(workspace(tmp_path / "along", math.inf), first, {1: [second]}), expected)
    assert len(sizes) < apart
    assert max(sizes) <= 3, "no more than fit"
    by_epoch = [sum(r.epochs >= epoch for r in expected.values()) for epoch in range(1, EPOCHS + 1)]
    assert len(sizes) == STEPS * sum(-(-members // 3) for members in by_epoch)


@pytest.mark.usefixtures("_always")
@pytest.mark.parametrize("death", [2, 2 * STEPS, 3 * STEPS + 2, 4 * STEPS + 2, 6 * STEPS + 2])
@pytest.mark.parametrize("again", ["along", "apart"])
def test_a_death_costs_a_step_and_nothing_is_lost(
    death: int, again: str, made: Made, tmp_path: Path, sizes: Sizes
) -> None:
    """Alone, apart in different epochs, and together; afterwards with the other one again, or each on its own.

    The checkpoint is one of every step, so that no more than one is done again. Nobody can tell from the results.
    """
    first, second = made.packs()
    undisturbed, where = workspace(tmp_path / "one", math.inf), workspace(tmp_path / "two", 0)
    expected = finish(first, undisturbed) | finish(second, undisturbed)
    sizes.clear()
    sizes.death = death
    with pytest.raises(DeathError):
        run(where, first, {1: [second]})
    sizes.death = 0
    results = run(where, first, {1: [second]}) if again == "along" else finish(second, where) | finish(first, where)
    same(results, expected)
    assert sum(sizes) == STEPS * sum(result.epochs for result in expected.values()), "no step is lost or done twice"
    assert kept_files(where).keys() == kept_files(undisturbed).keys()
    for pack in (first, second):
        training.discard(pack, where)
    assert checkpoints(where) == []


@pytest.mark.usefixtures("_always")
def test_a_death_between_the_checkpoints_of_two_packs(
    made: Made, tmp_path: Path, sizes: Sizes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are trained together, and then one is a step ahead of the other: who is behind catches up first."""
    first, second = made.packs()
    where = workspace(tmp_path / "two", 0)
    expected = finish(first, workspace(tmp_path / "one", math.inf))
    expected |= finish(second, workspace(tmp_path / "one", math.inf))
    sizes.clear()
    write, written = Storage.write_tensors, []

    def dying(storage: Storage, name: str, tensors: Mapping[str, Tensor], state: Any) -> None:
        if (state.get("epoch"), state.get("step")) == (4, 1):
            if written:
                raise DeathError
            written.append(name)
        write(storage, name, tensors, state)

    monkeypatch.setattr(Storage, "write_tensors", dying)
    with pytest.raises(DeathError):
        run(where, first, {1: [second]})
    monkeypatch.setattr(Storage, "write_tensors", write)
    assert sizes[-1] == 2, "they were together"
    files = [Storage(where.storage).read_tensors(f"checkpoints/{pack.group}.safetensors") for pack in (first, second)]
    assert sorted((file[1]["epoch"], file[1]["step"]) for file in files if file) == [(3, 0), (4, 1)]
    same(run(where, first, {1: [second]}), expected)
    assert sum(sizes) == STEPS * sum(result.epochs for result in expected.values()) + 1


def test_one_that_is_closed_leaves_a_checkpoint_of_each(made: Made, tmp_path: Path, sizes: Sizes) -> None:
    first, second = made.packs(patience=EPOCHS)
    where = workspace(tmp_path, math.inf)
    expected = finish(first, workspace(tmp_path / "one", math.inf)) | finish(
        second, workspace(tmp_path / "two", math.inf)
    )
    sizes.clear()
    steps = training.train(first, where)
    next(steps)
    next(steps)
    assert steps.send(Change(along=[second])).epochs.keys() == {trial.id for trial in second.trials}
    steps.close()
    assert f"{first.group}.safetensors" in checkpoints(where)
    assert f"{second.group}.safetensors" in checkpoints(where)
    results = run(where, second, {1: [first]})
    same(results, expected)
    assert sum(sizes) == 5 * EPOCHS * STEPS


def test_a_pack_that_waits_has_checkpoints_too(
    made: Made, tmp_path: Path, sizes: Sizes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the other's turn for three epochs; a death then costs no epoch of the one that waits."""
    first, second = made.packs(patience=EPOCHS)
    where = workspace(tmp_path, math.inf)
    steps = training.train(first, where)
    for _ in range(3):
        next(steps)
    next_of_second = steps.send(Change(along=[second]))
    assert next_of_second.epoch == 1
    monkeypatch.setattr("trainables.pack_checkpoint.PackCheckpoint.due", property(lambda own: True))
    next(steps)
    sizes.death = len(sizes) + 1
    with pytest.raises(DeathError):
        next(steps)
    monkeypatch.undo()
    assert next(training.train(first, where)).resumed == (3, 0)


def test_a_member_of_another_pack_is_cut_short(made: Made, tmp_path: Path) -> None:
    """Of one that waits, and of one that is trained together with the first."""
    first, second = made.packs(patience=EPOCHS)
    expected = finish(first, workspace(tmp_path / "one", math.inf)) | finish(
        second, workspace(tmp_path / "two", math.inf)
    )
    steps = training.train(first, workspace(tmp_path / "along", math.inf))
    next(steps)
    reached = steps.send(Change(along=[second]))
    victims = {first.trials[0].id, first.trials[2].id, second.trials[1].id}
    answer = steps.send(Change(cut=victims))
    assert {(r.trial_id, r.status, r.epochs) for r in answer.results} == {(i, "pruned", 1) for i in victims}
    assert reached.epoch == 1
    results = {r.trial_id: r for progress in steps for r in progress.results}
    same(results, {i: result for i, result in expected.items() if i not in victims})


def test_a_pack_joins_when_the_first_is_done(made: Made, tmp_path: Path) -> None:
    """As after the death of a worker that had trained two, one of which had ended."""
    first, second = made.packs()
    where = workspace(tmp_path, math.inf)
    expected = finish(first, where) | finish(second, workspace(tmp_path / "two", math.inf))
    steps = training.train(first, where)
    assert next(steps).done
    again = [steps.send(Change(along=[second])), *steps]
    assert again[-1].done
    same({r.trial_id: r for progress in again for r in progress.results}, {t.id: expected[t.id] for t in second.trials})


@dataclass
class Stub:
    """As much of a pack as decides on whose turn it is."""

    active: list[str]
    epoch: int
    step: int = 0
    absorbed: list[str] = field(default_factory=list)

    @property
    def closed(self) -> int:
        return self.epoch - (self.step > 0)

    def absorb(self, other: Stub) -> None:
        self.absorbed += other.active


@pytest.mark.parametrize(
    ("one", "other", "places", "fit"),
    [
        (Stub(["a"], 3), Stub(["b", "c"], 3), 3, True),
        (Stub(["a", "b"], 3), Stub(["c", "d"], 3), 3, False),
        (Stub(["a"], 3), Stub(["b"], 4), 3, False),
        (Stub(["a"], 3), Stub(["b"], 3, 7), 3, False),
        (Stub(["a"], 3, 7), Stub(["b"], 3, 7), 3, False),
        (Stub([], 3), Stub(["b"], 3), 3, False),
    ],
)
def test_who_goes_on_together(one: Stub, other: Stub, places: int, fit: bool) -> None:
    one, other = replace(one, absorbed=[]), replace(other, absorbed=[])
    left = together([one, other], places)
    assert len(left) == (1 if fit else sum(bool(run.active) for run in (one, other)))
    assert sorted(i for run in (one, other) for i in run.absorbed) == (
        sorted(min((one.active, other.active), key=len)) if fit else []
    )


def test_who_is_behind() -> None:
    begun, whole, ahead = Stub(["a"], 4, 2), Stub(["b"], 3), Stub(["c"], 4)
    assert behind([ahead, begun, whole]) is whole
    assert behind([ahead, begun]) is begun
