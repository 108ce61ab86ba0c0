"""Samplers: the same contract for each, and what is particular to one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from math import log10

import pytest

from search.strategy.samplers import Assignment, GridSampler, RandomSampler, Sampler, TPESampler
from search.study import Grids, Range

GRIDS: Grids = {"rank": (2, 4, 8), "batch_size": (16, 64), "alpha": (None, 1.0)}
REAL: Grids = {"learning_rate": Range(low=1e-5, high=1e-1, log=True), "rank": Range(low=1, high=9).of_whole_numbers()}

SAMPLERS: dict[str, Callable[[], Sampler]] = {
    "grid": lambda: GridSampler(GRIDS),
    "random": lambda: RandomSampler(GRIDS, n=7, seed=3),
    "random, all of them": lambda: RandomSampler(GRIDS, n=100, seed=3),
}


def drain(sampler: Sampler) -> list[Assignment]:
    return list(iter(sampler.ask, None))


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_gives_different_assignments_of_the_grid_and_ends(name: str) -> None:
    assignments = drain(SAMPLERS[name]())
    keys = [tuple(a.values()) for a in assignments]
    assert len(set(keys)) == len(keys) > 0
    assert set(keys) <= set(itertools.product(*GRIDS.values()))
    assert all(list(a) == list(GRIDS) for a in assignments)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_gives_the_same_again_whatever_it_is_told(name: str) -> None:
    sampler, told = SAMPLERS[name](), []
    while (assignment := sampler.ask()) is not None:
        told.append(assignment)
        sampler.tell(assignment, 50.0)
    assert told == drain(SAMPLERS[name]())
    assert sampler.ask() is None


def test_the_grid_is_the_product_in_order() -> None:
    expected = [dict(zip(GRIDS, values, strict=True)) for values in itertools.product(*GRIDS.values())]
    assert drain(GridSampler(GRIDS)) == expected


def test_the_grid_of_nothing_is_one_assignment() -> None:
    assert drain(GridSampler({})) == [{}]


def test_the_grid_takes_no_range() -> None:
    with pytest.raises(ValueError, match="range for learning_rate"):
        GridSampler({"learning_rate": REAL["learning_rate"], "rank": (1,)})


def test_random_takes_all_of_a_small_grid() -> None:
    assert len(drain(RandomSampler(GRIDS, n=100, seed=0))) == 12
    assert len(drain(RandomSampler({"rank": REAL["rank"]}, n=100, seed=0))) == 9


def test_a_larger_random_search_keeps_the_smaller_one() -> None:
    assert drain(RandomSampler(REAL, n=20, seed=1))[:8] == drain(RandomSampler(REAL, n=8, seed=1))


def test_seeds_give_different_draws() -> None:
    assert drain(RandomSampler(REAL, n=8, seed=1)) != drain(RandomSampler(REAL, n=8, seed=2))


def test_ranges_are_kept_and_logarithmic_ones_are_even_in_the_logarithm() -> None:
    drawn = drain(RandomSampler(REAL, n=400, seed=5))
    rates, ranks = [a["learning_rate"] for a in drawn], [a["rank"] for a in drawn]
    assert all(1e-5 <= rate <= 1e-1 for rate in rates)
    assert 0.4 < sum(rate < 1e-3 for rate in rates) / 400 < 0.6  # half of the four decades
    assert all(isinstance(rank, int) for rank in ranks)
    assert set(ranks) == set(range(1, 10))


def test_tpe_learns_where_assignments_diverge() -> None:
    """The best rate is just below those that diverge; with nothing learnt of them, nearly all of the last would."""
    diverged = []
    for seed in range(6):
        sampler = TPESampler({"learning_rate": Range(low=1e-5, high=1.0, log=True)}, n=40, seed=seed)
        for i, assignment in enumerate(drain_and_tell(sampler)):
            diverged += [assignment["learning_rate"]] * (i >= 20 and assignment["learning_rate"] > 1e-2)
    assert len(diverged) / 6 < 10


def drain_and_tell(sampler: TPESampler) -> Iterator[Assignment]:
    while (assignment := sampler.ask()) is not None:
        rate = assignment["learning_rate"]
        if rate > 1e-2:
            sampler.tell(assignment, None, complete=False)
        else:
            sampler.tell(assignment, 80 - 3 * (log10(rate) + 2.3) ** 2)
        yield assignment


def test_tpe_leaves_out_what_failed_alone() -> None:
    sampler = TPESampler(GRIDS, n=4, seed=0)
    told = [(None, False, True), (None, False, False), (60.0, False, False), (70.0, True, False)]
    for how in told:
        sampler.tell(sampler.ask(), *how)
    trials = sampler._study.trials
    states = [trials[asked.number].state.name for asked in sampler._asked.values()]
    assert states == ["FAIL", "PRUNED", "PRUNED", "COMPLETE"]


def test_a_whole_grid_is_drawn_in_random_order_without_waiting_for_its_last_assignments() -> None:
    grids = {"rank": tuple(range(150)), "alpha": tuple(range(150))}
    drawn = drain(RandomSampler(grids, n=10**6, seed=0))
    whole = drain(GridSampler(grids))
    assert drawn != whole
    assert sorted(drawn, key=lambda one: (one["rank"], one["alpha"])) == whole
    assert drawn == drain(RandomSampler(grids, n=150**2, seed=0)) != drain(RandomSampler(grids, n=150**2, seed=1))
