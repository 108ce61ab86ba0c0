"""Pairs of evaluations: their order, what drifts, when they end. Time here is counted, not measured."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from serving.speed_statistics import LEAST_PAIRS
from serving.speed_timing import WARM_UP, in_pairs


class Machine:
    """A clock, and evaluations that take a time that drifts."""

    def __init__(self, drift: float = 0.0) -> None:
        self.now, self.drift = 0.0, drift
        self.log: list[tuple[str, int]] = []
        self.waited = 0

    def clock(self) -> float:
        return self.now

    def wait(self) -> None:
        self.waited += 1

    def evaluation(self, name: str, seconds: float):
        def evaluate(index: int) -> None:
            self.log.append((name, index))
            self.now += seconds * (1 + self.drift * self.now)

        return evaluate


def timed(machine: Machine, pairs: int, slower: float = 1.25, **others):
    plain, method = machine.evaluation("plain", 1.0), machine.evaluation("method", slower)
    return in_pairs(plain, method, pairs, machine.wait, clock=machine.clock, **others)


def test_who_is_first_changes_and_both_see_the_same_batches() -> None:
    machine = Machine()
    found = timed(machine, 8)
    measured = machine.log[2 * WARM_UP :]
    assert [name[0] for name, _ in measured] == list("pm" + "mp" + "pm" + "mp" + "pm" + "mp" + "pm" + "mp")
    assert [index for _, index in measured] == [i for i in range(8) for _ in range(2)]
    assert {index for _, index in machine.log[: 2 * WARM_UP]} == set(range(-WARM_UP, 0))
    assert machine.waited == 4 * 8  # before each clock is read
    np.testing.assert_allclose(found.ratios, 1.25)
    np.testing.assert_allclose(found.plain, 1000.0)


def test_what_drifts_meets_both() -> None:
    """A machine that becomes half as fast: times double, the median of the ratios stays; unpaired means would not."""
    machine = Machine(drift=0.004)
    found = timed(machine, 100)
    assert found.plain[-1] > 2 * found.plain[0]
    assert np.median(found.ratios) == pytest.approx(1.25, abs=0.002)
    assert np.median(found.method[50:]) / np.median(found.plain[:50]) > 1.6


def test_time_ends_it_once_there_is_an_interval() -> None:
    assert len(timed(Machine(), 100, seconds=0.0).ratios) == LEAST_PAIRS
    assert len(timed(Machine(), 100, seconds=22.5).ratios) == 11  # 2.25 s each
    assert len(timed(Machine(), 8, seconds=1e9).ratios) == 8


def test_it_is_told_how_far_it_is() -> None:
    told: list[tuple[int, int]] = []
    timed(Machine(), 3, tick=lambda done, pairs: told.append((done, pairs)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_circles_are_looked_for_again_afterwards_whatever_happens() -> None:
    def fails(index: int) -> None:
        assert index < 2 or not gc.isenabled()
        if index == 2:
            raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        in_pairs(fails, fails, 6, lambda: None)
    assert gc.isenabled()
