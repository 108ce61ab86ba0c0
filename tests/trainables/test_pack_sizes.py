"""What is remembered of pack sizes: by shape and device, over processes, whatever else stands in the file."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.packs import pack

from trainables import tasks
from trainables.pack_sizes import FILE_NAME, Device, Knee, PackSizes, by_tokens

TRIAL = pack().trials[0]  # batches of 8, 128 tokens at most
CARD = Device("NVIDIA H100", 1.0)


def learnt(folder: Path, *knees: Knee) -> PackSizes:
    """What a later run knows after these measurements."""
    for knee in knees:
        PackSizes(folder).learn(TRIAL, CARD, knee, {1: 10.0, 2: 19.0})
    return PackSizes(folder)


def test_nothing_is_known_at_first(tmp_path: Path) -> None:
    sizes = PackSizes(tmp_path / "cache")
    assert (sizes.knee(TRIAL, CARD), sizes.fitting(TRIAL, CARD)) == (None, None)
    assert sizes.members(TRIAL, CARD) == 16 == by_tokens(TRIAL, gpu=True)
    assert sizes.members(TRIAL, Device("cpu", 1)) == 1 == by_tokens(TRIAL, gpu=False)
    two_sequences = replace(TRIAL, task=tasks.get("demo/choice"))
    assert by_tokens(two_sequences, gpu=True) == 8
    long = replace(TRIAL, hyperparameters={"learning_rate": 1e-3, "batch_size": 256})
    assert by_tokens(long, gpu=True) == 1


@pytest.mark.parametrize(
    ("knees", "known", "members"),
    [
        ([Knee(8, ended=True)], Knee(8, ended=True), 8),
        ([Knee(32, ended=True)], Knee(32, ended=True), 32),
        ([Knee(8, ended=False)], Knee(8, ended=False), 16),  # at least as many as by tokens
        ([Knee(32, ended=False)], Knee(32, ended=False), 32),
        ([Knee(4, ended=False), Knee(8, ended=False)], Knee(8, ended=False), 16),  # more were tried later
        ([Knee(32, ended=False), Knee(8, ended=True)], Knee(8, ended=True), 8),
        ([Knee(8, ended=True), Knee(32, ended=False)], Knee(8, ended=True), 8),
        ([Knee(8, ended=True), Knee(16, ended=True)], Knee(8, ended=True), 8),  # two that measured at once
    ],
)
def test_a_later_run_knows_what_was_measured(knees: list[Knee], known: Knee, members: int, tmp_path: Path) -> None:
    sizes = learnt(tmp_path, *knees)
    assert (sizes.knee(TRIAL, CARD), sizes.members(TRIAL, CARD)) == (known, members)


def test_what_did_not_fit_is_a_limit(tmp_path: Path) -> None:
    sizes = learnt(tmp_path, Knee(32, ended=True))
    sizes.ran_out(TRIAL, CARD, 12)
    assert PackSizes(tmp_path).members(TRIAL, CARD) == 6
    sizes.ran_out(TRIAL, CARD, 5)
    sizes.ran_out(TRIAL, CARD, 32)
    assert PackSizes(tmp_path).members(TRIAL, CARD) == 3 == PackSizes(tmp_path).fitting(TRIAL, CARD)
    assert PackSizes(tmp_path).knee(TRIAL, CARD) == Knee(32, ended=True)


def test_it_is_of_the_shape_of_the_trials_and_the_device(tmp_path: Path) -> None:
    sizes = learnt(tmp_path, Knee(4, ended=True))
    values, protocol = dict(TRIAL.hyperparameters), TRIAL.protocol
    for same in (
        replace(TRIAL, seed=7),
        replace(TRIAL, hyperparameters={**values, "learning_rate": 0.7}),
        replace(TRIAL, protocol=replace(protocol, epochs=3, patience=1)),
        replace(TRIAL, backbone=replace(TRIAL.backbone, name="called otherwise")),
    ):
        assert sizes.knee(same, CARD) == Knee(4, ended=True)
    for other in (
        replace(TRIAL, hyperparameters={**values, "batch_size": 4}),
        replace(TRIAL, hyperparameters={**values, "rank": 4}),
        replace(TRIAL, method="lora"),
        replace(TRIAL, task=tasks.get("glue/mrpc")),
        replace(TRIAL, backbone=replace(TRIAL.backbone, identity="sha256:other")),
        replace(TRIAL, protocol=replace(protocol, max_length=64)),
        replace(TRIAL, protocol=replace(protocol, precision="bfloat16")),
        replace(TRIAL, protocol=replace(protocol, dropout=0.0)),
    ):
        assert sizes.knee(other, CARD) is None
    assert sizes.knee(TRIAL, Device("NVIDIA A100", 1.0)) is None
    assert sizes.knee(TRIAL, Device(CARD.name, 0.5)) is None


@pytest.mark.parametrize(
    "line",
    [
        '{"key": "half of a li',
        "",
        "[]",
        '"a text"',
        '{"another": "kind"}',
        '{"key": "KEY"}',
        '{"key": "KEY", "knee": 0, "ended": true}',
        '{"key": "KEY", "knee": true, "ended": true}',
        '{"key": "KEY", "knee": 1e999, "ended": true}',
        '{"key": "KEY", "knee": "2", "ended": true}',
        '{"key": "KEY", "knee": 2, "ended": "no"}',
        '{"key": "KEY", "fitting": -1}',
        '{"key": ["KEY"], "fitting": 1}',
        "\xff\x00",
    ],
)
def test_damaged_and_foreign_lines_are_left_out(line: str, tmp_path: Path) -> None:
    """And what is written behind one, even behind half a line, is whole."""
    learnt(tmp_path, Knee(16, ended=True))
    path = tmp_path / FILE_NAME
    key = json.loads(path.read_text())["key"]
    with open(path, "ab") as file:
        file.write(line.replace("KEY", key).encode("latin-1"))
    assert PackSizes(tmp_path).members(TRIAL, CARD) == 16
    assert learnt(tmp_path, Knee(8, ended=True)).members(TRIAL, CARD) == 8


def test_a_file_that_cannot_be_read_is_as_none(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    assert PackSizes(tmp_path).knee(TRIAL, CARD) is None


def append(folder: Path, first: int) -> None:
    """50 shapes, each with a knee of its own."""
    for seed in range(first, first + 50):
        rates = dict.fromkeys((1, 2, 4, 8, 16, 32, 64), 1.0)
        trial = replace(TRIAL, hyperparameters={"learning_rate": 0.1, "batch_size": seed})
        PackSizes(folder).learn(trial, CARD, Knee(seed, ended=True), rates)


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=append, args=(tmp_path, first)) for first in (1, 51)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    sizes = PackSizes(tmp_path)
    for size in range(1, 101):
        trial = replace(TRIAL, hyperparameters={"learning_rate": 0.1, "batch_size": size})
        assert sizes.knee(trial, CARD) == Knee(size, ended=True)
    for line in (tmp_path / FILE_NAME).read_bytes().splitlines():
        assert not line or json.loads(line)["device"] == CARD.name
