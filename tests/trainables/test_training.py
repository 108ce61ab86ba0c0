"""The loop: members of a pack do not feel each other, and a killed run continues exactly."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from helpers.added import ADDED, every_name
from helpers.colours import colours, values
from helpers.families import save_tiny
from helpers.members import assert_same_member

from trainables import backbones, methods, training
from trainables.change import Change
from trainables.checkpoint import Storage
from trainables.tasks import Task
from trainables.trial import Pack, Protocol, Result, Trial

SMALL = {"rank": 2, "prompt_length": 3}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> backbones.BackboneSource:
    folder = tmp_path_factory.mktemp("bert")
    save_tiny("bert", folder)
    return backbones.resolve(str(folder))


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return colours(tmp_path_factory.mktemp("task"))


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return values(tmp_path_factory.mktemp("regression"))


def workspace(folder: Path) -> training.Workspace:
    return training.Workspace(storage=str(folder / "study"), cache_dir=str(folder / "cache"), device="cpu", threads=1)


def trial(backbone, task, method: str, *, rate: float, seed: int, batch_size: int = 8, **protocol) -> Trial:
    config = methods.get(method).Config
    own = {name: value for name, value in SMALL.items() if name in config.model_fields}
    values = config(**own).model_dump()
    settings = {"epochs": 4, "patience": 4, "max_length": 16, "dropout": 0.0, **protocol}
    if "dropout" in values and settings["dropout"] == 0.0:
        values["dropout"] = 0.0
    return Trial(
        backbone=backbone,
        task=task,
        method=method,
        hyperparameters={"learning_rate": rate, "batch_size": batch_size, **values},
        seed=seed,
        protocol=Protocol(**settings),
    )


def run(pack: Pack, where: training.Workspace) -> dict[str, Result]:
    return {r.trial_id: r for progress in training.train(pack, where) for r in progress.results}


def weights(result: Result, where: training.Workspace) -> dict[str, torch.Tensor]:
    tensors, _ = Storage(where.storage).read_tensors(result.weights)
    return tensors


def curves(results: dict[str, Result]) -> dict[str, list[tuple[float, float]]]:
    return {i: [(e.score, e.train_loss) for e in r.history] for i, r in results.items()}


pytestmark = pytest.mark.usefixtures("added_methods")
NAMES = every_name()
PACKED = [name for name in NAMES if name in ADDED or methods.get(name).max_members is None]


@pytest.mark.parametrize("method", PACKED)
@pytest.mark.parametrize("dropout", [0.0, None])
def test_a_pack_of_three_equals_three_solo_runs(method: str, dropout, backbone, task, tmp_path: Path) -> None:
    """Other rates, other seeds, and a rate so high or so low that some member stops before the others.

    Also with dropout, where ``None`` leaves all of it as it is, in the backbone, the head and the method.
    """
    trials = [
        trial(backbone, task, method, rate=rate, seed=seed, patience=2, epochs=7, dropout=dropout)
        for rate, seed in [(1e-9, 0), (1e-3, 1), (3e-4, 3)]
    ]
    packed = run(Pack(tuple(trials)), workspace(tmp_path / "pack"))
    lengths = set()
    for one in trials:
        where = workspace(tmp_path / one.id)
        solo = run(Pack((one,)), where)[one.id]
        together = packed[one.id]
        assert (together.status, together.best_epoch, together.epochs) == (solo.status, solo.best_epoch, solo.epochs)
        assert [e.score for e in together.history] == pytest.approx([e.score for e in solo.history])
        assert [e.train_loss for e in together.history] == pytest.approx([e.train_loss for e in solo.history], rel=1e-3)
        assert_same_member(one, weights(together, workspace(tmp_path / "pack")), weights(solo, where))
        lengths.add(solo.epochs)
    assert len(lengths) > 1, "all members stopped together: the test shows nothing of a member that leaves early"


@pytest.mark.parametrize("method", NAMES)
def test_a_killed_run_continues_bit_for_bit(method: str, backbone, task, tmp_path: Path) -> None:
    """With dropout on, killed after two epochs, in a pack of two where the method allows one."""
    count = methods.get(method).max_members or 2
    trials = [trial(backbone, task, method, rate=1e-2, seed=s, dropout=None) for s in range(count)]
    undisturbed, killed = workspace(tmp_path / "one"), workspace(tmp_path / "two")
    expected = run(Pack(tuple(trials)), undisturbed)
    for progress in training.train(Pack(tuple(trials)), killed):
        if progress.epoch == 2:
            break
    torch.rand(7)  # whatever else happens in the process makes no difference
    continued = run(Pack(tuple(trials)), killed)
    assert curves(continued) == curves(expected)
    for i, result in continued.items():
        for name, value in weights(result, killed).items():
            assert torch.equal(value, weights(expected[i], undisturbed)[name]), name


def test_the_result_of_a_trial_does_not_depend_on_the_state_of_the_process(backbone, task, tmp_path: Path) -> None:
    one = trial(backbone, task, "lora", rate=1e-2, seed=3, dropout=None)
    torch.manual_seed(1)
    first = run(Pack((one,)), workspace(tmp_path / "a"))
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    assert curves(run(Pack((one,)), workspace(tmp_path / "b"))) == curves(first)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_what_the_metric_needs_is_imported_while_the_first_epoch_trains(
    backbone, task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(training.metrics, "import_ahead", asked.append)
    next(training.train(Pack((trial(backbone, task, "bitfit", rate=1e-2, seed=0),)), workspace(tmp_path)))
    assert asked == [task.metric]


def test_packs_that_take_turns_in_one_process_keep_their_own_dropout(backbone, task, tmp_path: Path) -> None:
    """They share the backbone, which is loaded once."""
    packs = [Pack((trial(backbone, task, "lora", rate=1e-2, seed=0, dropout=p),)) for p in (0.5, 0.0)]
    alone = [curves(run(pack, workspace(tmp_path / f"alone{i}"))) for i, pack in enumerate(packs)]
    turns = [training.train(pack, workspace(tmp_path / f"turns{i}")) for i, pack in enumerate(packs)]
    results: list[dict[str, Result]] = [{}, {}]
    for both in zip(*turns, strict=True):
        for found, progress in zip(results, both, strict=True):
            found |= {r.trial_id: r for r in progress.results}
    assert [curves(found) for found in results] == alone


def test_what_is_left_of_a_pack_finds_its_checkpoint(backbone, task, tmp_path: Path) -> None:
    trials = tuple(trial(backbone, task, "bitfit", rate=r, seed=0) for r in (1e-3, 1e-2, 3e-2))
    pack, where = Pack(trials), workspace(tmp_path)
    expected = run(pack, workspace(tmp_path / "undisturbed"))
    next(training.train(pack, where))
    rest = pack.without({trials[0].id})
    results = {}
    epochs = []
    for progress in training.train(rest, where):
        epochs.append(progress.epoch)
        results |= {r.trial_id: r for r in progress.results}
    assert epochs[:2] == [1, 2], "what was reached before, then the next epoch"
    assert results.keys() == {t.id for t in trials[1:]}
    for one in trials[1:]:
        assert results[one.id].pack_size == 3
        assert [e.score for e in results[one.id].history] == [e.score for e in expected[one.id].history]


def test_what_members_reached_before_an_interruption_comes_first(backbone, task, tmp_path: Path) -> None:
    """Of the members that go on and of those that had ended, before a new epoch and only once."""
    ends, goes_on = (trial(backbone, task, "bitfit", rate=r, seed=0, patience=2) for r in (1e36, 1e-2))
    pack, where = Pack((ends, goes_on)), workspace(tmp_path)
    steps = training.train(pack, where)
    begun = [next(steps), next(steps)]
    steps.close()
    first, *others = training.train(pack, where)
    assert (first.epoch, first.epochs, first.done) == (2, {}, False)
    assert [r.trial_id for r in first.results] == [ends.id]
    reached = {(i, e) for progress in begun for i, e in progress.epochs.items() if i == goes_on.id}
    assert {(i, e) for i, e in first.earlier if i == goes_on.id} == reached
    assert [e.epoch for i, e in first.earlier if i == ends.id] == [1]
    assert others[0].epoch == 3
    assert not any(progress.earlier for progress in (*begun, *others))


def test_results_come_again_until_they_are_recorded(backbone, task, tmp_path: Path) -> None:
    pack, where = Pack((trial(backbone, task, "bitfit", rate=1e-2, seed=0),)), workspace(tmp_path)
    first = run(pack, where)
    assert [r.text["dev_cut"] for r in first.values()] == [0.0], "shares of the data that it was trained on"
    again = list(training.train(pack, where))
    assert len(again) == 1
    assert again[0].done
    assert again[0].results == tuple(first.values())
    training.discard(pack, where)
    assert len(list(training.train(pack, where))) == 4


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_member_that_is_cut_short_leaves_the_others_as_they_are(epoch: int, backbone, task, tmp_path: Path) -> None:
    """Cut short after an epoch, even across a restart, by whoever drives the loop."""
    trials = [trial(backbone, task, "lora", rate=1e-3, seed=seed, epochs=3, patience=3) for seed in range(3)]
    pack = Pack(tuple(trials))
    whole = run(pack, workspace(tmp_path / "whole"))
    where = workspace(tmp_path / "cut")
    steps = training.train(pack, where)
    for _ in range(epoch):
        next(steps)
    answer = steps.send(Change({trials[1].id, "somebody else"}))
    assert not answer.epochs
    assert not answer.done
    (cut,) = answer.results
    assert (cut.trial_id, cut.status, cut.weights) == (trials[1].id, "pruned", None)
    assert curves({cut.trial_id: cut})[cut.trial_id] == curves(whole)[cut.trial_id][:epoch]
    assert cut.trainable_parameters == whole[cut.trial_id].trainable_parameters
    steps.close()

    again = list(training.train(pack, where))
    results = {r.trial_id: r for progress in again for r in progress.results}
    assert results[trials[1].id] == cut, "its result comes again"
    for other in (trials[0], trials[2]):
        assert curves(results)[other.id] == curves(whole)[other.id]


def test_a_pack_of_which_all_are_cut_short_is_done(backbone, task, tmp_path: Path) -> None:
    pack = Pack((trial(backbone, task, "bitfit", rate=1e-3, seed=0, epochs=5, patience=5),))
    steps = training.train(pack, workspace(tmp_path))
    next(steps)
    answer = steps.send(Change({pack.trials[0].id}))
    assert answer.done
    assert answer.results[0].status == "pruned"
    assert list(steps) == []


@pytest.mark.parametrize("method", ["lora", "bitfit", "adapters"])
def test_a_member_that_diverges_takes_no_other_with_it(method: str, backbone, task, tmp_path: Path) -> None:
    healthy = trial(backbone, task, method, rate=1e-2, seed=0)
    sick = trial(backbone, task, method, rate=1e36, seed=1)
    results = run(Pack((sick, healthy)), workspace(tmp_path / "pack"))
    solo = run(Pack((healthy,)), workspace(tmp_path / "solo"))
    assert results[sick.id].status == "diverged"
    assert "epoch" in results[sick.id].reason
    assert results[healthy.id].status == "finished"
    assert [e.score for e in results[healthy.id].history] == pytest.approx([e.score for e in solo[healthy.id].history])
    assert math.isfinite(results[healthy.id].score)


def test_learns_and_keeps_the_best_epoch(backbone, task, tmp_path: Path) -> None:
    one = trial(backbone, task, "fine_tuning", rate=3e-3, seed=0, epochs=12, patience=12)
    result = run(Pack((one,)), workspace(tmp_path))[one.id]
    scores = [e.score for e in result.history]
    assert result.score == max(scores) > 90
    assert result.best_epoch == scores.index(max(scores)) + 1
    assert result.trainable_parameters == sum(t.numel() for t in weights(result, workspace(tmp_path)).values())
    assert (result.pack_size, result.device) == (1, "cpu")


def test_kept_weights_of_a_regression_speak_in_its_units(backbone, regression, tmp_path: Path) -> None:
    one = trial(backbone, regression, "fine_tuning", rate=3e-3, seed=0, epochs=8, patience=8)
    result = run(Pack((one,)), workspace(tmp_path))[one.id]
    assert result.score > 50
    assert set(result.metrics) >= {"score", "pearson", "spearman"}
    bias = weights(result, workspace(tmp_path))["head.bias"]
    assert 100 < float(bias) < 240  # the labels' range; trained on values around zero


def test_bfloat16_is_near_float32(backbone, task, tmp_path: Path) -> None:
    half = trial(backbone, task, "aot_fc", rate=1e-2, seed=0, precision="bfloat16")
    full = dataclasses.replace(half, protocol=dataclasses.replace(half.protocol, precision="float32"))
    assert half.id != full.id
    losses = [[e.train_loss for e in run(Pack((t,)), workspace(tmp_path / t.id))[t.id].history] for t in (half, full)]
    assert losses[0] == pytest.approx(losses[1], abs=0.05)
    assert losses[0] != losses[1]


def test_a_damaged_checkpoint_starts_the_pack_afresh(backbone, task, tmp_path: Path, caplog) -> None:
    pack, where = Pack((trial(backbone, task, "bitfit", rate=1e-2, seed=0),)), workspace(tmp_path)
    expected = run(pack, workspace(tmp_path / "undisturbed"))
    next(training.train(pack, where))
    path = tmp_path / "study" / "checkpoints" / f"{pack.group}.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    assert curves(run(pack, where)) == curves(expected)
    assert "set aside" in caplog.text
