"""Sequences that are too long, cut as their task says; what stays keeps its order, special tokens and token types."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainables.tasks import Truncation


def kept(segments: Sequence[int | None], truncation: Truncation, max_length: int) -> np.ndarray:
    """Which tokens of a sequence stay.

    Args:
        segments: of each of its tokens the segment, 0 or 1, or ``None`` for a special token; those all stay.
        truncation: where it is cut.
        max_length: the most tokens that stay, special tokens among them.

    Returns:
        ``(len(segments),)`` bool, of which ``max_length`` are True; all where there are no more, and more where the
        special tokens alone are more.
    """
    owner = np.array([-1 if segment is None else segment for segment in segments])
    places = [np.flatnonzero(owner == segment) for segment in (0, 1)]
    room = max(0, max_length - int((owner == -1).sum()))
    stays = owner == -1
    for at, most in zip(places, _lengths(len(places[0]), len(places[1]), room, truncation), strict=True):
        stays[at[len(at) - most :] if truncation.side == "left" else at[:most]] = True
    return stays


def _lengths(first: int, second: int, room: int, truncation: Truncation) -> tuple[int, int]:
    """The tokens that stay of two segments, where there is room for so many in all."""
    if first + second <= room:
        return first, second
    match truncation.segment:
        case "first":
            return max(0, room - second), min(second, room)
        case "second":
            return min(first, room), max(0, room - first)
    half = room // 2  # the longest, as the library's ``longest_first``: the longer one takes an odd token
    if first > second:
        shorter = min(second, half)
        return room - shorter, shorter
    shorter = min(first, half)
    return shorter, room - shorter
