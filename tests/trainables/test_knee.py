"""Where packing stops paying: by made-up rates, and by real steps of a tiny backbone on the CPU."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import golden
from helpers.checkpoints import Steps
from helpers.families import save_tiny

from trainables import knee, pack_sizes
from trainables.backbones import resolve
from trainables.optim import Members
from trainables.pack_sizes import Device, Knee, PackSizes
from trainables.pack_state import Workspace
from trainables.trial import BackboneSource, Pack

CPU = Device("cpu", 1.0)


def saturating(at: int, fits: int = 1_000) -> Callable[[int], float]:
    """A device that trains ``at`` members in the time of one, and no more than ``fits``."""

    def rate(members: int) -> float:
        if members > fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 1_000.0 * min(members, at)

    return rate


@pytest.mark.parametrize(
    ("rate", "most", "found"),
    [
        (saturating(1), 64, Knee(1, ended=True)),
        (saturating(8), 64, Knee(8, ended=True)),
        (saturating(12), 64, Knee(16, ended=True)),  # 16 train half as much again as 8
        (saturating(100), 64, Knee(64, ended=False)),
        (saturating(8), 8, Knee(8, ended=False)),  # no more were tried
        (saturating(8), 7, Knee(4, ended=False)),
        (saturating(8), 1, Knee(1, ended=False)),
        (saturating(64, fits=16), 64, Knee(16, ended=True)),
        (saturating(64, fits=0), 64, Knee(1, ended=True)),  # training will say that a trial does not fit
        (lambda k: 1_000 * k**0.2, 64, Knee(64, ended=False)),  # 1.15 a doubling
        (lambda k: 1_000 * k**0.1, 64, Knee(1, ended=True)),  # 1.07
        (lambda k: 1_000 / k, 64, Knee(1, ended=True)),
    ],
)
def test_the_knee(rate: Callable[[int], float], most: int, found: Knee) -> None:
    assert knee.knee(rate, most) == found


def test_no_size_beyond_the_knee_is_tried_but_the_one_that_shows_it() -> None:
    tried: list[int] = []
    rate = saturating(4)
    knee.knee(lambda k: tried.append(k) or rate(k), 64)  # type: ignore[func-returns-value]
    assert tried == [1, 2, 4, 8]


def test_a_gain_of_ones_own() -> None:
    assert knee.knee(lambda k: 1_000 * k**0.2, 64, gain=1.2) == Knee(1, ended=True)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> BackboneSource:
    return resolve(str(save_tiny("bert", tmp_path_factory.mktemp("bert"))))


def a_pack(source: BackboneSource, members: int, epochs: int = 1, method: str = "lora") -> Pack:
    """Batches of 8 from 16 rows: two steps an epoch."""
    first = golden.pack(method, source, replace(golden.PROTOCOL, epochs=epochs)).trials[0]
    return Pack(tuple(first.on(range(members))))


@pytest.mark.parametrize(
    ("members", "rows", "most"),
    [
        (1, 10**6, 1),  # a pack of one
        (3, 10**6, 2),
        (64, 10**6, 64),
        (500, 10**6, 64),
        (8, 8 * 83, 1),  # 664 steps: 5 · (1 + 1) · 2 are more than 3 % of them
        (8, 8 * 84, 2),
        (8, 8 * 250, 4),  # 5 · 3 · 4 are 3 % of 2,000
        (8, 8 * 250 - 8, 2),
        (8, 1, 1),
    ],
)
def test_what_may_be_tried(members: int, rows: int, most: int, source: BackboneSource) -> None:
    assert knee.affordable(a_pack(source, members), rows) == most


@pytest.mark.parametrize("saturates", [1, 2, 8, 64])
@pytest.mark.parametrize("steps", [50, 400, 3_000, 100_000])
def test_measuring_takes_no_more_than_its_share(steps: int, saturates: int, source: BackboneSource) -> None:
    """Also where a pack takes no longer than one member, so that its training is as short as can be."""
    whole = a_pack(source, 64)
    most = knee.affordable(whole, steps * 8)
    spent = 0.0

    def rate(members: int) -> float:
        nonlocal spent
        seconds = max(1.0, members / saturates)
        spent += knee.STEPS * seconds
        return members / seconds

    if most > 1:
        found = knee.knee(rate, most)
        training = 64 / found.members * steps * max(1.0, found.members / saturates)
        assert spent <= knee.SHARE * training * 1.01


def where(folder: Path) -> Workspace:
    return Workspace(str(folder / "study"), str(folder / "cache"), device="cpu", threads=1)


@pytest.mark.parametrize("method", ["lora", "aot_fc"])
def test_real_steps_are_timed(method: str, source: BackboneSource, tmp_path: Path) -> None:
    found, rates = knee.measured(a_pack(source, 8, method=method), where(tmp_path), 8, 1.0)
    assert list(rates) == [2**i for i in range(len(rates))]
    assert found == knee.knee(rates.__getitem__, 8)
    assert all(rate > 0 and math.isfinite(rate) for rate in rates.values())
    assert not (tmp_path / "study").exists(), "it leaves nothing in the storage"


def test_it_is_measured_once_where_it_pays(source: BackboneSource, tmp_path: Path, steps: Steps) -> None:
    short, long = a_pack(source, 8), a_pack(source, 8, epochs=50)
    assert knee.members(short, where(tmp_path), 1.0) == (1, "")
    assert steps.begun == 0, "16 steps of training do not pay for it"
    assert not (tmp_path / "cache" / pack_sizes.FILE_NAME).exists()

    most, said = knee.members(long, where(tmp_path), 1.0)
    assert steps.begun == 2 * knee.STEPS, "800 steps pay for packs of one and of two"
    assert said.startswith(f"{most} at a time: on cpu packs of 1, 2, 4, … members train ")
    known = PackSizes(tmp_path / "cache").knee(long.trials[0], CPU)
    assert known is not None
    assert most == known.members

    for again in (long, short):
        assert knee.members(again, where(tmp_path), 1.0) == (most, "")
    assert steps.begun == 2 * knee.STEPS
    knee.members(a_pack(source, 8, epochs=50, method="bitfit"), where(tmp_path), 1.0)
    assert steps.begun == 4 * knee.STEPS, "another shape is measured"


def test_more_are_tried_where_more_pays(source: BackboneSource, tmp_path: Path, steps: Steps) -> None:
    """A measurement that found no end is made again by a longer training; one that did holds."""
    longer = a_pack(source, 8, epochs=200)  # pays for packs of four
    (sizes := PackSizes(tmp_path / "cache")).learn(longer.trials[0], CPU, Knee(2, ended=False), {1: 1.0, 2: 2.0})
    assert knee.members(a_pack(source, 8, epochs=50), where(tmp_path), 1.0) == (2, "")
    assert steps.begun == 0
    assert knee.members(longer, where(tmp_path), 1.0)[1]
    assert steps.begun > 0

    begun = steps.begun
    sizes.learn(longer.trials[0], CPU, Knee(1, ended=True), {1: 1.0})
    assert knee.members(longer, where(tmp_path), 1.0) == (1, "")
    assert steps.begun == begun


def test_what_does_not_fit_ends_it(source: BackboneSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error comes from within a step, as a device's does."""
    update = Members.step

    def short_of_memory(members: Members, loss: torch.Tensor) -> None:
        if len(members) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        update(members, loss)

    monkeypatch.setattr(Members, "step", short_of_memory)
    found, rates = knee.measured(a_pack(source, 8), where(tmp_path), 8, 1.0)
    assert found == Knee(1, ended=True)
    assert list(rates) == [1]


