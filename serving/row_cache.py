"""A cache of rows of P in the device's memory: token frequencies are Zipf's, so that few rows serve most tokens."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from serving._batches import Pairs
from trainables.devices import sent

#: Of a full cache, the share whose order of use is found at a time: finding it looks at the whole.
_SORTED = 16


class RowCache:
    """The most recently used rows of P of all tasks, in the device's memory; for one thread at a time.

    Rows come in by use, and where there is no room the least recently used go out; those of one batch count as used in
    the order of its pairs, and none of them goes out for another. ``table``: ``(capacity, l, d)`` in half precision.
    """

    def __init__(self, capacity: int, vocabulary: int, layers: int, width: int, device: torch.device) -> None:
        self.capacity = capacity
        self.hits = self.misses = 0
        self._vocabulary = vocabulary
        self._shape, self._device = (capacity, layers, width), device
        self._made: Tensor | None = None
        self._places: dict[int, np.ndarray] = {}  # of each task, by token: 1 + the place of its row, or 0
        self._owners = np.full(capacity, -1)  # of each place, the task's number
        self._tokens = np.zeros(capacity, np.int64)
        self._used = np.arange(-capacity, 0)  # when: places that are free were used before all others
        self._earliest, self._now = -capacity, 0
        self._oldest: deque[tuple[int, int]] = deque()  # places in the order of use, and when that was

    @property
    def table(self) -> Tensor:
        """Memory is taken when it is first asked for."""
        if self._made is None:
            self._made = torch.empty(self._shape, dtype=torch.float16, device=self._device)
        return self._made

    @property
    def rows(self) -> int:
        """How many rows are held."""
        return int((self._owners >= 0).sum())

    @property
    def row_bytes(self) -> int:
        return self._shape[1] * self._shape[2] * torch.float16.itemsize

    def add(self, number: int) -> None:
        """Rows of the task of this number may be held from now on."""
        self._places[number] = np.zeros(self._vocabulary, np.int32)  # pages that are not written take no memory

    def remove(self, number: int) -> None:
        """Forget the rows of a task; of a batch that is on its way they are then not kept."""
        places = self._places.pop(number, None)
        if places is not None:
            freed = places[places > 0] - 1
            self._owners[freed] = -1
            self._earliest -= len(freed)
            self._used[freed] = np.arange(self._earliest, self._earliest + len(freed))
            self._oldest.clear()

    def get(self, pairs: Pairs, fetch: Callable[[Pairs], Tensor], counted: bool = True) -> tuple[Tensor, np.ndarray]:
        """A table ``(m, l, d)`` on the device, and in it the place of each pair ``(u,)``.

        ``fetch`` gives the rows ``(i, l, d)``, on the device, of those of the pairs that the cache does not have.
        ``counted``: whether they count as hits and misses.
        """
        places = self._found(pairs)
        missing = np.flatnonzero(places < 0)
        self.hits += counted * (len(places) - len(missing))
        self.misses += counted * len(missing)
        held = places >= 0
        self._used[places[held]] = self._now + np.flatnonzero(held)
        if not len(missing):
            self._now += len(places)
            return self.table, places
        fetched = fetch(pairs.some(missing))
        kept = self._kept(pairs, missing, room=self.capacity - int(held.sum()))
        places[missing[kept]] = self._taken(pairs, missing[kept])
        self._now += len(places)
        if len(kept):
            self.table.index_copy_(0, self._on_device(places[missing[kept]]), fetched[self._on_device(kept)])
        if len(kept) == len(missing):
            return self.table, places
        return self._with_others(places, fetched, missing)

    def _found(self, pairs: Pairs) -> np.ndarray:
        """The place of each pair, -1 for none."""
        found = np.full(len(pairs.ids), -1, np.int64)
        for owner, (begin, end) in zip(pairs.owners, pairwise(pairs.starts.tolist()), strict=True):
            if (places := self._places.get(owner.number)) is not None:
                found[begin:end] = places[pairs.ids[begin:end]].astype(np.int64) - 1
        return found

    def _kept(self, pairs: Pairs, missing: np.ndarray, room: int) -> np.ndarray:
        """Which of the missing pairs come in: the first for which there is room, of tasks that are still there."""
        known = np.array([owner.number in self._places for owner in pairs.owners])
        return np.flatnonzero(np.repeat(known, np.diff(pairs.starts))[missing])[:room]

    def _taken(self, pairs: Pairs, indices: np.ndarray) -> np.ndarray:
        """Places for these pairs; what was there goes out."""
        places = self._least_recent(len(indices))
        for number in np.unique(self._owners[places]):
            if number >= 0:
                self._places[int(number)][self._tokens[places[self._owners[places] == number]]] = 0
        numbers = np.repeat([owner.number for owner in pairs.owners], np.diff(pairs.starts))[indices]
        self._owners[places], self._tokens[places] = numbers, pairs.ids[indices]
        self._used[places] = self._now + indices
        for number in np.unique(numbers):
            own = numbers == number
            self._places[int(number)][pairs.ids[indices[own]]] = places[own] + 1
        return places

    def _least_recent(self, count: int) -> np.ndarray:
        """The places that were used longest ago. Their order is found for many at once; those used since then go."""
        found: list[int] = []
        while len(found) < count:
            if not self._oldest:
                most = min(self.capacity, max(count, self.capacity // _SORTED))
                first = np.argpartition(self._used, most - 1)[:most]
                ordered = first[np.argsort(self._used[first])]
                taken = set(found)
                used = zip(ordered.tolist(), self._used[ordered].tolist(), strict=True)
                self._oldest.extend((place, when) for place, when in used if place not in taken)
            place, when = self._oldest.popleft()
            if self._used[place] == when:
                found.append(place)
        return np.array(found, np.int64)

    def _with_others(self, places: np.ndarray, fetched: Tensor, missing: np.ndarray) -> tuple[Tensor, np.ndarray]:
        """A table of the batch's own: more pairs than the cache has room for."""
        held = np.flatnonzero(places >= 0)
        other = np.flatnonzero(places[missing] < 0)
        table = torch.cat([self.table[self._on_device(places[held])], fetched[self._on_device(other)]])
        order = np.empty(len(places), np.int64)
        order[held], order[missing[other]] = np.arange(len(held)), len(held) + np.arange(len(other))
        return table, order

    def _on_device(self, index: np.ndarray) -> Tensor:
        return sent(torch.from_numpy(index), self._device)
