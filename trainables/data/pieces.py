"""Where a row of examples, in order of length, is cut into pieces that are padded to their longest example each."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

#: Of all tokens, the share that may be padding. Less costs mixing in training and launches in an evaluation.
MOST_PADDING = 0.05


def pieces(lengths: np.ndarray, borders: Sequence[int], *, allowed: np.ndarray, real: float) -> list[int]:
    """Borders between which little is padding: the given ones, and as few more as that takes.

    While the share of padding is above ``MOST_PADDING``, the cut that saves most is made.

    Args:
        lengths: ``(examples,)``, ascending.
        borders: ascending, from 0 to the number of examples.
        allowed: where cuts may be made, ascending.
        real: the tokens of all examples that are not padding.
    """
    found = set(borders)
    padded = sum(int(lengths[end - 1]) * (end - begin) for begin, end in pairwise(borders))
    cuts = [best for piece in pairwise(borders) for best in _best_cut(lengths, piece, allowed)]
    heapq.heapify(cuts)
    while cuts and real < (1 - MOST_PADDING) * padded:
        less, begin, cut, end = heapq.heappop(cuts)
        padded += less
        found.add(cut)
        for part in ((begin, cut), (cut, end)):
            for best in _best_cut(lengths, part, allowed):
                heapq.heappush(cuts, best)
    return sorted(found)


def _best_cut(lengths: np.ndarray, piece: tuple[int, int], allowed: np.ndarray) -> list[tuple[int, int, int, int]]:
    """How many tokens the best cut of a piece adds (less than 0), its beginning, the cut and its end; or nothing."""
    begin, end = piece
    inside = allowed[np.searchsorted(allowed, begin, "right") : np.searchsorted(allowed, end)]
    more = (lengths[inside - 1] - lengths[end - 1]) * (inside - begin)
    if not more.any():  # nowhere to cut, or all are of one length
        return []
    at = int(more.argmin())
    return [(int(more[at]), begin, int(inside[at]), end)]
