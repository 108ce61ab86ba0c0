"""What one step sees: the examples of every member of a pack, concatenated."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """The sequences of ``k`` members, ``b`` each, padded to ``n`` tokens; member after member.

    A multiple-choice example is ``choices`` consecutive sequences; ``b`` counts sequences.
    ``distinct`` and ``where`` name each token of a member once, so that a method that computes a row per
    token computes no row twice: ``distinct.gather(1, where)`` is ``input_ids.view(k, b * n)``.
    """

    input_ids: Tensor  # (k·b, n) int64
    attention_mask: Tensor  # (k·b, n) int64, 1 for a real token
    token_type_ids: Tensor  # (k·b, n) int64
    distinct: Tensor  # (k, u) int64, distinct token ids of each member, padded by repeating
    where: Tensor  # (k, b·n) int64, index into the member's row of ``distinct``
    labels: Tensor  # (k, b / choices) int64, or float32 for regression
    choices: int = 1

    @property
    def members(self) -> int:
        """``k``."""
        return self.distinct.shape[0]

    def to(self, device: torch.device | str) -> Batch:
        """The same batch with every tensor on ``device``."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "choices"}
        return replace(self, **{name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()})
