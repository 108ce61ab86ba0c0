"""Matrix products of the backbone's linears, by the fastest way that the device has.

On a CPU the library computes float32 products with MKL, which takes older instructions on processors that are not
Intel's: 110 GFLOP/s on a core of an AMD EPYC with AVX-512, where oneDNN, which comes with the library too, reaches 255.
Both round to float32 (``docs/performance.md``). Half precisions go to oneDNN anyway.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class Linear(nn.Linear):
    """The library's linear with the faster product."""

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``x Wᵀ + b``: ``x`` (…, inputs), ``weight`` (outputs, inputs), ``bias`` (outputs) -> (…, outputs)."""
    if x.device.type == "cpu" and x.dtype == torch.float32 and torch.backends.mkldnn.is_available():
        product: Tensor = _Product.apply(x, weight, bias)
        return product
    return functional.linear(x, weight, bias)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x if weight.requires_grad else None, weight)
        return _onednn(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        rows = gradient.flatten(0, -2)
        return (
            _onednn(gradient, weight.t(), None) if of_x else None,
            _onednn(rows.t(), x.flatten(0, -2).t(), None) if of_weight else None,
            rows.sum(0) if of_bias else None,
        )


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return product
