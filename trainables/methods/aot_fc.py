"""FC AoT P-Tuning (section 3.3 of the paper, equation 3): P as a small network of the word embeddings.

The paper is Ahead-of-Time P-Tuning (Gavrilov and Balagansky, 2023, https://arxiv.org/abs/2305.10835).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, Field

from trainables.methods import SETTINGS, Fused, Seams, Spec, add_rows, affine, all_rows, by_layer, dropout, row_chunks

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from trainables.methods import Backbone, Batch


class FullyConnectedAoT:
    """``P = f(E W_1 + b_1) W_2 + b_2`` in every layer; the row of token ``x`` is added to its hidden state before it.

    ``E`` are the backbone's word embeddings, frozen, as they are before the norm. ``f`` is GELU, which is our choice:
    the paper says only that it is a non-linearity, and the backbones' own feed-forward layers have this one.
    Parameters of one member: ``w_1`` (l, d, r), ``b_1`` (l, r), ``w_2`` (l, r, d) and ``b_2`` (l, d); all zero at the
    start but ``w_1``.

    Args:
        config: ``rank``, the hidden width of the network, and the probability of ``dropout`` on ``E``.
        spec: the sizes of the backbone; here its layers, their width, and the vocabulary when P is written out.
    """

    class Config(BaseModel):
        """Hyperparameters of FC AoT P-Tuning."""

        model_config = SETTINGS

        rank: int = Field(64, ge=1, description="r, the hidden width of the network")
        dropout: float = Field(0.1, ge=0, lt=1, description="probability of dropout on E")

    label: ClassVar[str] = "FC AoT P-Tuning"
    sizes: ClassVar[tuple[str, ...]] = ("rank",)
    padded: ClassVar[tuple[str, ...]] = ("rank",)
    fusable: ClassVar[bool] = True
    max_members: ClassVar[int | None] = None
    distinct_tokens: ClassVar[bool] = True

    def __init__(self, config: Config, spec: Spec) -> None:
        self.rank = config.rank
        self.dropout = config.dropout
        self.spec = spec

    def count(self) -> int:
        """``l (2 d r + r + d)``."""
        return self.spec.layers * (2 * self.spec.width * self.rank + self.rank + self.spec.width)

    def initial(self, backbone: Backbone, generator: torch.Generator) -> dict[str, Tensor]:
        """``W_1`` from N(0, 1/d), the rest zero. The paper draws ``W_1`` at random; the scale is ours."""
        import torch

        layers, rank, width = self.spec.layers, self.rank, self.spec.width
        std = 1 / math.sqrt(width)  # an output has the scale of an entry of E
        return {
            "w_1": std * torch.randn(layers, width, rank, generator=generator),
            "b_1": torch.zeros(layers, rank),
            "w_2": torch.zeros(layers, rank, width),
            "b_2": torch.zeros(layers, width),
        }

    def rows(self, params: Mapping[str, Tensor], backbone: Backbone, ids: Tensor) -> Tensor:
        """Rows of P in all layers: token ids ``(k, u)``, on the device of ``params`` -> (k, u, l, d)."""
        import torch

        embedded = backbone.token_embeddings(ids).to(params["w_1"].dtype)
        return torch.stack([_network(layer, embedded) for layer in by_layer(params)], 2)

    def seams(self, params: Mapping[str, Tensor], backbone: Backbone, batch: Batch) -> Seams:
        """``H + P_x`` before each layer, with dropout on ``E`` (section 4.1), drawn anew for each layer.

        Its probability stands in the paper for Kronecker alone, 0.1; we take the same.
        """
        layers = by_layer(params)
        embedded = backbone.token_embeddings(batch.distinct.ids)  # (k, u, d)

        def rows(layer: int) -> Tensor:
            return _network(layers[layer], dropout.of_distinct(embedded, self.dropout, batch, "embeddings", layer))

        return Seams(before_layer=add_rows(rows, batch, 0.0))

    def fuse(self, params: Mapping[str, Tensor], backbone: Backbone) -> Fused:
        """The rows of P ``(v, l, d)`` in half precision."""
        return Fused(rows=all_rows(self.rows, params, backbone, self.spec))

    def fused_rows(self, params: Mapping[str, Tensor], backbone: Backbone) -> Iterator[Tensor]:
        """The same in pieces ``(c, l, d)``, so that P need not fit into memory."""
        return row_chunks(self.rows, params, backbone, self.spec)


def _network(layer: Mapping[str, Tensor], embedded: Tensor) -> Tensor:
    """Equation 3 for some rows of ``E``: (k, u, d) -> (k, u, d)."""
    from torch.nn import functional

    hidden = functional.gelu(affine(embedded, layer["w_1"], layer["b_1"]))  # (k, u, r)
    return affine(hidden, layer["w_2"], layer["b_2"])
