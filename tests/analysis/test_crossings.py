"""Where one expected macro overtakes another, on courses whose crossing is known."""

import numpy as np
import pandas as pd
import pytest
from helpers.assignments import cell

from analysis import crossings
from analysis.courses import Course, of_cells


def course(scores: np.ndarray, method: str, hours: float = 1.0) -> Course:
    """The macro of one method on one task, a grid."""
    values = cell(scores, "grid", method=method, hours=np.full(len(scores), hours))
    return of_cells([values], {("b", "k"): 1})[1][0]


def grid(low: float, high: float, noise: float = 0.1, size: int = 30) -> np.ndarray:
    """Assignments evenly between two scores, with a known noise of three seeds."""
    return np.linspace(low, high, size)[:, None] + np.array([-noise, 0.0, noise])


def test_a_steady_method_leads_until_a_wide_one_overtakes_it() -> None:
    """The expected best of n of an even grid from a to b is near a + (b − a)·n/(n + 1): here both are 78 at n = 4."""
    steady, wide = course(grid(77.5, 78.1), "lora"), course(grid(70, 80), "aot_fc")
    (row,) = crossings.find([wide, steady]).to_dict("records")
    assert (row["first"], row["later"]) == ("lora", "aot_fc")
    assert row["lower"] < row["hours"] < row["upper"]
    assert row["hours"] == pytest.approx(4, rel=0.25)


def test_twice_the_cost_moves_the_crossing() -> None:
    steady = course(grid(77.5, 78.1), "lora")
    once, twice = (crossings.find([course(grid(70, 80), "aot_fc", h), steady])["hours"][0] for h in (1.0, 2.0))
    assert twice / once == pytest.approx(2, rel=0.25)


def test_a_noisy_crossing_is_open_on_its_sides() -> None:
    (row,) = crossings.find([course(grid(77.5, 78.1, 8), "lora"), course(grid(70, 80, 8), "aot_fc")]).to_dict("records")
    assert np.isnan(row["lower"])
    assert np.isnan(row["upper"])


def test_a_lead_is_sure_where_the_interval_of_its_level_is_on_one_side() -> None:
    """Differences are evenly spread from -0.02 to 0.98: 2 % of them are below zero."""
    curves = np.linspace(-0.02, 0.98, 1001)[None]
    one, other = (np.array([0.5]), curves, curves), (np.array([0.0]), np.zeros((1, 1001)), np.zeros((1, 1001)))
    assert [crossings.leads(one, other, level).tolist() for level in (0.99, 0.95)] == [[0], [1]]
    assert [crossings.leads(other, one, level).tolist() for level in (0.99, 0.95)] == [[0], [-1]]
    assert crossings.leads(one, other).tolist() == [0], "it is the 99 % interval that counts"


def test_methods_that_never_cross_and_those_apart_have_no_row() -> None:
    below, above = course(grid(60, 70), "lora"), course(grid(75, 80), "aot_fc")
    assert crossings.find([below, above]).empty
    assert list(crossings.find([below, above]).columns) == crossings.COLUMNS
    assert crossings.find([course(grid(77.5, 78.1), "fine_tuning"), course(grid(70, 80), "aot_fc")]).empty
    assert crossings.find([below]).empty


def test_courses_without_a_common_budget_are_not_compared() -> None:
    assert crossings.find([course(grid(77.5, 78.1), "lora", 1000.0), course(grid(70, 80), "aot_fc", 0.1)]).empty


def test_the_order_of_methods_does_not_matter() -> None:
    pair = [course(grid(77.5, 78.1), "lora"), course(grid(70, 80), "aot_fc")]
    pd.testing.assert_frame_equal(crossings.find(pair), crossings.find(pair[::-1]))


def test_a_lead_is_sure_where_the_interval_of_the_difference_is() -> None:
    near, far, same = (course(grid(low, low + 3, 0.2), name) for low, name in ((70, "a"), (80, "b"), (70, "c")))
    hours = np.array([2.0, 8.0, 20.0])
    at = [own.within(hours) for own in (near, far, same)]
    assert crossings.leads(at[0], at[1]).tolist() == [-1, -1, -1]
    assert crossings.leads(at[1], at[0]).tolist() == [1, 1, 1]
    assert crossings.leads(at[0], at[2]).tolist() == [0, 0, 0]
