"""VeRA (Kopiczko et al., 2024, https://arxiv.org/abs/2310.11454): a method with frozen tensors, for tests."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from trainables.methods import FROZEN, SETTINGS, Backbone, Batch, Fused, Seams, Spec, by_layer, grouped, trainable

SITES = ("query", "value")
START = 0.1  # of d, as in the paper


class VeRA:
    """``W + diag(b) B diag(d) A`` at query and value of every layer; ``A`` and ``B`` are random and never trained.

    Trained, for each of the two sites: ``SITE.d`` (l, r) and ``SITE.b`` (l, d), zero at the start. Frozen: A (r, d) and
    B (d, r), which all layers and both sites share.
    """

    class Config(BaseModel):
        """Hyperparameters of VeRA."""

        model_config = SETTINGS

        rank: int = Field(64, ge=1, description="r, the rank of the frozen matrices")

    label: ClassVar[str] = "VeRA (example)"
    sizes: ClassVar[tuple[str, ...]] = ("rank",)
    fusable: ClassVar[bool] = True
    max_members: ClassVar[int | None] = None

    def __init__(self, config: Config, spec: Spec) -> None:
        self.rank = config.rank
        self.spec = spec

    def count(self) -> int:
        """``2 l (r + d)``; what is frozen is not counted."""
        return len(SITES) * self.spec.layers * (self.rank + self.spec.width)

    def initial(self, backbone: Backbone, generator: torch.Generator) -> dict[str, Tensor]:
        """``A`` and ``B`` by Kaiming's uniform rule, ``d`` 0.1, ``b`` zero."""
        layers, rank, width = self.spec.layers, self.rank, self.spec.width
        params = {}
        for name, (rows, columns) in {"a": (rank, width), "b": (width, rank)}.items():
            bound = math.sqrt(3 / columns)
            drawn = torch.empty(rows, columns).uniform_(-bound, bound, generator=generator)
            params[f"{FROZEN}{name}"] = drawn
        for site in SITES:
            params[f"{site}.d"] = torch.full((layers, rank), START)
            params[f"{site}.b"] = torch.zeros(layers, width)
        return params

    def seams(self, params: Mapping[str, Tensor], backbone: Backbone, batch: Batch) -> Seams:
        """The linear's output plus ``diag(b) B diag(d) A x``."""
        layers = by_layer(trainable(params))
        a, b = params[f"{FROZEN}a"], params[f"{FROZEN}b"]  # (k, r, d) and (k, d, r)

        def linear(site: str, layer: int, module: nn.Module, x: Tensor) -> Tensor:
            output = module(x)
            if site not in SITES:
                return output
            here = layers[layer]
            low = torch.bmm(grouped(x, batch.members), a.mT) * here[f"{site}.d"].unsqueeze(1)  # (k, b·n, r)
            change = torch.bmm(low, b.mT) * here[f"{site}.b"].unsqueeze(1)  # (k, b·n, d)
            return output + change.view(output.shape)

        return Seams(linear=linear)

    def fuse(self, params: Mapping[str, Tensor], backbone: Backbone) -> Fused:
        """The changed weights of query and value."""
        a, b = params[f"{FROZEN}a"], params[f"{FROZEN}b"]
        weights = {}
        for site in SITES:
            change = (params[f"{site}.b"].unsqueeze(2) * b) @ (params[f"{site}.d"].unsqueeze(2) * a)  # (l, d, d)
            for layer in range(self.spec.layers):
                name = f"{self.spec.site(site).path.format(i=layer)}.weight"
                weights[name] = backbone.get_parameter(name).detach() + change[layer].detach()
        return Fused(weights=weights)
