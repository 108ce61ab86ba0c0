"""What a method draws once and never trains: kept wherever its member is kept, and never drawn again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.families import save_tiny, tiny_batch
from helpers.members import hidden, plain, stacked
from torch import Tensor

from trainables import backbones, methods, pack_checkpoint, tasks, training
from trainables.backbones import Seams
from trainables.checkpoint import Storage
from trainables.methods import FROZEN
from trainables.trial import BackboneSource, Pack, Protocol, Result, Trial

pytestmark = pytest.mark.usefixtures("added_methods")

DRAWN = {f"{FROZEN}a", f"{FROZEN}b"}
PROTOCOL = Protocol(epochs=6, patience=2, max_length=64, train_rows=48, dev_rows=48)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> BackboneSource:
    return backbones.resolve(str(save_tiny("bert", tmp_path_factory.mktemp("bert"))))


@pytest.fixture
def pack(backbone: BackboneSource) -> Pack:
    """Three members that leave one by one: the first learns nothing."""
    task = tasks.resolve(tasks.get("demo/entailment"))
    rates = (1e-9, 1e-3, 1e-1)
    values = [{"learning_rate": rate, "batch_size": 8, "rank": 4} for rate in rates]
    return Pack(tuple(Trial(backbone, task, "vera_example", v, seed, PROTOCOL) for seed, v in enumerate(values)))


def workspace(folder: Path) -> training.Workspace:
    """One in which every step leaves a checkpoint."""
    return training.Workspace(str(folder / "study"), str(folder / "cache"), "cpu", threads=1, checkpoint_seconds=0)


def finish(pack: Pack, where: training.Workspace) -> dict[str, Result]:
    return {r.trial_id: r for progress in training.train(pack, where) for r in progress.results}


def saved(where: training.Workspace, name: str) -> dict[str, Tensor]:
    tensors, _ = Storage(where.storage).read_tensors(name)
    return tensors


def checkpoint(where: training.Workspace, pack: Pack) -> dict[str, Tensor]:
    """Of the pack, the best weights of its members with it."""
    files = Storage(where.storage).names("checkpoints")
    best = {name: saved(where, name) for name in files if "-best-" in name}
    of_best = {f"{Path(name).stem.split('-')[1]}/best/{n}": t for name, named in best.items() for n, t in named.items()}
    return saved(where, f"checkpoints/{pack.group}.safetensors") | of_best


def test_it_is_in_every_file_as_it_was_drawn(pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the checkpoints of all epochs and in the weights; drawn from the member's own seed, without Adam's moments."""
    monkeypatch.setattr(pack_checkpoint, "SAVING_SHARE", 0)
    where, drawn = workspace(tmp_path), {}
    results = {}
    for progress in training.train(pack, where):
        results |= {r.trial_id: r for r in progress.results}
        for name, tensor in checkpoint(where, pack).items():
            trial_id, part, of = name.split("/", 2)
            if of.startswith(FROZEN):
                assert part == "parameter", "kept twice"
                assert torch.equal(drawn.setdefault((trial_id, of), tensor), tensor)
    assert drawn.keys() == {(trial.id, name) for trial in pack.trials for name in DRAWN}
    assert not torch.equal(*(drawn[trial.id, f"{FROZEN}a"] for trial in pack.trials[:2]))
    for result in results.values():
        weights = saved(where, result.weights)
        for name in DRAWN:
            assert torch.equal(weights[name], drawn[result.trial_id, name])
        trained = sum(t.numel() for name, t in weights.items() if name not in DRAWN)
        assert result.trainable_parameters == trained


@pytest.mark.parametrize("members_left", [3, 2])
def test_an_interrupted_run_continues_exactly_without_drawing_again(
    members_left: int, pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted before a member has left, and after."""
    undisturbed, stopped = workspace(tmp_path / "one"), workspace(tmp_path / "two")
    expected = finish(pack, undisturbed)
    assert len({result.epochs for result in expected.values()}) == 3, "members left together"
    going = 3
    for progress in training.train(pack, stopped):
        going -= len(progress.results)
        if going == members_left:
            break
    assert going == members_left

    def refuse(*_: object) -> None:
        raise AssertionError("drawn again")

    monkeypatch.setattr(methods.get("vera_example"), "initial", refuse)
    continued = finish(pack, stopped)
    for trial_id, result in expected.items():
        again = continued[trial_id]
        assert [(e.train_loss, e.score) for e in again.history] == [(e.train_loss, e.score) for e in result.history]
        ours, theirs = saved(stopped, again.weights), saved(undisturbed, result.weights)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_a_winner_is_used_from_its_file_alone(pack: Pack, tmp_path: Path) -> None:
    """Without the seed that its tensors were drawn from."""
    where = workspace(tmp_path)
    result = finish(pack, where)[pack.trials[2].id]
    weights = {n: t for n, t in saved(where, result.weights).items() if not n.startswith("head.")}
    encoder = backbones.load(pack.trials[2].backbone)
    kind = methods.get("vera_example")
    method, batch = kind(kind.Config(rank=4), encoder.spec), tiny_batch(encoder)
    with torch.no_grad():
        unfused = hidden(encoder, method, stacked([weights]), batch)
        fused = plain(encoder, batch, Seams(weights=method.fuse(weights, encoder).weights))
    torch.testing.assert_close(fused, unfused, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(fused, plain(encoder, batch), atol=1e-2), "nothing was learnt"
