"""LoRA (Hu et al., 2022, https://arxiv.org/abs/2106.09685): a low-rank change of the weights of query and value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, Field

from trainables.methods import SETTINGS, Fused, Seams, Spec, by_layer, grouped

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from trainables.methods import Backbone, Batch

SITES = ("query", "value")


class LoRA:
    """``W + ΔW`` with ``ΔW = (α/r) B A`` at query and value of every layer.

    The paper searches r and names neither α nor the weights: 16 is our default, query and value are those of Hu et al.
    No dropout before ``A``, and no bias is trained.

    Parameters of one member, for each of the two sites: ``SITE.a`` (l, r, inputs), random, and ``SITE.b``
    (l, outputs, r), zero at the start.

    Args:
        config: ``rank``, of the change of each weight, and ``alpha``; the change is scaled by ``alpha / rank``.
        spec: the sizes of the backbone; here its layers, and inputs and outputs of query and value.
    """

    class Config(BaseModel):
        """Hyperparameters of LoRA."""

        model_config = SETTINGS

        rank: int = Field(8, ge=1, description="r, the rank of the change of each weight")
        alpha: float = Field(16.0, ge=1e-6, le=1e6, allow_inf_nan=False, description="α; the change is scaled by α/r")

    label: ClassVar[str] = "LoRA"
    sizes: ClassVar[tuple[str, ...]] = ("rank",)
    padded: ClassVar[tuple[str, ...]] = ("rank",)
    fusable: ClassVar[bool] = True
    max_members: ClassVar[int | None] = None

    def __init__(self, config: Config, spec: Spec) -> None:
        self.rank = config.rank
        self.scale = config.alpha / config.rank
        self.layers = spec.layers
        self.sites = tuple(spec.site(name) for name in SITES)

    def count(self) -> int:
        """``l · r · Σ (inputs + outputs)`` over the two sites; ``4 l r d`` where they are square."""
        return self.layers * self.rank * sum(site.inputs + site.outputs for site in self.sites)

    def initial(self, backbone: Backbone, generator: torch.Generator) -> dict[str, Tensor]:
        """``A`` uniform in ±1/√inputs (what Kaiming's uniform rule with a = √5 comes to), ``B`` zero."""
        import torch

        params = {}
        for site in self.sites:
            bound = 1 / math.sqrt(site.inputs)
            a = torch.empty(self.layers, self.rank, site.inputs)
            params[f"{site.name}.a"] = a.uniform_(-bound, bound, generator=generator)
            params[f"{site.name}.b"] = torch.zeros(self.layers, site.outputs, self.rank)
        return params

    def seams(self, params: Mapping[str, Tensor], backbone: Backbone, batch: Batch) -> Seams:
        """``x W + (α/r) x Aᵀ Bᵀ`` at query and value, never forming ΔW."""
        import torch

        layers = by_layer(params)
        ranks = batch.sizes.get("rank")  # of each member, where that of the method is the largest
        wider = None if ranks is None else (self.rank / ranks.tensor).view(-1, 1, 1)

        def linear(site: str, layer: int, module: nn.Module, x: Tensor) -> Tensor:
            output = module(x)
            if site not in SITES:
                return output
            a, b = layers[layer][f"{site}.a"], layers[layer][f"{site}.b"]
            low = torch.bmm(grouped(x, batch.members), a.mT)  # (k, b·n, r)
            if wider is not None:  # each member's own α/r; one rounding in half precision too
                low = (low * wider).to(low.dtype)
            changed = torch.baddbmm(grouped(output, batch.members), low, b.mT, alpha=self.scale)
            return changed.view(output.shape)

        return Seams(linear=linear)

    def fuse(self, params: Mapping[str, Tensor], backbone: Backbone) -> Fused:
        """The weights ``W + ΔW`` of query and value."""
        weights = {}
        for site in self.sites:
            change = self.scale * params[f"{site.name}.b"].detach() @ params[f"{site.name}.a"].detach()  # (l, out, in)
            for layer in range(self.layers):
                name = f"{site.path.format(i=layer)}.weight"
                weights[name] = backbone.get_parameter(name).detach() + change[layer]
        return Fused(weights=weights)
