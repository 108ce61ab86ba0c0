"""One kernel for the masks of all members: Philox numbers (Salmon et al., 2011), computed from counters.

The key is the member's stream; the counter is the place of an element: its four columns, its row, what is outside of
the row, and the site. None of them depends on the other members or on how far a pack is padded.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_GROUPS = 256  # of four columns each, in one program


@triton.jit
def _kernel(
    x, out, streams, before, outer, rows, columns, groups, total, first, site, threshold, scale, size: tl.constexpr
):  # fmt: skip
    here = tl.program_id(0).to(tl.int64) * size + tl.arange(0, size)
    inside = here < total
    group = here % groups
    line = here // groups  # of x, as (k · outer · rows, columns)
    row = line % rows + first
    above = line // rows
    key = tl.load(streams + above // outer, mask=inside, other=0)
    counters = group.to(tl.uint32), row.to(tl.uint32), (above % outer).to(tl.uint32), (group * 0 + site).to(tl.uint32)
    numbers = tl.philox(key, counters[0], counters[1], counters[2], counters[3])
    for lane in tl.static_range(4):
        column = group * 4 + lane  # of the member's own; those before them come last
        there = inside & (column < columns)
        if before is not None:
            column = (column + tl.load(before + above // outer, mask=inside, other=0)) % columns
        at = line * columns + column
        value = tl.load(x + at, mask=there, other=0.0).to(tl.float32)
        kept = tl.where(numbers[lane].to(tl.int64) >= threshold, value * scale, 0.0)
        tl.store(out + at, kept, mask=there)


def dropped(
    x: Tensor,
    p: float,
    shape: tuple[int, int, int, int],
    streams: Tensor,
    site: int,
    first: int = 0,
    before: Tensor | None = None,
) -> Tensor:
    """``x`` with a part ``p`` of its elements zero and the others scaled by 1 / (1 - p).

    Args:
        x: on the device, of ``shape`` ``(k, outer, rows, columns)`` or one that it flattens to.
        p: probability, in [0, 1).
        shape: as ``trainables.dropout.Place`` has it.
        streams: ``(k,)`` int64, on the device.
        site: 32 bits.
        first: the number of the first row: where padding lies around the rows they are counted from their middle.
        before: ``(k,)`` int64, on the device: how many columns of a member are padding and stand before its own.
    """
    x = x.contiguous()
    out = torch.empty_like(x)
    members, outer, rows, columns = shape
    groups = -(-columns // 4)
    total = members * outer * rows * groups
    threshold = min(round(p * 2**32), 2**32 - 1)
    grid = (-(-total // _GROUPS),)
    _kernel[grid](
        x, out, streams, before, outer, rows, columns, groups, total, first, site, threshold, 1 / (1 - p), size=_GROUPS
    )  # fmt: skip
    return out
