"""The member axis: tensors of ``k`` members, each with parameters of its own, as one batched product."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

#: How the names of tensors begin that a member draws once and never trains.
FROZEN = "frozen."


def trainable(params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of a member's tensors that are trained: all but the frozen ones."""
    return {name: value for name, value in params.items() if not name.startswith(FROZEN)}


def by_layer(params: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """Stacked per-layer parameters ``(k, l, …)`` as one dictionary of ``(k, …)`` for each layer.

    ``unbind`` and not ``[:, layer]``: the gradient of an index is a zero tensor of the size of *all* layers, so that
    ``l`` of them cost ``l²``; the gradient of ``unbind`` is one ``stack``.
    """
    unbound = {name: value.unbind(1) for name, value in params.items()}
    return [dict(zip(unbound, layer, strict=True)) for layer in zip(*unbound.values(), strict=True)]


def grouped(x: Tensor, members: int) -> Tensor:
    """Hidden states ``(k·b, …, c)`` as ``(k, b·…, c)``: every position of a member in one axis."""
    return x.reshape(members, -1, x.shape[-1])


def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``x W + b`` for every member: ``x`` (k, m, i), ``weight`` (k, i, o), ``bias`` (k, o) -> (k, m, o)."""
    return bias.unsqueeze(1).baddbmm(x, weight)
