"""What one step sees: the examples of every member of a pack, concatenated."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from trainables.devices import sent

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """The sequences of ``k`` members, ``b`` each, padded to ``n`` tokens; member after member.

    A multiple-choice example is ``choices`` consecutive sequences; ``b`` counts sequences.
    ``distinct`` and ``where`` name each token of a member once, so that a method that computes a row per
    token computes no row twice: ``distinct.gather(1, where)`` is ``input_ids.view(k, b * n)``.

    ``padding`` and ``spare`` tell what is the member's own from what a pack adds to it: how many of its columns, at the
    end, are padding in all its sequences, and how many entries of its row of ``distinct``, at the end, are of no real
    token.
    ``streams``: the numbers of the members' dropout in this step (``dropout.py``); None outside training.
    """

    input_ids: Tensor  # (k·b, n) int64
    attention_mask: Tensor  # (k·b, n) int64, 1 for a real token
    token_type_ids: Tensor  # (k·b, n) int64
    distinct: Tensor  # (k, u) int64, distinct token ids of each member, padded by repeating
    where: Tensor  # (k, b·n) int64, index into the member's row of ``distinct``
    labels: Tensor  # (k, b / choices) int64, or float32 for regression
    choices: int = 1
    padding: tuple[int, ...] = (0,)  # k
    spare: tuple[int, ...] = (0,)  # k
    streams: Tensor | None = None  # (k,) int64

    @property
    def members(self) -> int:
        """``k``."""
        return self.distinct.shape[0]

    def to(self, device: torch.device | str) -> Batch:
        """The same batch with every tensor on ``device``; a GPU is not waited for."""
        import torch

        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        tensors = {name: value for name, value in values.items() if isinstance(value, torch.Tensor)}
        return Batch(**values | {name: sent(tensor, torch.device(device)) for name, tensor in tensors.items()})
