"""BitFit (Ben Zaken et al., 2022, https://arxiv.org/abs/2106.10199): a trained bias at every linear and norm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from trainables.methods import SETTINGS, Backbone, Batch, Fused, Seams, Site, Spec, grouped


class BitFit:
    """One additive bias for each linear and norm, zero at the start.

    Trained apart from the pretrained bias and added to it, which is the same as training that bias itself, and gives
    every site a bias, also one whose linear was pretrained without (DeBERTa v1's key).
    Parameters of one member, by the name of the site: ``(l, outputs)``, or ``(outputs)`` for a site outside the layers.

    Args:
        config: nothing; BitFit has no hyperparameter of its own.
        spec: the sizes of the backbone; here its layers and its sites, the linears and norms.
    """

    class Config(BaseModel):
        """BitFit has no hyperparameter of its own."""

        model_config = SETTINGS

    label: ClassVar[str] = "BitFit"
    sizes: ClassVar[tuple[str, ...]] = ()
    fusable: ClassVar[bool] = True
    max_members: ClassVar[int | None] = None

    def __init__(self, config: Config, spec: Spec) -> None:
        self.layers = spec.layers
        self.sites = spec.sites

    def count(self) -> int:
        """The outputs of every linear and norm, once for each layer that applies it."""
        return sum(site.outputs * (self.layers if site.per_layer else 1) for site in self.sites)

    def initial(self, backbone: Backbone, generator: torch.Generator) -> dict[str, Tensor]:
        """Zeros; nothing is drawn."""
        return {site.name: torch.zeros(self._shape(site)) for site in self.sites}

    def seams(self, params: Mapping[str, Tensor], backbone: Backbone, batch: Batch, training: bool) -> Seams:
        """The module's output plus the member's bias."""
        # A site outside the layers is called with layer -1, which is the only element of its tuple.
        biases = {s.name: params[s.name].unbind(1) if s.per_layer else (params[s.name],) for s in self.sites}

        def linear(site: str, layer: int, module: nn.Module, x: Tensor) -> Tensor:
            output = module(x)
            bias = biases[site][layer].to(output.dtype)  # (k, outputs)
            return (grouped(output, batch.members) + bias.unsqueeze(1)).view(output.shape)

        return Seams(linear=linear)

    def fuse(self, params: Mapping[str, Tensor], backbone: Backbone) -> Fused:
        """The sums of pretrained and trained bias, also under the name of a bias that the module left out."""
        weights = {}
        pretrained = dict(backbone.named_parameters())
        for site in self.sites:
            trained = params[site.name].detach()
            for layer in range(self.layers if site.per_layer else 1):
                name = f"{site.path.format(i=layer)}.bias"
                bias = trained[layer] if site.per_layer else trained
                weights[name] = pretrained[name].detach() + bias if name in pretrained else bias.clone()
        return Fused(weights=weights)

    def _shape(self, site: Site) -> tuple[int, ...]:
        return (self.layers, site.outputs) if site.per_layer else (site.outputs,)
