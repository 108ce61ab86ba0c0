"""P-Tuning v2: trained keys and values in every layer.

Liu et al., 2021a, https://arxiv.org/abs/2110.07602; for text generation as prefix tuning (Li and Liang, 2021,
https://arxiv.org/abs/2101.00190).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, Field

from trainables.methods import SETTINGS, Fused, Seams, Spec, by_layer

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from trainables.methods import Backbone, Batch

STD = 0.02  # what encoders are themselves initialised with


class PTuningV2:
    """Prefixes ``P_K`` and ``P_V`` before the keys and values of every layer (equation 6 of the paper).

    They are trained directly, without dropout and without a network that produces them (the reparametrisation that Liu
    et al. use on some tasks), as the paper defines them. Parameters of one member: ``keys`` and ``values``, (l, p, d)
    each.

    Args:
        config: ``prompt_length``, the number of keys and of values in each layer.
        spec: the sizes of the backbone; here its number of layers and their width.
    """

    class Config(BaseModel):
        """Hyperparameters of P-Tuning v2."""

        model_config = SETTINGS

        prompt_length: int = Field(20, ge=1, description="p, the number of trained keys and values in each layer")

    label: ClassVar[str] = "P-Tuning v2"
    sizes: ClassVar[tuple[str, ...]] = ("prompt_length",)
    padded: ClassVar[tuple[str, ...]] = ("prompt_length",)
    fusable: ClassVar[bool] = False
    max_members: ClassVar[int | None] = None

    def __init__(self, config: Config, spec: Spec) -> None:
        self.shape = (spec.layers, config.prompt_length, spec.width)

    def count(self) -> int:
        """``2 l p d``."""
        layers, length, width = self.shape
        return 2 * layers * length * width

    def initial(self, backbone: Backbone, generator: torch.Generator) -> dict[str, Tensor]:
        """Normal with deviation 0.02."""
        import torch

        return {name: STD * torch.randn(self.shape, generator=generator) for name in ("keys", "values")}

    def seams(self, params: Mapping[str, Tensor], backbone: Backbone, batch: Batch) -> Seams:
        """Each layer's keys and values ``(k, p, d)``."""
        layers, lengths = by_layer(params), batch.sizes.get("prompt_length")
        before = None if lengths is None else lengths.below(params["keys"].shape[2])

        def prefix(layer: int) -> tuple[Tensor, Tensor]:
            return layers[layer]["keys"], layers[layer]["values"]

        return Seams(prefix=prefix, prefix_padding=before)

    def fuse(self, params: Mapping[str, Tensor], backbone: Backbone) -> Fused:
        """TypeError: a prefix makes the attention longer, which no weight can do."""
        raise TypeError("p_tuning_v2 cannot be fused: its prefixes are part of the attention; serve it unfused")
