"""Members of several ranks or prompt lengths in one pack: each is trained as it is alone, and kept as it is alone."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.checkpoints import EPOCHS, STEPS, Steps, die, finish, kept_files, make, outcome, workspace
from helpers.families import save_tiny

from trainables import backbones, methods, training
from trainables.change import Change
from trainables.checkpoint import Storage
from trainables.pack_state import PackState
from trainables.trial import BackboneSource, Pack, Result, Trial

PADDED = [name for name in methods.names() if methods.padded(methods.get(name))]
every_padded = pytest.mark.parametrize("method", PADDED)
SIZES = (5, 1, 3)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> BackboneSource:
    return backbones.resolve(str(save_tiny("bert", tmp_path_factory.mktemp("bert"))))


def weights(result: Result, where: training.Workspace) -> dict[str, torch.Tensor]:
    tensors, _ = Storage(where.storage).read_tensors(result.weights)
    return tensors


def assert_same(together: Result, alone: Result, where: tuple[training.Workspace, training.Workspace]) -> None:
    """To rounding; the tensors are of the member's own sizes."""
    assert (together.status, together.best_epoch, together.epochs) == (alone.status, alone.best_epoch, alone.epochs)
    assert together.trainable_parameters == alone.trainable_parameters
    assert [e.score for e in together.history] == pytest.approx([e.score for e in alone.history])
    assert [e.train_loss for e in together.history] == pytest.approx([e.train_loss for e in alone.history], abs=2e-5)
    ours, theirs = (weights(result, one) for result, one in zip((together, alone), where, strict=True))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], atol=2e-5, rtol=0, msg=name)


@pytest.mark.parametrize("leaves", [0, 1], ids=["the widest leaves", "the narrowest leaves"])
@every_padded
def test_each_is_as_it_is_alone(method: str, leaves: int, backbone: BackboneSource, tmp_path: Path) -> None:
    """With dropout. One leaves after the first epoch; the others go on beside its place."""
    pack, where = make(backbone, method, members=3, sizes=SIZES), workspace(tmp_path / "pack", math.inf)
    out = pack.trials[leaves].id
    training_of = training.train(pack, where)
    next(training_of)
    results = {r.trial_id: r for r in training_of.send(Change(cut={out})).results}
    assert results[out].status == "pruned"
    results |= {r.trial_id: r for progress in training_of for r in progress.results}
    for trial in pack.without({out}).trials:
        own = workspace(tmp_path / trial.id, math.inf)
        (alone,) = finish(Pack((trial,)), own).values()
        assert_same(results[trial.id], alone, (where, own))
    assert len({result.trainable_parameters for result in results.values()}) == len(SIZES)


@every_padded
def test_each_is_as_it_is_alone_in_a_pack_made_of_two(
    method: str, backbone: BackboneSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dropout. Both packs lose their widest member after an epoch, and what is left of them goes on as one."""
    four, where = make(backbone, method, members=4, sizes=(5, 1, 5, 3)), workspace(tmp_path / "packs", math.inf)
    first, second = Pack(four.trials[:2]), Pack(four.trials[2:])
    assert first.shape_id == second.shape_id
    joined: list[int] = []
    absorb = PackState.absorb

    def counted(host: PackState, other: PackState) -> None:
        absorb(host, other)
        joined.append(len(host.active))

    monkeypatch.setattr(PackState, "absorb", counted)
    training_of = training.train(first, where)
    next(training_of)
    training_of.send(Change(along=[second]))
    training_of.send(Change(cut={first.trials[0].id, second.trials[0].id}))
    results = {r.trial_id: r for progress in training_of for r in progress.results}
    assert joined == [2]
    for trial in (first.trials[1], second.trials[1]):
        own = workspace(tmp_path / trial.id, math.inf)
        (alone,) = finish(Pack((trial,)), own).values()
        assert_same(results[trial.id], alone, (where, own))


@pytest.mark.usefixtures("_always")
@every_padded
def test_a_killed_one_continues_bit_for_bit(
    method: str, backbone: BackboneSource, steps: Steps, tmp_path: Path
) -> None:
    """In the middle of its second epoch, from a checkpoint whose tensors are of the members' own sizes."""
    pack = make(backbone, method, members=3, sizes=SIZES)
    undisturbed, killed = workspace(tmp_path / "one", math.inf), workspace(tmp_path / "two", 0)
    expected = outcome(finish(pack, undisturbed))
    die(pack, killed, steps, STEPS + 4)
    saved, _ = Storage(killed.storage).read_tensors(f"checkpoints/{pack.group}.safetensors")
    for trial in pack.trials:
        own = {n: t.shape for n, t in initial(trial).items()}
        prefix = f"{trial.id}/parameter/"
        shapes = {n.removeprefix(prefix): t.shape for n, t in saved.items() if n.startswith(prefix)}
        assert own.items() <= shapes.items()
    assert outcome(finish(pack, killed)) == expected
    assert steps.begun == EPOCHS * STEPS - (STEPS + 3)
    assert kept_files(killed) == kept_files(undisturbed)


def initial(trial: Trial) -> dict[str, torch.Tensor]:
    backbone, kind = backbones.load(trial.backbone), methods.get(trial.method)
    return kind(kind.Config(**trial.method_config), backbone.spec).initial(backbone, torch.Generator())


@pytest.mark.usefixtures("_always")
def test_what_is_left_of_one_goes_on_without_the_widest(backbone: BackboneSource, steps: Steps, tmp_path: Path) -> None:
    """Its tensors are then as large as the widest of the rest; so it is with the halves of one that did not fit."""
    pack, where = make(backbone, "p_tuning_v2", members=3, sizes=SIZES), workspace(tmp_path / "pack", 0)
    expected = finish(pack, workspace(tmp_path / "whole", math.inf))
    die(pack, where, steps, STEPS + 4)
    rest = pack.without({pack.trials[0].id})
    assert rest.widest.hyperparameters["prompt_length"] == 3
    for part in (rest, *pack.split()):
        for trial_id, result in finish(part, where).items():
            losses = [e.train_loss for e in result.history]
            assert losses == pytest.approx([e.train_loss for e in expected[trial_id].history], abs=2e-5)


def test_a_pack_names_its_shape_by_the_widest(backbone: BackboneSource) -> None:
    """What a device has no memory for is remembered by it; members of one size have the shape that they had."""
    mixed, wide, narrow = (make(backbone, "lora", 3, sizes=sizes) for sizes in ((1, 5, 3), (5, 5, 5), (1, 1, 1)))
    assert mixed.shape_id == wide.shape_id != narrow.shape_id
    assert narrow.shape_id == Pack(narrow.trials[:1]).shape_id


def test_members_may_differ_in_nothing_else(backbone: BackboneSource) -> None:
    (one, other) = make(backbone, "lora", sizes=(2, 3)).trials
    scaled = replace(other, hyperparameters={**other.hyperparameters, "alpha": 3.0})
    with pytest.raises(ValueError, match="must differ only in learning rate, rank and seed, but got "):
        Pack((one, scaled))
    prompts = make(backbone, "p_tuning_v1", members=1).trials + make(backbone, "p_tuning_v1", 1, sizes=(3,)).trials
    with pytest.raises(ValueError, match="must differ only in learning rate and seed, but got "):
        Pack(prompts)
