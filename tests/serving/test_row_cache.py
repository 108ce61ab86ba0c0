"""The cache of rows against a brute-force one: what it holds, what goes out, and that every row is the right one."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from serving._batches import Pairs
from serving.row_cache import RowCache

VOCABULARY, LAYERS, WIDTH, TASKS = 40, 2, 3, 4
Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Task:
    """All that the cache asks of an artifact in use."""

    number: int


OWNERS = [Task(10 + i) for i in range(TASKS)]


def cache(capacity: int) -> RowCache:
    made = RowCache(capacity, VOCABULARY, LAYERS, WIDTH, torch.device("cpu"))
    for owner in OWNERS:
        made.add(owner.number)
    return made


def pairs(wanted: list[Pair]) -> Pairs:
    """Sorted pairs of an owner's index and a token."""
    owners: list[Any] = [OWNERS[i] for i in sorted({task for task, _ in wanted})]
    numbers = [owner.number for owner in owners]
    tasks = np.array([numbers.index(OWNERS[task].number) for task, _ in wanted])
    starts = np.searchsorted(tasks, np.arange(len(owners) + 1))
    return Pairs(tuple(owners), starts, np.array([token for _, token in wanted]), np.array([]))


def row(number: int, token: int) -> Tensor:
    return torch.arange(LAYERS * WIDTH).view(LAYERS, WIDTH).half() + 100 * number + token


def fetched(wanted: Pairs) -> Tensor:
    counts = np.diff(wanted.starts)
    assert (counts > 0).all()
    numbers = np.repeat([owner.number for owner in wanted.owners], counts)
    return torch.stack([row(n, t) for n, t in zip(numbers, wanted.ids, strict=True)])


class BruteForce:
    """The same, one pair at a time."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.held, self.hits, self.misses = capacity, OrderedDict[Pair, None](), 0, 0

    def use(self, wanted: list[Pair]) -> None:
        hits = [pair for pair in wanted if pair in self.held]
        misses = [pair for pair in wanted if pair not in self.held]
        self.hits, self.misses = self.hits + len(hits), self.misses + len(misses)
        coming = misses[: self.capacity - len(hits)]
        for pair in hits:
            self.held.move_to_end(pair)
        for _ in range(len(self.held) + len(coming) - self.capacity):
            self.held.popitem(last=False)
        for pair in wanted:  # in the order of the batch
            if pair in self.held or pair in coming:
                self.held[pair] = None
                self.held.move_to_end(pair)


def batches(count: int, seed: int = 0) -> list[list[Pair]]:
    rng = np.random.default_rng(seed)
    drawn = [np.minimum(rng.zipf(1.3, rng.integers(1, 30)) - 1, VOCABULARY * TASKS - 1) for _ in range(count)]
    return [[divmod(int(key), VOCABULARY) for key in np.unique(keys * 37 % (VOCABULARY * TASKS))] for keys in drawn]


@pytest.mark.parametrize("capacity", [1, 5, 18, 40, 159, 500])
def test_it_holds_what_was_used_last(capacity: int) -> None:
    """Capacities below a batch's pairs among them; a full cache sorts a part of its places at a time."""
    ours, brute = cache(capacity), BruteForce(capacity)
    for number, wanted in enumerate(batches(150)):
        table, places = ours.get(pairs(wanted), fetched)
        got = table[torch.from_numpy(places)]
        assert torch.equal(got, torch.stack([row(OWNERS[t].number, x) for t, x in wanted])), number
        brute.use(wanted)
        assert (ours.hits, ours.misses, ours.rows) == (brute.hits, brute.misses, len(brute.held)), number
    assert ours.hits > 0


def test_without_room_every_row_is_fetched() -> None:
    ours = cache(0)
    for wanted in batches(3):
        table, places = ours.get(pairs(wanted), fetched)
        assert torch.equal(table[torch.from_numpy(places)], fetched(pairs(wanted)))
    assert (ours.hits, ours.rows) == (0, 0)


def test_a_removed_task_is_forgotten() -> None:
    """Its places are the first to be taken; a batch that was on its way has its rows, and leaves none behind."""
    ours = cache(10)
    first, second = [(0, token) for token in range(4)], [(1, token) for token in range(6)]
    ours.get(pairs(first), fetched)
    ours.get(pairs(second), fetched)
    ours.remove(OWNERS[1].number)
    assert ours.rows == 4
    table, places = ours.get(pairs(second), fetched)
    assert torch.equal(table[torch.from_numpy(places)], fetched(pairs(second)))
    assert ours.rows == 4
    ours.get(pairs([(2, token) for token in range(6)]), fetched)
    before = ours.hits
    ours.get(pairs(first), fetched)
    assert (ours.hits - before, ours.rows) == (4, 10)


def test_a_task_of_the_same_artifact_begins_anew() -> None:
    ours = cache(10)
    ours.get(pairs([(1, 3)]), fetched)
    ours.remove(OWNERS[1].number)
    ours.add(OWNERS[1].number)
    ours.get(pairs([(1, 3)]), fetched)
    assert (ours.hits, ours.misses) == (0, 2)
