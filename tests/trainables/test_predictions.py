"""Answers on dev at the best epoch: the score follows from the file, and no other file is there."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.added import every_name
from helpers.families import save_tiny

from common import metrics, predictions
from trainables import backbones, data, methods, tasks, training
from trainables.change import Change
from trainables.checkpoint import Storage
from trainables.tasks import Task
from trainables.tasks.custom import Columns, custom_task, files
from trainables.trial import BackboneSource, Pack, Protocol, Result, Trial

SMALL = {"rank": 2, "prompt_length": 3}
NAMES = every_name()
SCORED = {"sentiment": ("accuracy", "matthews", "accuracy_f1"), "entailment": ("accuracy_macro_f1", "f1")}

pytestmark = pytest.mark.usefixtures("added_methods")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> BackboneSource:
    return backbones.resolve(str(save_tiny("bert", tmp_path_factory.mktemp("bert"))))


def demo(name: str, metric: str | None = None) -> Task:
    task = tasks.get(f"demo/{name}")
    return tasks.resolve(dataclasses.replace(task, metric=metric or task.metric))


def lengths(folder: Path) -> Task:
    """A regression: how many words there are."""
    for split, start in (("train", 0), ("dev", 40)):
        rows = [
            {"text": " ".join(["red", "cat"] * (1 + i % 7)), "value": 3.0 + 2 * (i % 7) + i / 80}
            for i in range(start, start + 40)
        ]
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    source = files("train.jsonl", "dev.jsonl", folder)
    return tasks.resolve(custom_task("lengths", source=source, columns=Columns(("text",), "value"), kind="regression"))


def make(backbone: BackboneSource, task: Task, method: str = "lora", members: int = 3, **protocol: int) -> Pack:
    """With dropout. The first member learns nothing: no epoch after the first is better."""
    config = methods.get(method).Config
    own = config(**{n: v for n, v in SMALL.items() if n in config.model_fields}).model_dump()
    settings = Protocol(**{"epochs": 3, "patience": 3, "max_length": 48, "train_rows": 48, "dev_rows": 40, **protocol})
    rates = (1e-9, 1e-2, 5e-3)[:members]
    values = [{"learning_rate": rate, "batch_size": 8, **own} for rate in rates]
    return Pack(tuple(Trial(backbone, task, method, v, seed, settings) for seed, v in enumerate(values)))


def workspace(folder: Path, keep: bool = True) -> training.Workspace:
    return training.Workspace(str(folder / "study"), str(folder / "cache"), "cpu", 1, predictions=keep)


def finish(pack: Pack, where: training.Workspace) -> dict[str, Result]:
    return {r.trial_id: r for progress in training.train(pack, where) for r in progress.results}


def kept(where: training.Workspace) -> dict[str, bytes]:
    """The files of answers, by trial id."""
    storage = Storage(where.storage)
    return {Path(name).stem: storage.read(name) or b"" for name in storage.names("predictions")}


def scores(content: bytes) -> dict[str, float]:
    metric, predicted, gold = predictions.from_bytes(content)
    return metrics.score(metric, predicted, gold)


def assert_scored_alike(where: training.Workspace, results: dict[str, Result]) -> None:
    found = kept(where)
    assert found.keys() == {i for i, result in results.items() if result.weights}
    for trial_id, content in found.items():
        assert scores(content) == results[trial_id].metrics
        assert scores(content)["score"] == results[trial_id].score


@pytest.mark.parametrize("method", NAMES)
def test_the_score_follows_from_the_answers(method: str, backbone: BackboneSource, tmp_path: Path) -> None:
    """Of every method, packed where it can be; the best epoch of the first member is not its last."""
    members = methods.get(method).max_members or 3
    pack, where = make(backbone, demo("sentiment"), method, members), workspace(tmp_path)
    results = finish(pack, where)
    assert results[pack.trials[0].id].best_epoch < len(results[pack.trials[0].id].history)
    assert_scored_alike(where, results)


@pytest.mark.parametrize(("task", "metric"), [(t, m) for t, names in SCORED.items() for m in names])
def test_of_every_kind_of_metric(task: str, metric: str, backbone: BackboneSource, tmp_path: Path) -> None:
    pack, where = make(backbone, demo(task, metric)), workspace(tmp_path)
    results = finish(pack, where)
    assert_scored_alike(where, results)
    assert {predictions.from_bytes(content)[0] for content in kept(where).values()} == {metric}


def test_of_multiple_choice_they_are_the_chosen_ones(backbone: BackboneSource, tmp_path: Path) -> None:
    pack, where = make(backbone, demo("choice")), workspace(tmp_path)
    assert_scored_alike(where, finish(pack, where))
    for content in kept(where).values():
        _, predicted, gold = predictions.from_bytes(content)
        assert len(gold) == 40
        assert set(predicted) | set(gold) <= {0, 1}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_of_a_regression_they_are_in_its_units(precision: str, backbone: BackboneSource, tmp_path: Path) -> None:
    pack, where = make(backbone, lengths(tmp_path), precision=precision, epochs=6, patience=6), workspace(tmp_path)
    assert_scored_alike(where, finish(pack, where))
    for content in kept(where).values():
        _, predicted, gold = predictions.from_bytes(content)
        assert predicted.dtype == np.float32
        assert abs(predicted.mean() - gold.mean()) < 3 * gold.std()


def test_rows_are_in_one_order_whatever_the_method(backbone: BackboneSource, tmp_path: Path) -> None:
    """Answers of two methods are compared example by example."""
    gold = []
    for method in ("lora", "bitfit"):
        where = workspace(tmp_path / method)
        pack = make(backbone, demo("entailment"), method, members=1)
        finish(pack, where)
        gold += [predictions.from_bytes(content)[2] for content in kept(where).values()]
    first = pack.trials[0]
    dev = data.load(first.task, first.backbone, first.protocol, Path(where.cache_dir)).dev
    assert all((labels == dev.labels).all() for labels in gold)


def test_a_member_that_stops_early_leaves_those_of_its_best_epoch(backbone: BackboneSource, tmp_path: Path) -> None:
    pack, where = make(backbone, demo("entailment"), epochs=6, patience=2), workspace(tmp_path)
    results = finish(pack, where)
    assert len({len(result.history) for result in results.values()}) > 1, "nobody stopped before the others"
    assert_scored_alike(where, results)


def losing_in(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first member's loss of that epoch is not a number, as if it had diverged there."""
    train_epoch: Callable[..., list[float]] = training._train_epoch

    def lost(run: object) -> list[float]:
        losses = train_epoch(run)
        return [math.nan, *losses[1:]] if run.epoch == epoch else losses  # type: ignore[attr-defined]

    monkeypatch.setattr(training, "_train_epoch", lost)


