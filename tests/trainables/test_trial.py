"""What a trial's id stands for: pairs of trials that must give the same result, and pairs that may not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from trainables import tasks
from trainables.trial import BackboneSource, Protocol, Trial, digest

BACKBONE = BackboneSource("tiny", "/somewhere/tiny", None, "sha256:ab", (0.1, 0.1))
VALUES = {"rank": 8, "alpha": 16.0, "learning_rate": 1e-4, "batch_size": 16}

Change = Callable[[Trial], Trial]


@pytest.fixture(scope="module")
def trial() -> Trial:
    task = tasks.resolve(tasks.get("demo/sentiment"))  # 400 and 200 rows
    return Trial(BACKBONE, task, "lora", VALUES, 0, Protocol(epochs=5, patience=5))


def protocol(**values: object) -> Change:
    return lambda trial: replace(trial, protocol=replace(trial.protocol, **values))


def backbone(**values: object) -> Change:
    return lambda trial: replace(trial, backbone=replace(trial.backbone, **values))


def task(**values: object) -> Change:
    return lambda trial: replace(trial, task=replace(trial.task, **values))


def values(**changed: object) -> Change:
    return lambda trial: replace(trial, hyperparameters={**trial.hyperparameters, **changed})


def unchanged(trial: Trial) -> Trial:
    return trial


SAME: list[tuple[Change, Change]] = [
    (unchanged, protocol(train_rows=400)),
    (unchanged, protocol(train_rows=10_000, dev_rows=200)),
    (protocol(dev_rows=10), protocol(dev_rows=10, train_rows=401)),
    (unchanged, protocol(patience=100)),
    (unchanged, protocol(dropout=0.1)),  # that of the config and of the head
    (protocol(dropout=0.0), protocol(dropout=-0.0)),
    (protocol(dropout=0.0), protocol(dropout=0)),
    (protocol(dropout=0.2), lambda trial: backbone(dropout=(0.3, 0.4))(protocol(dropout=0.2)(trial))),
    (unchanged, backbone(name="called otherwise", source="/elsewhere")),
    (unchanged, task(epochs=7, patience=3)),
    (unchanged, values(learning_rate=0.0001, alpha=16)),
    (values(alpha=-0.0), values(alpha=0)),
    (unchanged, lambda trial: replace(trial, hyperparameters=dict(reversed(VALUES.items())))),
]

DIFFERENT: list[tuple[Change, Change]] = [
    (unchanged, protocol(train_rows=399)),
    (unchanged, protocol(dev_rows=199)),
    (protocol(train_rows=10), protocol(dev_rows=10)),
    (unchanged, protocol(patience=4)),
    (unchanged, protocol(epochs=6)),
    (unchanged, protocol(max_length=64)),
    (unchanged, protocol(precision="bfloat16")),
    (unchanged, protocol(dropout=0.0)),
    (unchanged, backbone(dropout=(0.1, 0.0))),
    (lambda trial: backbone(dropout=(0.2, 0.2))(trial), protocol(dropout=0.2)),  # the head's own is 0.1
    (unchanged, backbone(identity="sha256:cd")),
    (unchanged, task(name="demo/other")),  # draws other subsets and another schedule
    (unchanged, task(metric="f1")),
    (unchanged, values(alpha=16.5)),
    (unchanged, values(rank=4)),
    (unchanged, lambda trial: replace(trial, method="bitfit")),
    (unchanged, lambda trial: replace(trial, seed=1)),
]


@pytest.mark.parametrize("pair", SAME)
def test_what_cannot_change_the_result_is_not_in_the_id(trial: Trial, pair: tuple[Change, Change]) -> None:
    one, other = (change(trial) for change in pair)
    assert (one.id, one.assignment_id) == (other.id, other.assignment_id)


@pytest.mark.parametrize("pair", DIFFERENT)
def test_what_may_change_the_result_is_in_the_id(trial: Trial, pair: tuple[Change, Change]) -> None:
    one, other = (change(trial) for change in pair)
    assert one.id != other.id


def test_true_is_not_one(trial: Trial) -> None:
    assert values(flag=True)(trial).id != values(flag=1)(trial).id


def test_limits_of_rows_that_nobody_counted_stay(trial: Trial) -> None:
    unread = replace(trial, task=tasks.get("glue/rte"))
    assert protocol(train_rows=10**9)(unread).id != unread.id


def test_the_ids_hold_the_whole_identity_in_canonical_json(trial: Trial) -> None:
    identity = trial._identity()
    for seed, one in zip((0, 7), trial.on((0, 7)), strict=True):
        assert one == replace(trial, seed=seed)
        assert one.assignment_id == digest(identity)
        assert one.id == replace(trial, seed=seed).id == digest({**identity, "seed": seed})
