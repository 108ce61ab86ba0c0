"""Tokenised examples, held without padding."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Examples:
    """The examples of one split. Sequence ``i * choices + c`` is choice ``c`` of example ``i``.

    ``ids``: token ids of all sequences, one after another, int32. ``types``: their token type ids, uint8.
    ``offsets``: ``(sequences + 1,)`` int64; sequence ``s`` is ``ids[offsets[s]:offsets[s + 1]]``.
    ``labels``: ``(examples,)`` int64, or float32 for regression.
    """

    ids: np.ndarray
    types: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray
    choices: int = 1

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def lengths(self) -> np.ndarray:
        """``(examples,)`` int64, tokens of each example's longest sequence."""
        return np.diff(self.offsets).reshape(-1, self.choices).max(axis=1)

    @property
    def real_tokens(self) -> float:
        """Tokens of all examples, of each the mean over its choices: what ``lengths`` would sum to without padding."""
        return float(self.offsets[-1]) / self.choices

    def sequences(self, examples: np.ndarray) -> np.ndarray:
        """``(len(examples) · choices,)`` the numbers of these examples' sequences, in their order."""
        return (examples[:, None] * self.choices + np.arange(self.choices)).ravel()

    def padded(self, sequences: np.ndarray, width: int, pad_token_id: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Token ids, mask and token type ids of some sequences, each ``(len(sequences), width)`` int64."""
        starts, lengths = self.offsets[sequences], np.diff(self.offsets)[sequences]
        positions = np.arange(width)
        mask = positions < lengths[:, None]
        at = (starts[:, None] + positions)[mask]
        ids = np.full(mask.shape, pad_token_id, dtype=np.int64)
        types = np.zeros(mask.shape, dtype=np.int64)
        ids[mask], types[mask] = self.ids[at], self.types[at]
        return ids, mask.astype(np.int64), types
