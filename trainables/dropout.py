"""Dropout whose masks belong to the members: what one drops does not depend on who trains beside it.

A member's numbers in one step are a function of its seed, the epoch, the step and the place in the model (a *site*).
They fill what is the member's own: in a pack sequences are padded to the longest of all members, and what is padding
throughout a member has no part in them. So a member of a pack of any size drops what it drops on its own, and what is
computed again, or in another order, has the same masks.

On the CPU each member and site has a generator of its own (``_drawn``), with 16 bits a number: that is also several
times faster than the library's dropout, which draws 32. On a GPU one kernel computes the masks of all members from
counters (``_dropout_kernel.py``). The two give different numbers.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainables.batch import Batch

_LEVELS = 1 << 16  # of the numbers drawn on the CPU: a probability is met to 1 in 131,072


@dataclass(frozen=True)
class Place:
    """Where masks are needed, in one step: the sizes that they have, and which part is each member's own.

    ``shape``: ``(k, outer, rows, columns)``. ``own``: rows and columns of each member; those behind, or with
    ``centred`` those around, are padding. ``streams``: ``(k,)`` int64. ``site``: a number of 32 bits.
    """

    shape: tuple[int, int, int, int]
    own: tuple[tuple[int, int], ...]
    streams: Tensor
    site: int
    centred: bool = False


def of_tokens(x: Tensor, p: float, batch: Batch, site: str, layer: int = -1) -> Tensor:
    """Dropout of hidden states ``(k·b, p + n, d)``; of nothing outside training."""
    tokens, width = x.shape[1:]
    own = [(tokens - padding, width) for padding in batch.padding]
    return _dropout(x, p, batch, (site, layer), (tokens, width), own)


def of_pairs(x: Tensor, p: float, batch: Batch, site: str, layer: int = -1) -> Tensor:
    """Dropout of attention weights ``(k·b, h, queries, keys)``; of nothing outside training."""
    queries, keys = x.shape[2:]
    own = [(queries - padding, keys - padding) for padding in batch.padding]
    return _dropout(x, p, batch, (site, layer), (queries, keys), own)


def of_distinct(x: Tensor, p: float, batch: Batch, site: str, layer: int = -1) -> Tensor:
    """Dropout of rows ``(k, u, d)`` that belong to ``batch.distinct``; of nothing outside training."""
    rows, width = x.shape[1:]
    own = [(rows - spare, width) for spare in batch.spare]
    return _dropout(x, p, batch, (site, layer), (rows, width), own)


def of_distances(x: Tensor, p: float, batch: Batch, site: str, layer: int, own: Sequence[int]) -> Tensor:
    """Dropout of a table of relative positions ``(k, 2s, d)``; of nothing outside training.

    ``own``: how many rows in the middle are those of distances that each member has.
    """
    rows, width = x.shape[1:]
    return _dropout(x, p, batch, (site, layer), (rows, width), [(number, width) for number in own], centred=True)


def of_examples(x: Tensor, p: float, batch: Batch, site: str, layer: int = -1) -> Tensor:
    """Dropout of one vector per sequence ``(k, b, d)``; of nothing outside training."""
    return _dropout(x, p, batch, (site, layer), (x.shape[1], x.shape[2]), [(x.shape[1], x.shape[2])] * batch.members)


def _dropout(
    x: Tensor,
    p: float,
    batch: Batch,
    site: tuple[str, int],
    sizes: tuple[int, int],
    own: Sequence[tuple[int, int]],
    centred: bool = False,
) -> Tensor:
    if batch.streams is None or p == 0:
        return x
    outer = x.numel() // (batch.members * sizes[0] * sizes[1])
    place = Place((batch.members, outer, *sizes), tuple(own), batch.streams, _number(*site), centred)
    dropped: Tensor = _Dropout.apply(x, p, place)
    return dropped


@lru_cache(maxsize=4096)
def _number(site: str, layer: int) -> int:
    return zlib.crc32(f"{site}/{layer}".encode())


class _Dropout(torch.autograd.Function):
    """``x · mask / (1 - p)``, and the same of the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float, place: Place) -> Tensor:
        ctx.p, ctx.place = p, place
        if x.device.type == "cuda":
            return _on_gpu(x, p, place)
        ctx.mask, ctx.scale = _drawn(p, place, x.dtype)
        return (x * ctx.mask.view(x.shape)).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        if gradient.device.type == "cuda":
            return _on_gpu(gradient, ctx.p, ctx.place), None, None
        return (gradient * ctx.mask.view(gradient.shape)).mul_(ctx.scale), None, None


def _drawn(p: float, place: Place, dtype: torch.dtype) -> tuple[Tensor, float]:
    """Masks of zeros and ones ``place.shape``, and what makes up for the zeros; padding is dropped."""
    dropped = min(round(p * _LEVELS), _LEVELS - 1)
    threshold = dropped - _LEVELS // 2  # of signed numbers
    masks = [
        _own_mask(place, member, rows, columns, threshold).to(dtype) for member, (rows, columns) in enumerate(place.own)
    ]
    scale = _LEVELS / (_LEVELS - dropped)
    if all(own == place.shape[2:] for own in place.own):
        return masks[0] if len(masks) == 1 else torch.stack(masks), scale
    padded = torch.zeros(place.shape, dtype=dtype)
    for member, mask in enumerate(masks):
        _, rows, columns = mask.shape
        first = (place.shape[2] - rows) // 2 if place.centred else 0
        padded[member, :, first : first + rows, :columns] = mask
    return padded, scale


def _own_mask(place: Place, member: int, rows: int, columns: int, threshold: int) -> Tensor:
    """One member's mask ``(outer, rows, columns)``: what its stream says at this site."""
    shape = (place.shape[1], rows, columns)
    size = shape[0] * rows * columns
    bits = np.random.SFC64([int(place.streams[member]), place.site]).random_raw(-(-size // 4))
    return torch.from_numpy(bits.view(np.int16)[:size]).view(shape) >= threshold


def _on_gpu(x: Tensor, p: float, place: Place) -> Tensor:
    from trainables._dropout_kernel import dropped  # needs Triton, which comes with torch for CUDA

    return dropped(x, p, place.shape, place.streams, place.site, place.centred)
