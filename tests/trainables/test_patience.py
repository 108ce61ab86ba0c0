import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.patience import Patience


def stops_at(scores: list[float], patience: int) -> int | None:
    rule = Patience(patience)
    for epoch, score in enumerate(scores, start=1):
        if rule.update(score):
            return epoch
    return None


def test_stops_after_as_many_epochs_without_a_rise() -> None:
    assert stops_at([50, 60, 60, 59, 70], 2) == 4  # an equal score is not a rise
    assert stops_at([50, 60, 59, 61, 60, 60], 2) == 6
    assert stops_at([50, 51, 52, 53], 1) is None


def test_the_earliest_of_equal_epochs_is_the_best() -> None:
    rule = Patience(5)
    for score in [50, 70, 70]:
        rule.update(score)
    assert (rule.best, rule.best_epoch) == (70, 2)


def test_a_score_that_is_no_number_is_no_improvement() -> None:
    rule = Patience(2)
    assert not rule.update(math.nan)
    assert not rule.improved
    assert rule.update(math.nan)
    assert rule.best is None


@pytest.mark.parametrize("patience", [0, -1])
def test_refuses_a_patience_below_one(patience: int) -> None:
    with pytest.raises(ValueError, match=f"at least 1 epoch, but got {patience}"):
        Patience(patience)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(1, 6))
def test_equals_brute_force(scores: list[int], patience: int) -> None:
    expected = None
    for epoch in range(1, len(scores) + 1):
        seen = scores[:epoch]
        if epoch - 1 - seen.index(max(seen)) >= patience:
            expected = epoch
            break
    assert stops_at([float(s) for s in scores], patience) == expected
