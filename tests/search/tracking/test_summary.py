"""What a cell's summary says: medians and ties, and beside them, never in them, what trials that confirm say."""

from __future__ import annotations

from math import isnan

from common.selection import Seed
from search.tracking._summary import Summary


def summary(named: set[str] | None = None) -> Summary:
    """Two assignments on two seeds each; the better one was confirmed on two, and so was the other."""
    searched = {
        f"{name}{i}": Seed(name, "finished", best + i, 10) for name, best in (("a", 60), ("b", 50)) for i in (0, 1)
    }
    fresh = {
        "x": Seed("a", "finished", 40.0, 10), "y": Seed("a", "diverged", 41.0, 10),
        "z": Seed("a", "failed", None, None), "w": Seed("b", "finished", 99.0, 10),
    }  # fmt: skip
    return Summary({**searched, **fresh}, set(fresh), named=named)


def test_the_numbers_of_the_search_are_its_own() -> None:
    for named in (None, {"a0", "a1", "b0", "b1"}):
        numbers = summary(named).metrics()
        assert (numbers["n_trials"], numbers["n_finished"], numbers["n_failed"]) == (4, 4, 0)
        assert (numbers["best_median"], numbers["best_seeds"]) == (60.5, 2)
        assert (numbers["confirmed_median"], numbers["confirmed_seeds"]) == (40.5, 2)
        assert summary(named).best_assignment() == "a"


def test_a_fresh_seed_that_became_one_of_the_studys_counts_there() -> None:
    numbers = summary({"a0", "a1", "b0", "b1", "x"}).metrics()
    assert (numbers["n_trials"], numbers["best_median"], numbers["best_seeds"]) == (5, 60.0, 3)
    assert (numbers["confirmed_median"], numbers["confirmed_seeds"]) == (41.0, 1)


def test_another_winner_has_no_confirmation_until_it_is_trained() -> None:
    one = summary({"b0", "b1"})
    one.scores.pop("w")
    one.logged = {"confirmed_median": 40.5, "confirmed_seeds": 2.0}
    numbers = one.metrics()
    assert numbers["best_median"] == 50.5
    assert isnan(numbers["confirmed_median"])
    assert isnan(numbers["confirmed_seeds"])


class TestSummary:
    def test_medians_and_ties(self) -> None:
        def scores(assignment: str, values: list[float | None], parameters: float = 1) -> dict[str, Seed]:
            status = "finished"
            return {f"{assignment}{i}": Seed(assignment, status, v, parameters) for i, v in enumerate(values)}

        cell = Summary({**scores("low", [1, 2, 90]), **scores("wide", [10, 50, 90]), **scores("tight", [49, 50, 51])})
        assert cell.best_assignment() == "tight"
        assert cell.metrics()["best_median"] == 50
        assert cell.metrics()["best_std"] == 1
        small = Summary({**scores("large", [50, 50], 9), **scores("small", [50, 50], 3)})
        assert small.best_assignment() == "small"

    def test_only_finished_and_diverged_trials_with_a_score_count(self) -> None:
        values = {
            "a": Seed("x", "failed", 99.0, None),
            "b": Seed("x", "pruned", 98.0, 1),
            "c": Seed("x", "diverged", 40.0, 1),
            "d": Seed("x", "diverged", None, 1),
        }
        numbers = Summary(values).metrics()
        assert (numbers["best_median"], numbers["best_seeds"], "best_std" in numbers) == (40.0, 1, False)
        assert (numbers["n_trials"], numbers["n_failed"], numbers["n_pruned"], numbers["n_diverged"]) == (4, 1, 1, 2)
        assert Summary().best_assignment() is None
