"""The masks of dropout, drawn and applied; whose they are, and where, says ``dropout.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainables.padding import PerMember

_LEVELS = 1 << 16  # of the numbers drawn on the CPU: a probability is met to 1 in 131,072

#: Masks on the CPU are whole numbers as wide as what they mask, all ones or all zeros in their bits, and NumPy makes
#: them: comparing and widening takes torch ten times as long, which was a third of what dropout cost.
_BITS = {torch.bfloat16: np.int16, torch.float16: np.int16, torch.float32: np.int32, torch.float64: np.int64}


@dataclass(frozen=True)
class Place:
    """Where masks are needed, in one step: the sizes that they have, and which part is each member's own.

    ``shape``: ``(k, outer, rows, columns)``. ``own``: rows and columns of each member; those behind, or with
    ``centred`` those around, are padding. ``streams``: ``(k,)`` int64. ``site``: a number of 32 bits.
    ``row``: the only one of the rows that is there; its mask is the one that it has among all.
    ``before``: columns of each member that stand before its own, and are padding.
    """

    shape: tuple[int, int, int, int]
    own: tuple[tuple[int, int], ...]
    streams: Tensor
    site: int
    centred: bool = False
    row: int | None = None
    before: PerMember | None = None


class Dropout(torch.autograd.Function):
    """``x · mask / (1 - p)``, and the same of the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float, place: Place) -> Tensor:
        ctx.p, ctx.place = p, place
        if x.device.type == "cuda":
            return _on_gpu(x, p, place)
        ctx.mask, ctx.scale = _drawn(p, place, x.dtype)
        return _masked(x, ctx.mask, ctx.scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        if gradient.device.type == "cuda":
            return _on_gpu(gradient, ctx.p, ctx.place), None, None
        return _masked(gradient, ctx.mask, ctx.scale), None, None


def _masked(x: Tensor, mask: Tensor, scale: float) -> Tensor:
    return (x.view(mask.dtype) & mask.view(x.shape)).view(x.dtype).mul_(scale)


def _drawn(p: float, place: Place, dtype: torch.dtype) -> tuple[Tensor, float]:
    """Masks ``place.shape``, and what makes up for the zeros; padding is dropped.

    Of one row alone the masks have one row.
    """
    dropped = min(round(p * _LEVELS), _LEVELS - 1)
    threshold = dropped - _LEVELS // 2  # of signed numbers
    bits = _BITS[dtype]
    masks = [
        torch.from_numpy(np.negative(_kept(place, member, rows, columns, threshold).view(np.int8)).astype(bits))
        for member, (rows, columns) in enumerate(place.own)
    ]
    scale = _LEVELS / (_LEVELS - dropped)
    members, outer, rows, columns = place.shape
    shape = (members, outer, rows if place.row is None else 1, columns)
    if all(mask.shape == shape[1:] for mask in masks):
        return masks[0] if len(masks) == 1 else torch.stack(masks), scale
    padded = masks[0].new_zeros(shape)
    for member, mask in enumerate(masks):
        _, rows, columns = mask.shape
        first = (shape[2] - rows) // 2 if place.centred else 0
        left = 0 if place.before is None else place.before.numbers[member]
        padded[member, :, first : first + rows, left : left + columns] = mask
    return padded, scale


def _kept(place: Place, member: int, rows: int, columns: int, threshold: int) -> np.ndarray:
    """What one member keeps ``(outer, rows, columns)``, as its stream says at this site. All rows are drawn for one."""
    shape = (place.shape[1], rows, columns)
    size = shape[0] * rows * columns
    bits = np.random.SFC64([int(place.streams[member]), place.site]).random_raw(-(-size // 4))
    numbers = bits.view(np.int16)[:size].reshape(shape)
    kept: np.ndarray = (numbers if place.row is None else numbers[:, place.row : place.row + 1]) >= threshold
    return kept


def _on_gpu(x: Tensor, p: float, place: Place) -> Tensor:
    from trainables._dropout_kernel import dropped  # needs Triton, which comes with torch for CUDA

    members, outer, rows, columns = place.shape
    before = None if place.before is None else place.before.tensor
    if place.row is not None:
        return dropped(x, p, (members, outer, 1, columns), place.streams, place.site, place.row, before)
    return dropped(x, p, place.shape, place.streams, place.site, -(rows // 2) if place.centred else 0, before)
