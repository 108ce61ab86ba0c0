"""Expected macros by assignments and by device-hours, against the enumeration of every order."""

from itertools import permutations

import numpy as np
import pytest
from helpers.assignments import cell

from analysis import courses, evp
from analysis._evp_cells import Kind, Values
from analysis.courses import Course, of_cells


def macro(cells: list[Values]) -> Course:
    (found,) = of_cells(cells, {("b", "k"): len(cells)})[1]
    return found


def two_tasks(kind: Kind, size: int = 5) -> list[Values]:
    draw = np.random.default_rng(0)
    return [
        cell(draw.normal(80, 3, (size, 3)), kind, task=task, hours=draw.gamma(4, 0.25, size)) for task in ("x", "y")
    ]


def test_a_macro_is_the_mean_over_tasks_of_as_many_assignments_on_each() -> None:
    cells = two_tasks("grid")
    course = macro(cells)
    assert course.expected == pytest.approx(np.mean([evp.expected_best(own.medians) for own in cells], axis=0))
    assert (course.task, course.method, course.kind, len(course.cells)) == ("macro", "m", "grid", 2)
    assert course.step == pytest.approx(sum(own.hours.mean() for own in cells))


def test_a_macro_of_unequal_tasks_goes_as_far_as_the_smaller() -> None:
    draw = np.random.default_rng(1)
    course = macro([cell(draw.normal(80, 3, (size, 2)), "sample", task=str(size)) for size in (8, 20)])
    assert (len(course.expected), course.limit, course.kind) == (8, 4, "sample")
    lower, upper = course.band()
    assert np.isnan(lower).tolist() == np.isnan(upper).tolist() == [n > 4 for n in range(1, 9)]


def test_a_method_without_a_curve_on_every_task_has_no_macro() -> None:
    single, found = of_cells(two_tasks("grid"), {("b", "k"): 3})
    assert (len(single), found) == (2, [])


def test_the_macro_of_independent_tasks_is_more_certain_than_each() -> None:
    """The variance of a mean of four equal tasks is a quarter: half the width, where no task has a hard end."""
    draw = np.random.default_rng(2)
    scores = draw.normal(70, 3, (60, 2))
    singles, (course,) = of_cells([cell(scores, "sample", task=str(i)) for i in range(4)], {("b", "k"): 4})
    widths = [np.subtract(*own.band()[::-1])[0] for own in (singles[0], course)]
    assert widths[1] / widths[0] == pytest.approx(0.5, abs=0.06)


def test_orders_end_with_the_best_and_all_that_was_spent() -> None:
    course = macro(two_tasks("grid"))
    hours, best = course.orders
    assert (np.diff(hours, axis=1) > 0).all()
    assert (np.diff(best, axis=1) >= 0).all()
    assert hours[:, -1] == pytest.approx(sum(own.hours.sum() for own in course.cells))
    assert best[:, -1] == pytest.approx(np.mean([own.medians[-1] for own in course.cells]))


def test_the_expected_best_within_hours_is_the_mean_over_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courses, "ORDERS", 40_000)
    values = cell(np.random.default_rng(3).normal(80, 5, (5, 2)), "grid", hours=np.array([1.0, 2.0, 1.5, 4.0, 0.5]))
    (course,), _ = of_cells([values], {("b", "k"): 1})
    assert course.span == pytest.approx((4.0, 9.0))
    budgets = np.array([4.0, 5.5, 7.0, 9.0])
    exact = []
    for budget in budgets:
        bests = []
        for order in permutations(range(5)):
            ended = np.cumsum(values.hours[list(order)]) <= budget + 1e-9
            bests.append(values.medians[list(order)][ended].max())
        exact.append(np.mean(bests))
    expected, low, high = course.within(budgets)
    assert expected == pytest.approx(exact, abs=0.05)
    assert (np.quantile(low, 0.025, axis=1) <= expected + 1e-9).all()
    assert (np.quantile(high, 0.975, axis=1) >= expected - 1e-9).all()


def test_with_equal_costs_hours_are_assignments() -> None:
    values = cell(np.random.default_rng(4).normal(80, 5, (10, 3)), "grid")
    (course,), _ = of_cells([values], {("b", "k"): 1})
    expected, low, high = course.within(np.arange(1.0, 11.0))
    table = evp.of_cells([values])
    assert expected == pytest.approx(table["expected"].to_numpy(), abs=0.4), "but for the orders that are simulated"
    half = (np.quantile(high, 0.975, axis=1) - np.quantile(low, 0.025, axis=1)) / 2
    assert half == pytest.approx((table["upper"] - table["lower"]).to_numpy() / 2, rel=0.02)


def test_costs_that_nobody_knows() -> None:
    values = cell(np.random.default_rng(5).normal(80, 5, (5, 2)), "grid", hours=np.full(5, np.nan))
    assert not of_cells([values], {("b", "k"): 1})[0][0].is_timed
