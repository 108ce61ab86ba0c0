"""Sequences of any tasks in batches: which share a forward pass, and what it takes.

A *lane* holds what can share one: all tasks with rows of P, or those of a method that differ in their tensors alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from serving._loaded import Loaded


@dataclass(frozen=True, eq=False)
class Piece:
    """A sequence: where its outputs belong, whose it is, its token ids and types ``(n,)``."""

    place: int
    owner: Loaded
    ids: np.ndarray
    types: np.ndarray


@dataclass(frozen=True)
class Padded:
    """Sequences as arrays ``(b, n)`` of int64: token ids, mask (1 for a real token), token types."""

    ids: np.ndarray
    mask: np.ndarray
    types: np.ndarray

    @property
    def tokens(self) -> int:
        """Those that are no padding."""
        return int(self.mask.sum())

    @property
    def padding(self) -> int:
        return int(self.mask.size) - self.tokens


@dataclass(frozen=True, eq=False)
class Pairs:
    """The distinct (task, token) pairs of a batch, task after task.

    ``owners``: its tasks, those of one form of rows side by side. ``starts``: where each one's pairs begin, and the
    end, ``(tasks + 1,)``. ``ids``: the pairs' token ids ``(u,)``. ``where``: the pair of each token of the batch
    ``(b·n,)``; of padding any.
    """

    owners: tuple[Loaded, ...]
    starts: np.ndarray
    ids: np.ndarray
    where: np.ndarray

    def part(self, first: int, last: int) -> Pairs:
        """The pairs of the tasks from ``first`` to before ``last``; ``where`` is the whole's."""
        starts = self.starts[first : last + 1]
        return Pairs(self.owners[first:last], starts - starts[0], self.ids[starts[0] : starts[-1]], self.where)

    def some(self, indices: np.ndarray) -> Pairs:
        """The pairs with these indices ``(i,)``, ascending, and the tasks that have some; ``where`` is the whole's."""
        begins = np.searchsorted(indices, self.starts)
        having = np.flatnonzero(np.diff(begins))
        starts = np.append(begins[having], len(indices))
        return Pairs(tuple(self.owners[i] for i in having), starts, self.ids[indices], self.where)


def forwards(pieces: Sequence[Piece], most: int, launch: int) -> list[list[Piece]]:
    """The pieces of each forward pass: of one lane, of like length, of at most ``most`` tokens with padding.

    One piece always fits. ``launch``: what a pass costs beside its tokens, in tokens: padding that would cost less is
    not worth another pass.
    """
    lanes: dict[object, list[Piece]] = {}
    for piece in pieces:
        lanes.setdefault(piece.owner.lane, []).append(piece)
    found = []
    for lane in lanes.values():
        ordered = sorted(lane, key=lambda piece: len(piece.ids))
        lengths = np.array([len(piece.ids) for piece in ordered])
        found += [ordered[begin:end] for begin, end in pairwise(_borders(lengths, most, launch))]
    return found


def _borders(lengths: np.ndarray, most: int, launch: int) -> list[int]:
    """Where ascending lengths are cut into batches: full ones from the longest on, then where that saves a launch."""
    full = [len(lengths)]
    while full[-1] > 0:
        full.append(max(0, full[-1] - max(1, most // int(lengths[full[-1] - 1]))))
    waiting, borders = list(pairwise(full[::-1])), {0, len(lengths)}
    while waiting:
        begin, end = waiting.pop()
        borders |= {begin, end}
        inside = np.arange(begin + 1, end)
        saved = (lengths[end - 1] - lengths[inside - 1]) * (inside - begin)
        if len(inside) and saved.max() > launch:
            cut = int(inside[saved.argmax()])
            waiting += [(begin, cut), (cut, end)]
    return sorted(borders)


def padded(pieces: Sequence[Piece], pad_token_id: int) -> Padded:
    """The sequences side by side, filled up behind to the longest."""
    lengths = np.array([len(piece.ids) for piece in pieces])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids, types = np.full(mask.shape, pad_token_id, np.int64), np.zeros(mask.shape, np.int64)
    ids[mask] = np.concatenate([piece.ids for piece in pieces])
    types[mask] = np.concatenate([piece.types for piece in pieces])
    return Padded(ids, mask.astype(np.int64), types)


def pairs(pieces: Sequence[Piece], batch: Padded, vocabulary: int) -> Pairs:
    """The distinct (task, token) pairs of a batch of these pieces."""
    owners = sorted({piece.owner for piece in pieces}, key=lambda owner: (owner.rows or "", owner.number))
    number = {owner: i for i, owner in enumerate(owners)}
    tasks = np.array([number[piece.owner] for piece in pieces])
    real = batch.mask > 0
    keys = (tasks[:, None] * vocabulary + batch.ids)[real]
    distinct, inverse = np.unique(keys, return_inverse=True)
    where = np.zeros(real.size, np.int64)
    where[real.ravel()] = inverse
    starts = np.searchsorted(distinct, np.arange(len(owners) + 1) * vocabulary)
    return Pairs(tuple(owners), starts, distinct % vocabulary, where)
