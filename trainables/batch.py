"""What one step sees: the examples of every member of a pack, concatenated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from trainables.padding import PerMember


@dataclass(frozen=True)
class Distinct:
    """Each token id of a member once: a method that computes a row per token computes no row twice.

    ``ids.gather(1, where)`` is ``input_ids.view(k, b * n)``. ``spare`` tells what a pack adds to the member's own: how
    many entries of its row of ``ids``, at the end, are of no real token.
    """

    ids: Tensor  # (k, u) int64, filled up with the padding's
    where: Tensor  # (k, b·n) int64, index into the member's row of ``ids``
    spare: tuple[int, ...]  # k


@dataclass(frozen=True)
class Batch:
    """The sequences of ``k`` members, ``b`` each, padded to ``n`` tokens; member after member.

    A multiple-choice example is ``choices`` consecutive sequences; ``b`` counts sequences.

    ``padding`` tells what is the member's own from what a pack adds to it: how many of its columns, at the end, are
    padding in all its sequences.
    ``streams``: the numbers of the members' dropout in this step (``dropout.py``); None outside training.
    ``tokens``: behind ``distinct``, for the methods that ask for it.
    ``sizes``: each member's own rank or prompt length, by the names of the hyperparameters, where the members' tensors
    are padded to the largest; empty where there is no padding.
    """

    input_ids: Tensor  # (k·b, n) int64
    attention_mask: Tensor  # (k·b, n) int64, 1 for a real token
    token_type_ids: Tensor  # (k·b, n) int64
    labels: Tensor  # (k, b / choices) int64, or float32 for regression
    choices: int = 1
    padding: tuple[int, ...] = (0,)  # k
    streams: Tensor | None = None  # (k,) int64
    tokens: Distinct | None = None
    sizes: Mapping[str, PerMember] = field(default_factory=dict)

    @property
    def members(self) -> int:
        """``k``."""
        return self.labels.shape[0]

    @property
    def distinct(self) -> Distinct:
        """The distinct tokens of each member; ValueError where the method did not ask for them."""
        if self.tokens is None:
            raise ValueError(
                "batch.distinct is there for methods that ask for it, but this one does not; "
                "say `distinct_tokens: ClassVar[bool] = True` in its class"
            )
        return self.tokens

    def to(self, device: torch.device | str) -> Batch:
        """The same batch with every tensor on ``device``; a GPU is not waited for where the batch was ``staged``."""
        return self._with(lambda tensor: tensor.to(device, non_blocking=True))

    def staged(self, device: torch.device) -> Batch:
        """The same batch where ``device`` copies it from while it computes: in pinned memory for a GPU."""
        return self._with(lambda tensor: tensor.pin_memory()) if device.type == "cuda" else self

    def _with(self, change: Callable[[Tensor], Tensor]) -> Batch:
        values: dict[str, Any] = {f.name: _changed(getattr(self, f.name), change) for f in fields(self)}
        return Batch(**values)


def _changed(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A value of a batch, its tensors changed."""
    from torch import Tensor

    if isinstance(value, Distinct):
        return replace(value, ids=change(value.ids), where=change(value.where))
    return change(value) if isinstance(value, Tensor) else value
