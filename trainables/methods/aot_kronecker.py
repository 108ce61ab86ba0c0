"""Kronecker AoT P-Tuning (section 3.3 of the paper, equation 2): P as a product of three small matrices.

The paper is Ahead-of-Time P-Tuning (Gavrilov and Balagansky, 2023, https://arxiv.org/abs/2305.10835).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, Field

from trainables.methods import SETTINGS, Fused, Seams, Spec, add_rows, all_rows, by_layer, row_chunks, take

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from trainables.methods import Backbone, Batch


class KroneckerAoT:
    """``P = (W_L ⊗ W_M) W_R`` in every layer; the row of token ``x`` is added to its hidden state before the layer.

    Row ``x`` of the Kronecker product is that of row ``x div b`` of ``W_L`` and row ``x mod b`` of ``W_M``, so no more
    than the rows in the batch are ever formed. Parameters of one member: ``w_l`` (l, a, r), ``w_m`` (l, b, r) and
    ``w_r`` (l, r, r, d), which is W_R by a column of ``W_L`` and one of ``W_M``, zero at the start.

    Args:
        config: ``rank``, the columns of ``W_L`` and ``W_M``; ``a`` and ``b``, their rows, chosen near-square where they
            are left out; and the probability of ``dropout`` on the looked-up rows.
        spec: the sizes of the backbone; here its layers, their width, and the vocabulary that ``a·b`` must cover.

    Raises:
        ValueError: ``a·b`` is smaller than the vocabulary.
    """

    class Config(BaseModel):
        """Hyperparameters of Kronecker AoT P-Tuning."""

        model_config = SETTINGS

        rank: int = Field(25, ge=1, description="r, the columns of W_L and of W_M; P has rank r² at most")
        a: int | None = Field(None, ge=1, description="rows of W_L; chosen so that a·b just covers the vocabulary")
        b: int | None = Field(None, ge=1, description="rows of W_M; chosen so that a·b just covers the vocabulary")
        dropout: float = Field(0.1, ge=0, lt=1, description="probability of dropout on the looked-up rows of P")

    label: ClassVar[str] = "Kron. AoT P-Tuning"
    sizes: ClassVar[tuple[str, ...]] = ("rank", "a", "b")
    padded: ClassVar[tuple[str, ...]] = ("rank",)
    fusable: ClassVar[bool] = True
    max_members: ClassVar[int | None] = None
    distinct_tokens: ClassVar[bool] = True

    def __init__(self, config: Config, spec: Spec) -> None:
        self.rank = config.rank
        self.dropout = config.dropout
        self.spec = spec
        self.a, self.b = _factors(config.a, config.b, spec.vocabulary)

    def count(self) -> int:
        """``l (a r + b r + r² d)``, the rows of ``W_L`` from ``⌈v / b⌉`` on included, which no token reaches.

        The paper's a = b = 360 for DeBERTa and its 50,265 tokens reaches 140 of 360; it counts them all, and so do we.
        """
        return self.spec.layers * self.rank * (self.a + self.b + self.rank * self.spec.width)

    def initial(self, backbone: Backbone, generator: torch.Generator) -> dict[str, Tensor]:
        """``W_L`` and ``W_M`` from N(0, 1/r): rows of their product have mean square length 1. ``W_R`` zero.

        The paper draws the first two at random; the scale is ours.
        """
        import torch

        layers, rank = self.spec.layers, self.rank
        std = rank**-0.5
        return {
            "w_l": std * torch.randn(layers, self.a, rank, generator=generator),
            "w_m": std * torch.randn(layers, self.b, rank, generator=generator),
            "w_r": torch.zeros(layers, rank, rank, self.spec.width),
        }

    def rows(self, params: Mapping[str, Tensor], backbone: Backbone, ids: Tensor) -> Tensor:
        """Rows of P in all layers: token ids ``(k, u)``, on the device of ``params`` -> (k, u, l, d)."""
        import torch

        return torch.stack([self._rows(layer, ids) for layer in by_layer(params)], 2)

    def seams(self, params: Mapping[str, Tensor], backbone: Backbone, batch: Batch) -> Seams:
        """``H + P_x`` before each layer, with dropout on ``P_x`` (section 4.1)."""
        layers = by_layer(params)

        def rows(layer: int) -> Tensor:
            return self._rows(layers[layer], batch.distinct.ids)

        return Seams(before_layer=add_rows(rows, batch, self.dropout))

    def fuse(self, params: Mapping[str, Tensor], backbone: Backbone) -> Fused:
        """The rows of P ``(v, l, d)`` in half precision."""
        return Fused(rows=all_rows(self.rows, params, backbone, self.spec))

    def fused_rows(self, params: Mapping[str, Tensor], backbone: Backbone) -> Iterator[Tensor]:
        """The same in pieces ``(c, l, d)``, so that P need not fit into memory."""
        return row_chunks(self.rows, params, backbone, self.spec)

    def _rows(self, layer: Mapping[str, Tensor], ids: Tensor) -> Tensor:
        """Rows of P in one layer: ids ``(k, u)`` -> (k, u, d)."""
        import torch

        left = take(layer["w_l"], ids // self.b)  # (k, u, r)
        right = take(layer["w_m"], ids % self.b)  # (k, u, r)
        products = (left.unsqueeze(-1) * right.unsqueeze(-2)).flatten(-2)  # (k, u, r²)
        return torch.bmm(products, layer["w_r"].flatten(1, -2))


def _factors(a: int | None, b: int | None, vocabulary: int) -> tuple[int, int]:
    """``a`` and ``b`` with ``a·b >= v``: as given, the other to fit, or near-square; ValueError if too small."""
    if a is None:
        a = math.isqrt(vocabulary - 1) + 1 if b is None else -(-vocabulary // b)
    if b is None:
        b = -(-vocabulary // a)
    if a * b < vocabulary:
        raise ValueError(
            f"a·b must be at least {vocabulary}, the size of the vocabulary, but got a={a}, b={b}, a·b={a * b}; "
            f"leave out one of them, or make b at least {-(-vocabulary // a)}"
        )
    return a, b
