"""The time that is left, and shares of a time that is short. Time here is counted, not measured."""

from __future__ import annotations

import pytest

from common.speed import Measured, Point
from serving.speed_progress import Progress, in_words
from serving.speed_settings import Settings, points

SETTINGS = Settings(
    backbones=("small", "large"), batches=(1, 16), lengths=(64,), methods=("lora",), tasks=(1,), evaluations=10
)
PARAMETERS = {"small": 100, "large": 400}


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def measured(point: Point) -> Measured:
    return Measured(point, 1.25, 1.2, 1.3, 12.0, "CPU")


def test_shares_end_at_the_deadline_and_a_point_that_costs_more_has_a_larger_one() -> None:
    clock, asked = Clock(), points(SETTINGS)
    progress = Progress(asked, SETTINGS, PARAMETERS, lambda words: None, clock)
    assert progress.share(asked[0]) is None
    progress.deadline = 150.0
    shares = []
    for point in asked:
        shares.append(progress.share(point))
        clock.now += shares[-1]
        progress.done(measured(point))
    assert clock.now == pytest.approx(150.0)
    assert shares[2] == pytest.approx(shares[0])  # the same size, fused and unfused
    assert shares[1] == pytest.approx(2 * shares[0])  # 16 × 64 + 256 tokens are four times 64 + 256
    assert shares[4] == pytest.approx(2 * shares[0])  # four times the parameters
    clock.now = 1000.0
    assert Progress(asked, SETTINGS, PARAMETERS, lambda words: None, clock).share(asked[0]) is None


def test_one_that_took_longer_leaves_less_to_the_others_and_never_less_than_nothing() -> None:
    clock, asked = Clock(), points(SETTINGS)
    progress = Progress(asked, SETTINGS, PARAMETERS, lambda words: None, clock)
    progress.deadline = 150.0
    before = progress.share(asked[1])
    clock.now += 60
    progress.done(measured(asked[0]))
    after = progress.share(asked[1])
    assert before is not None
    assert after is not None
    assert 0 < after < before
    clock.now = 200.0
    assert progress.share(asked[1]) == 0


def test_a_line_for_each_point_with_the_time_that_is_left() -> None:
    """Where time is as the parameters times the tokens, what is said is right from the first line on."""
    clock, asked, said = Clock(), points(SETTINGS), []
    progress = Progress(asked, SETTINGS, PARAMETERS, said.append, clock)
    costs = [{"small": 1, "large": 4}[p.backbone] * {1: 1, 16: 4}[p.batch] for p in asked]
    for point, cost in zip(asked, costs, strict=True):
        clock.now += cost
        progress.done(measured(point))
    assert said[0] == (
        "1/8 small 1 × 64, lora-fused: 1.250 [1.200, 1.300] of the plain model's time, 12.0 ms; about 49 s left"
    )
    lefts = [sum(costs) - sum(costs[: i + 1]) for i in range(7)]
    assert [words.rpartition("; ")[2] for words in said[:-1]] == [f"about {left} s left" for left in lefts]
    assert not said[-1].endswith("left")


def test_a_point_that_does_not_fit_counts_as_done() -> None:
    clock, asked, said = Clock(), points(SETTINGS), []
    progress = Progress(asked, SETTINGS, PARAMETERS, said.append, clock)
    clock.now += 1
    progress.missed(asked[0])
    assert said[0].startswith("1/8 small 1 × 64, lora-fused: does not fit into memory")


def test_times_in_words() -> None:
    assert [in_words(s) for s in (0, 89, 90, 3_000, 5_400, 36_000)] == [
        "about 0 s", "about 89 s", "about 2 min", "about 50 min", "about 1.5 h", "about 10.0 h",
    ]  # fmt: skip
