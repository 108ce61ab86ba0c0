"""Packs that ran out of memory: which others are split before they do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.packs import pack

from search.strategy.pack_limits import FILE_NAME, PackLimits
from search.study import Resources
from trainables.trial import Pack


def limits(folder: Path, said: list[str] | None = None, gpu: float | str = 1) -> PackLimits:
    return PackLimits(folder, Resources(gpu=gpu), [].append if said is None else said.append)


def like(one: Pack, members: int, **changes: object) -> Pack:
    """Another pack of the shape, but for ``changes`` of its trials."""
    first = replace(one.trials[0], **changes)
    return Pack(tuple(replace(first, seed=100 + seed) for seed in range(members)))


def sizes(packs: list[Pack]) -> list[int]:
    return [len(one.trials) for one in packs]


def test_a_pack_without_a_limit_is_left_as_it_is(tmp_path: Path) -> None:
    one = pack(members=8)
    assert limits(tmp_path).fitting(one) == [one]
    assert not (tmp_path / FILE_NAME).exists()


@pytest.mark.parametrize(("members", "parts"), [(8, [4, 4]), (7, [4, 3]), (3, [2, 1]), (2, [1, 1]), (12, [4, 4, 4])])
def test_half_of_what_did_not_fit(members: int, parts: list[int], tmp_path: Path) -> None:
    """Of the pack itself, and of one of twelve where eight did not fit."""
    one = pack(members=members)
    too_large = one if members != 12 else one.without({trial.id for trial in one.trials[8:]})
    remembered = limits(tmp_path)
    remembered.remember(too_large, "out of memory", whole_shape=True)
    found = remembered.fitting(one)
    assert sizes(found) == parts
    assert [trial for part in found for trial in part.trials] == list(one.trials)
    assert limits(tmp_path).fitting(one) == found, "a later run makes the same parts of it"


def test_what_is_split_again_gets_smaller(tmp_path: Path) -> None:
    remembered, one = limits(tmp_path), pack(members=8)
    for most in (4, 2, 1):
        (largest, *_) = remembered.fitting(one)
        assert len(largest.trials) == 2 * most
        remembered.remember(largest, "out of memory", whole_shape=True)
        assert sizes(remembered.fitting(one)) == [most] * (8 // most)
    assert all(part.parents == (part.group[:-2], part.group[:-4], one.group) for part in remembered.fitting(one))


def test_where_there_is_no_gpu_it_is_the_same_whether_one_was_wanted(tmp_path: Path) -> None:
    one = pack(members=8)
    limits(tmp_path, gpu="auto").remember(one, "out of memory", whole_shape=True)
    assert sizes(limits(tmp_path, gpu=0).fitting(one)) == [4, 4]


def test_what_a_device_says_holds_for_a_run(tmp_path: Path) -> None:
    """It is remembered by the device, and not by the study."""
    of_run, one = limits(tmp_path), pack(members=12)
    of_run.hold(one, 4)
    assert sizes(of_run.fitting(like(one, 8))) == [4, 4]
    assert sizes(of_run.fitting(one)) == [4, 4, 4]
    of_run.hold(one, 8)
    assert sizes(of_run.fitting(like(one, 8))) == [4, 4], "the smaller one counts, on a cluster of several kinds"
    of_run.remember(like(one, 4), "out of memory", whole_shape=True)
    assert sizes(of_run.fitting(like(one, 4))) == [2, 2]
    assert sizes(limits(tmp_path).fitting(like(one, 8))) == [2, 2, 2, 2]


def test_it_holds_for_packs_of_the_same_shape(tmp_path: Path) -> None:
    """Other learning rates and seeds; not for other tensors or lengths, or on another part of a GPU."""
    remembered, one = limits(tmp_path), pack(members=8)
    remembered.remember(one, "out of memory", whole_shape=True)
    values = dict(one.trials[0].hyperparameters)
    same = like(one, 8, hyperparameters={**values, "learning_rate": 0.7})
    assert sizes(remembered.fitting(same)) == [4, 4]
    for other in (
        like(one, 8, hyperparameters={**values, "batch_size": 4}),
        like(one, 8, method="ia3"),
        like(one, 8, protocol=replace(one.trials[0].protocol, max_length=64)),
    ):
        assert remembered.fitting(other) == [other]
    assert limits(tmp_path, gpu=2).fitting(same) == [same]


def test_a_pack_whose_workers_die_says_nothing_of_others(tmp_path: Path) -> None:
    remembered, one = limits(tmp_path), pack(members=8)
    remembered.remember(one, "its worker died", whole_shape=False)
    for run in (remembered, limits(tmp_path)):
        assert sizes(run.fitting(one)) == [4, 4]
        assert sizes(run.fitting(like(one, 8))) == [8]


def test_who_has_a_result_does_not_come_again_and_moves_nobody(tmp_path: Path) -> None:
    remembered, one = limits(tmp_path), pack(members=8)
    remembered.remember(one, "out of memory", whole_shape=True)
    first, second = remembered.fitting(one)
    left = one.without({trial.id for trial in (*first.trials[:3], second.trials[0])})
    again = remembered.fitting(left)
    assert [part.group for part in again] == [first.group, second.group]
    assert [part.trials for part in again] == [first.trials[3:], second.trials[1:]]


def test_a_later_run_says_why_it_splits_and_reads_what_is_whole(tmp_path: Path) -> None:
    one, said = pack(members=8), []
    limits(tmp_path).remember(one, "out of memory", whole_shape=True)
    with open(tmp_path / FILE_NAME, "a") as file:
        file.write('{"key": "half of a li')
    later = limits(tmp_path, said)
    assert [sizes(later.fitting(like(one, 8))) for _ in range(3)] == [[4, 4]] * 3
    assert len(said) == 2
    assert said[0].startswith(f"line 2 of {tmp_path / FILE_NAME} is damaged and left out")
    assert "is split, 4 at most, as larger ones did not fit into memory before" in said[1]
    later.remember(later.fitting(one)[0], "out of memory", whole_shape=True)
    assert sizes(limits(tmp_path).fitting(one)) == [2] * 4
