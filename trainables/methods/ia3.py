"""(IA)³ (Liu et al., 2022, https://arxiv.org/abs/2205.05638): learned vectors that rescale inner activations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel

from trainables.methods import SETTINGS, Fused, Seams, Spec, by_layer, grouped

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from trainables.methods import Backbone, Batch

OUTPUTS = ("key", "value")  # sites of which the output is rescaled
INPUT = "feed_forward_output"  # of this one the input is: what the feed-forward's activation gave


class IA3:
    """``l_k ⊙ K`` and ``l_v ⊙ V`` in the attention, ``(l_ff ⊙ γ(W_1 x)) W_2`` in the feed-forward of every layer.

    Parameters of one member, by the name of the site: ``key`` (l, d), ``value`` (l, d) and ``feed_forward_output``
    (l, d_ff), all ones at the start: the backbone as it is. A key's vector also rescales DeBERTa v2's relative
    positions where these are projected by the key's linear.

    Args:
        config: nothing; (IA)³ has no hyperparameter of its own.
        spec: the backbone's sizes: its layers, the widths of its keys and values and of its feed-forward.
    """

    class Config(BaseModel):
        """(IA)³ has no hyperparameter of its own."""

        model_config = SETTINGS

    label: ClassVar[str] = "(IA)³"
    sizes: ClassVar[tuple[str, ...]] = ()
    fusable: ClassVar[bool] = True
    max_members: ClassVar[int | None] = None

    def __init__(self, config: Config, spec: Spec) -> None:
        self.layers = spec.layers
        self.sites = tuple(spec.site(name) for name in (*OUTPUTS, INPUT))
        self.widths = {site.name: site.inputs if site.name == INPUT else site.outputs for site in self.sites}

    def count(self) -> int:
        """``l (2 d + d_ff)``."""
        return self.layers * sum(self.widths.values())

    def initial(self, backbone: Backbone, generator: torch.Generator) -> dict[str, Tensor]:
        """Ones; nothing is drawn."""
        import torch

        return {name: torch.ones(self.layers, width) for name, width in self.widths.items()}

    def seams(self, params: Mapping[str, Tensor], backbone: Backbone, batch: Batch) -> Seams:
        """The outputs of key and value, and the input of the feed-forward's second linear, times their vectors."""
        layers = by_layer(params)

        def scaled(x: Tensor, vector: Tensor) -> Tensor:
            return (grouped(x, batch.members) * vector.to(x.dtype).unsqueeze(1)).view(x.shape)

        def linear(site: str, layer: int, module: nn.Module, x: Tensor) -> Tensor:
            if site in OUTPUTS:
                return scaled(module(x), layers[layer][site])
            return module(scaled(x, layers[layer][site]) if site == INPUT else x)

        return Seams(linear=linear)

    def fuse(self, params: Mapping[str, Tensor], backbone: Backbone) -> Fused:
        """Rescaled rows of the weights of key and value, with their biases, and columns of the feed-forward's."""
        weights = {}
        pretrained = dict(backbone.named_parameters())
        for site in self.sites:
            for layer, vector in enumerate(params[site.name].detach()):
                path = site.path.format(i=layer)
                weight = pretrained[f"{path}.weight"].detach()
                weights[f"{path}.weight"] = weight * (vector if site.name == INPUT else vector.unsqueeze(1))
                if site.name != INPUT and site.bias:
                    weights[f"{path}.bias"] = pretrained[f"{path}.bias"].detach() * vector
        return Fused(weights=weights)
