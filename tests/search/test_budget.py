"""What a search has spent."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.known import known_of
from helpers.stub_study import write_study

from search import study
from search.budget import Spending
from search.plan import plan
from search.study import Budget, Resources


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_device_hours_are_seconds_times_devices_and_count_earlier_runs(tmp_path: Path) -> None:
    trials = plan(study.load(write_study(tmp_path))).trials
    before = [known_of(trial, seconds=900.0) for trial in trials]  # one hour of one device
    spending = Spending(Budget(device_hours=4.5), Resources(cpu=4, gpu=2), before)
    assert spending.device_hours == pytest.approx(2.0)
    spending.trial("a", 1_800.0)
    spending.trial("b", 600.0)
    spending.trial("b", 1_200.0)
    spending.trial("b", 1_000.0)
    assert spending.device_hours == pytest.approx(2.0 + 2 * 3_000 / 3_600)
    assert spending.exceeded() == ""
    spending.trial("c", 1_500.0)
    assert spending.exceeded() == "4.5 GPU hours are spent (search.budget.device_hours)"
    assert Spending(Budget(device_hours=1.0), Resources(cpu=4), before).exceeded().startswith("1 CPU hours")


def test_wall_time_is_that_of_the_run() -> None:
    clock = Clock()
    spending = Spending(Budget(hours=0.5), Resources(), (), clock)
    clock.now = 1_799.0
    assert spending.exceeded() == ""
    clock.now = 1_800.0
    assert spending.exceeded() == "0.5 hours are over (search.budget.hours)"


def test_without_a_budget_nothing_is_exceeded() -> None:
    clock = Clock()
    spending = Spending(Budget(), Resources(), (), clock)
    clock.now = 1e9
    spending.trial("a", 1e9)
    assert spending.exceeded() == ""