@pytest.mark.parametrize(("epoch", "files"), [(1, 0), (3, 1)])
def test_one_that_diverges_keeps_those_of_what_it_reached(
    epoch: int, files: int, backbone: BackboneSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losing_in(epoch, monkeypatch)
    pack, where = make(backbone, demo("entailment"), members=1), workspace(tmp_path)
    results = finish(pack, where)
    assert [result.status for result in results.values()] == ["diverged"]
    assert len(kept(where)) == files
    assert_scored_alike(where, results)


def test_one_that_is_cut_short_has_none(backbone: BackboneSource, tmp_path: Path) -> None:
    """Not even those of an earlier training."""
    pack, where = make(backbone, demo("entailment")), workspace(tmp_path)
    storage, cut = Storage(where.storage), pack.trials[1].id
    storage.write(f"predictions/{cut}.npz", b"earlier")
    steps = training.train(pack, where)
    next(steps)
    steps.send(Change({cut}))
    assert len(list(steps)) == 2
    assert kept(where).keys() == {trial.id for trial in pack.trials} - {cut}


def test_one_that_is_trained_again_writes_them_again(backbone: BackboneSource, tmp_path: Path) -> None:
    pack, where = make(backbone, demo("entailment")), workspace(tmp_path)
    finish(pack, where)
    first = kept(where)
    training.discard(pack, where)
    Storage(where.storage).write(f"predictions/{pack.trials[0].id}.npz", b"of another training")
    finish(pack, where)
    assert kept(where) == first


def test_they_are_kept_only_where_that_is_wanted(backbone: BackboneSource, tmp_path: Path) -> None:
    """Nothing else depends on it."""
    pack = make(backbone, demo("entailment"))
    with_them, without = workspace(tmp_path / "with"), workspace(tmp_path / "without", keep=False)
    expected, results = finish(pack, with_them), finish(pack, without)
    assert kept(without) == {}
    for trial_id, result in results.items():
        assert (result.score, result.best_epoch) == (expected[trial_id].score, expected[trial_id].best_epoch)
        name = f"weights/{trial_id}.safetensors"
        assert Storage(without.storage).read(name) == Storage(with_them.storage).read(name)


def test_a_checkpoint_of_before_they_were_kept_is_gone_on_from(backbone: BackboneSource, tmp_path: Path) -> None:
    """A member that is no better afterwards has none, the others have theirs."""
    pack, undisturbed, where = (
        make(backbone, demo("entailment")),
        workspace(tmp_path / "one"),
        workspace(tmp_path / "two"),
    )
    expected = finish(pack, undisturbed)
    steps = training.train(pack, dataclasses.replace(where, predictions=False))
    next(steps)
    steps.close()
    results = finish(pack, where)
    assert {i: r.score for i, r in results.items()} == {i: r.score for i, r in expected.items()}
    better = {i for i, result in results.items() if result.best_epoch > 1}
    assert 0 < len(better) < len(pack.trials)
    assert kept(where) == {i: content for i, content in kept(undisturbed).items() if i in better}


@pytest.mark.parametrize(("task", "majority"), [("entailment", None), ("choice", None), ("lengths", 0.0)])
def test_results_say_what_the_best_constant_answer_scores(
    task: str, majority: float | None, backbone: BackboneSource, tmp_path: Path
) -> None:
    one = lengths(tmp_path) if task == "lengths" else demo(task)
    pack, where = make(backbone, one, members=2, epochs=1, patience=1, dev_rows=37), workspace(tmp_path)
    results = finish(pack, where)
    _, _, gold = predictions.from_bytes(next(iter(kept(where).values())))
    if majority is None:
        majority = max(metrics.score(one.metric, np.full(len(gold), c), gold)["score"] for c in (0, 1))
        assert majority > 0
    assert {result.majority for result in results.values()} == {majority}
    assert {r.majority for r in finish(pack, where).values()} == {majority}, "of results that come again, too"
