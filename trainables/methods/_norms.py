"""Norms of the library, taken apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


def normalised(norm: nn.Module, x: Tensor) -> Tensor:
    """What a backbone's norm makes of ``x`` (…, d) before its own scale and shift: with a scale of one and no shift.

    For methods that train these. Families have norms of several classes, which have only ``weight`` and ``bias`` in
    common (DeBERTa v1's is one of its own).
    """
    import torch

    scale, shift = (norm.get_parameter(name) for name in ("weight", "bias"))
    without = {"weight": torch.ones_like(scale), "bias": torch.zeros_like(shift)}
    result: Tensor = torch.func.functional_call(norm, without, (x,))
    return result
