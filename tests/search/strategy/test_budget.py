"""What a search has spent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from search.strategy.budget import FILE_NAME, Spending
from search.study import Budget, Resources


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


BEFORE = {f"before-{index}": 900.0 for index in range(4)}  # one hour of one device


def test_device_hours_are_seconds_times_devices_and_count_earlier_runs(tmp_path: Path) -> None:
    spending = Spending(Budget(device_hours=4.5), Resources(cpu=4, gpu=2), tmp_path, BEFORE)
    assert spending.device_hours == pytest.approx(2.0)
    spending.trial("a", 1_800.0)
    spending.trial("b", 600.0)
    spending.trial("b", 1_200.0)
    spending.trial("b", 1_000.0)
    assert spending.device_hours == pytest.approx(2.0 + 2 * 3_000 / 3_600)
    assert spending.exceeded() == ""
    spending.trial("c", 1_500.0)
    assert spending.exceeded() == "4.5 GPU hours are spent (search.budget.device_hours)"
    assert Spending(Budget(device_hours=1.0), Resources(cpu=4), tmp_path, BEFORE).exceeded().startswith("1 CPU hours")


def test_what_was_in_training_when_a_run_ended_is_spent_all_the_same(tmp_path: Path) -> None:
    budget, one = Budget(device_hours=1.0), Resources()
    first = Spending(budget, one, tmp_path)
    first.trial("done", 600.0, ended=True)
    for trial_id, seconds in (("a", 900.0), ("b", 1_200.0)):
        first.trial(trial_id, seconds)
    first.save()

    ended = {"done": 600.0, "b": 1_500.0}  # b ended after the last time that it was written down
    second = Spending(budget, one, tmp_path, ended)
    assert second.device_hours == pytest.approx((600 + 900 + 1_500) / 3_600)
    second.trial("a", 900.0)  # it goes on from there: its curve comes again
    second.trial("a", 1_400.0)
    assert second.exceeded() == ""
    second.trial("a", 1_500.0, ended=True)
    assert second.exceeded().startswith("1 CPU hours")
    second.save()
    assert json.loads((tmp_path / FILE_NAME).read_text()) == {}

    (tmp_path / FILE_NAME).write_text('{"a": ')
    assert Spending(budget, one, tmp_path, ended).device_hours == pytest.approx(2_100 / 3_600)


def test_wall_time_is_that_of_the_run(tmp_path: Path) -> None:
    clock = Clock()
    spending = Spending(Budget(hours=0.5), Resources(), tmp_path, clock=clock)
    clock.now = 1_799.0
    assert spending.exceeded() == ""
    clock.now = 1_800.0
    assert spending.exceeded() == "0.5 hours are over (search.budget.hours)"


def test_without_a_budget_nothing_is_exceeded(tmp_path: Path) -> None:
    clock = Clock()
    spending = Spending(Budget(), Resources(), tmp_path, clock=clock)
    clock.now = 1e9
    spending.trial("a", 1e9)
    assert spending.exceeded() == ""
