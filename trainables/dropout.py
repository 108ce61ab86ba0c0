"""Dropout whose masks belong to the members: what one drops does not depend on who trains beside it.

A member's numbers in one step are a function of its seed, the epoch, the step and the place in the model (a *site*).
They fill what is the member's own: in a pack sequences are padded to the longest of all members, and what is padding
throughout a member has no part in them. So a member of a pack of any size drops what it drops on its own, and what is
computed again, or in another order, has the same masks.

On the CPU each member and site has a generator of its own (``_masks.py``), with 16 bits a number: that is also several
times faster than the library's dropout, which draws 32. On a GPU one kernel computes the masks of all members from
counters (``_dropout_kernel.py``). The two give different numbers.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from trainables.batch import Batch
from trainables.padding import PerMember

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Row:
    """Position ``index`` of a sequence of ``of`` positions."""

    index: int
    of: int


def of_tokens(x: Tensor, p: float, batch: Batch, site: str, layer: int = -1, row: Row | None = None) -> Tensor:
    """Dropout of hidden states ``(k·b, p + n, d)``, or those of one position alone; of nothing outside training."""
    tokens, width = x.shape[1:] if row is None else (row.of, x.shape[2])
    own = [(tokens - padding, width) for padding in batch.padding]
    return _dropout(x, p, batch, (site, layer), (tokens, width), own, row=row)


def of_pairs(
    x: Tensor,
    p: float,
    batch: Batch,
    site: str,
    layer: int = -1,
    row: Row | None = None,
    before: PerMember | None = None,
) -> Tensor:
    """Dropout of attention weights ``(k·b, h, queries, keys)``, or of one query; of nothing outside training.

    ``before``: how many keys of each member stand before its own and have no weight.
    """
    queries, keys = x.shape[2:] if row is None else (row.of, x.shape[3])
    hidden = (0,) * batch.members if before is None else before.numbers
    own = [(queries - padding, keys - padding - n) for padding, n in zip(batch.padding, hidden, strict=True)]
    return _dropout(x, p, batch, (site, layer), (queries, keys), own, row=row, before=before)


def of_distinct(x: Tensor, p: float, batch: Batch, site: str, layer: int = -1) -> Tensor:
    """Dropout of rows ``(k, u, d)`` that belong to ``batch.distinct``; of nothing outside training."""
    rows, width = x.shape[1:]
    own = [(rows - spare, width) for spare in batch.distinct.spare]
    return _dropout(x, p, batch, (site, layer), (rows, width), own)


def of_distances(x: Tensor, p: float, batch: Batch, site: str, layer: int, own: Sequence[int]) -> Tensor:
    """Dropout of a table of relative positions ``(k, 2s, d)``; of nothing outside training.

    ``own``: how many rows in the middle are those of distances that each member has.
    """
    rows, width = x.shape[1:]
    return _dropout(x, p, batch, (site, layer), (rows, width), [(number, width) for number in own], centred=True)


def of_examples(x: Tensor, p: float, batch: Batch, site: str, layer: int = -1) -> Tensor:
    """Dropout of one vector per sequence ``(k, b, d)``; of nothing outside training."""
    return _dropout(x, p, batch, (site, layer), (x.shape[1], x.shape[2]), [(x.shape[1], x.shape[2])] * batch.members)


def _dropout(
    x: Tensor,
    p: float,
    batch: Batch,
    site: tuple[str, int],
    sizes: tuple[int, int],
    own: Sequence[tuple[int, int]],
    centred: bool = False,
    row: Row | None = None,
    before: PerMember | None = None,
) -> Tensor:
    from trainables._masks import Dropout, Place  # with torch, which reading a study does not need

    if batch.streams is None or p == 0:
        return x
    index = None if row is None else row.index
    outer = x.numel() // (batch.members * (sizes[0] if row is None else 1) * sizes[1])
    place = Place((batch.members, outer, *sizes), tuple(own), batch.streams, _number(*site), centred, index, before)
    dropped: Tensor = Dropout.apply(x, p, place)
    return dropped


@lru_cache(maxsize=4096)
def _number(site: str, layer: int) -> int:
    return zlib.crc32(f"{site}/{layer}".encode())
