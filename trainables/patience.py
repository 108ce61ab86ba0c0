"""The stopping rule of the paper (section 4.1), used by the training loop and by the search's scheduler."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class Patience:
    """Says when the dev score has not risen for ``patience`` epochs (Table 6 of the paper).

    Only a strictly higher score is an improvement, so of equal scores the earliest epoch is the best one. A score
    that is not a number is none.
    """

    patience: int
    best: float | None = None
    best_epoch: int | None = None
    epoch: int = 0

    def __post_init__(self) -> None:
        if self.patience < 1:
            raise ValueError(f"patience must be at least 1 epoch, but got {self.patience}")

    def update(self, score: float) -> bool:
        """Take the next epoch's score; True when training should stop."""
        self.epoch += 1
        if not math.isnan(score) and (self.best is None or score > self.best):
            self.best, self.best_epoch = score, self.epoch
        return self.epoch - (self.best_epoch or 0) >= self.patience

    @property
    def improved(self) -> bool:
        """Whether the latest epoch is the best one so far."""
        return self.best_epoch == self.epoch and self.epoch > 0
