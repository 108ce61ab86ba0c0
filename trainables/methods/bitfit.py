"""BitFit (Ben Zaken et al., 2022, https://arxiv.org/abs/2106.10199): the encoder's biases are trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel

from trainables.methods import SETTINGS, Fused, Seams, Site, Spec, grouped

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from trainables.methods import Backbone, Batch


class BitFit:
    """Every bias that the encoder was pretrained with, of its linears, its norms and DeBERTa's convolution; no other.

    A change of each bias is trained, zero at the start, and added to what the module gives, which is the same as
    training the bias itself. A module that was pretrained without one (DeBERTa v1's key) gets none, since the paper
    trains the biases of the model and adds none to it. MPNet's table of relative positions, which the library calls a
    bias, is a table of embeddings and not trained.
    Parameters of one member, by the name of the site: ``(l, outputs)``, or ``(outputs)`` for a site outside the layers.

    Args:
        config: nothing; BitFit has no hyperparameter of its own.
        spec: the sizes of the backbone; here its layers and those of its sites that have a bias.
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
        self.sites = tuple(site for site in spec.sites if site.bias)

    def count(self) -> int:
        """The outputs of every site with a bias, once for each layer that applies it."""
        return sum(site.outputs * (self.layers if site.per_layer else 1) for site in self.sites)

    def initial(self, backbone: Backbone, generator: torch.Generator) -> dict[str, Tensor]:
        """Zeros; nothing is drawn."""
        import torch

        return {site.name: torch.zeros(self._shape(site)) for site in self.sites}

    def seams(self, params: Mapping[str, Tensor], backbone: Backbone, batch: Batch) -> Seams:
        """The module's output plus the member's change of its bias."""
        # A site outside the layers is called with layer -1, which is the only element of its tuple.
        biases = {s.name: params[s.name].unbind(1) if s.per_layer else (params[s.name],) for s in self.sites}

        def linear(site: str, layer: int, module: nn.Module, x: Tensor) -> Tensor:
            output = module(x)
            if site not in biases:
                return output
            bias = biases[site][layer].to(output.dtype)  # (k, outputs)
            return (grouped(output, batch.members) + bias.unsqueeze(1)).view(output.shape)

        return Seams(linear=linear)

    def fuse(self, params: Mapping[str, Tensor], backbone: Backbone) -> Fused:
        """The sums of each pretrained bias and its change."""
        weights = {}
        for site in self.sites:
            change = params[site.name].detach()
            for layer, bias in enumerate(change if site.per_layer else (change,)):
                name = f"{site.path.format(i=layer)}.bias"
                weights[name] = backbone.get_parameter(name).detach() + bias
        return Fused(weights=weights)

    def _shape(self, site: Site) -> tuple[int, ...]:
        return (self.layers, site.outputs) if site.per_layer else (site.outputs,)
