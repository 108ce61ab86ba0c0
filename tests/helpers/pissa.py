"""PiSSA (Meng et al., 2024, https://arxiv.org/abs/2404.02948), for tests: frozen tensors as large as the weights.

With ``train: minor`` it is MiLoRA (Wang et al., 2025, https://arxiv.org/abs/2406.09044).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from trainables.methods import FROZEN, SETTINGS, Backbone, Batch, Fused, Seams, Site, Spec, by_layer, grouped

SITES = ("query", "value")


class PiSSA:
    """``W = A B + W_residual`` at query and value, from the singular values of ``W``; the residual is never trained.

    Trained, for each of the two sites: ``SITE.a`` (l, outputs, r) and ``SITE.b`` (l, r, inputs). Frozen: ``SITE``
    (l, outputs, inputs), what is left of the weights. ``ValueError``: a weight has no ``rank`` singular values.
    """

    class Config(BaseModel):
        """Hyperparameters of PiSSA."""

        model_config = SETTINGS

        rank: int = Field(16, ge=1, description="r, how many singular values are trained")
        train: Literal["principal", "minor"] = Field("principal", description="the largest or the smallest of them")

    label: ClassVar[str] = "PiSSA (example)"
    sizes: ClassVar[tuple[str, ...]] = ("rank",)
    fusable: ClassVar[bool] = True
    max_members: ClassVar[int | None] = None

    def __init__(self, config: Config, spec: Spec) -> None:
        self.rank, self.layers = config.rank, spec.layers
        self.sites = tuple(spec.site(name) for name in SITES)
        most = min(min(site.inputs, site.outputs) for site in self.sites)
        if self.rank > most:
            raise ValueError(f"rank must be at most {most}, but got rank={self.rank}; choose a smaller one")
        self.trained = slice(self.rank) if config.train == "principal" else slice(-self.rank, None)

    def count(self) -> int:
        """``l r Σ (inputs + outputs)``."""
        return self.layers * self.rank * sum(site.inputs + site.outputs for site in self.sites)

    def initial(self, backbone: Backbone, generator: torch.Generator) -> dict[str, Tensor]:
        """Singular vectors times the roots of their values; nothing is drawn."""
        params = {}
        for site in self.sites:
            weight = torch.stack([_weight(backbone, site, i) for i in range(self.layers)]).cpu()
            left, values, right = torch.linalg.svd(weight, full_matrices=False)
            roots = values[:, self.trained].sqrt()  # (l, r)
            params[f"{site.name}.a"] = a = left[:, :, self.trained] * roots.unsqueeze(1)
            params[f"{site.name}.b"] = b = right[:, self.trained] * roots.unsqueeze(2)
            params[f"{FROZEN}{site.name}"] = weight - a @ b
        return params

    def seams(self, params: Mapping[str, Tensor], backbone: Backbone, batch: Batch) -> Seams:
        """``x W_residualᵀ + x Bᵀ Aᵀ`` and the linear's own bias."""
        layers = by_layer(params)

        def linear(site: str, layer: int, module: nn.Module, x: Tensor) -> Tensor:
            if site not in SITES:
                return module(x)
            here, states = layers[layer], grouped(x, batch.members)
            output = states @ here[f"{FROZEN}{site}"].mT + states @ here[f"{site}.b"].mT @ here[f"{site}.a"].mT
            output = output.view(*x.shape[:-1], -1)
            return output if module.bias is None else output + module.bias.to(output.dtype)

        return Seams(linear=linear)

    def fuse(self, params: Mapping[str, Tensor], backbone: Backbone) -> Fused:
        """The weights put together again."""
        weights = {}
        for site in self.sites:
            sums = params[f"{FROZEN}{site.name}"] + params[f"{site.name}.a"] @ params[f"{site.name}.b"]
            for layer, weight in enumerate(sums.detach()):
                weights[f"{site.path.format(i=layer)}.weight"] = weight
        return Fused(weights=weights)


def _weight(backbone: Backbone, site: Site, layer: int) -> Tensor:
    return backbone.get_parameter(f"{site.path.format(i=layer)}.weight").detach()
