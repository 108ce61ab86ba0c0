"""What a pack in training is told between two epochs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from trainables.trial import Pack


@dataclass(frozen=True)
class Change:
    """``cut``: ids of trials that are cut short. ``along``: packs of the same shape that are trained along with it."""

    cut: Collection[str] = ()
    along: Sequence[Pack] = ()