def test_training_is_the_same_after_it(source: BackboneSource, tmp_path: Path) -> None:
    """Dropout included: nothing of the measurement is left in the backbone that the packs of a process share."""
    one = golden.pack("lora", source)
    before = golden.losses(one, tmp_path / "before")
    knee.measured(one, where(tmp_path), 2, 1.0)
    assert golden.losses(one, tmp_path / "after") == before


def test_it_does_not_go_on_from_a_checkpoint(source: BackboneSource, tmp_path: Path) -> None:
    """Of a pack that has ended, whose members would take no step."""
    one = golden.pack("lora", source)
    golden.losses(one, tmp_path)
    assert list((tmp_path / "study" / "checkpoints").iterdir())
    assert list(knee.measured(one, where(tmp_path), 2, 1.0)[1]) == [1, 2]


def test_a_disk_that_takes_no_line(source: BackboneSource, tmp_path: Path) -> None:
    long = a_pack(source, 8, epochs=50)
    assert knee.members(a_pack(source, 1), where(tmp_path), 1.0) == (1, "")  # the tokens are there
    (tmp_path / "cache" / pack_sizes.FILE_NAME).mkdir()
    most, said = knee.members(long, where(tmp_path), 1.0)
    assert most in (1, 2)
    assert "cannot be remembered" in said
