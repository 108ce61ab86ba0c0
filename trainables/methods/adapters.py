"""Adapters (Houlsby et al., 2019, https://arxiv.org/abs/1902.00751): a small bottleneck after each sublayer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, Field

from trainables.methods import SETTINGS, Fused, Seams, Spec, affine, by_layer, grouped

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from trainables.methods import Backbone, Batch

SITES = ("attention", "feed_forward")
DOWN_STD = 1e-2  # Houlsby et al. find the start insensitive to it up to 1e-2 and unstable above; they draw ``up`` too


class Adapters:
    """``h + GELU(h W_down + b_down) W_up + b_up`` on the output of both sublayers, before residual sum and norm.

    Houlsby et al. also train the layer norms; ours are frozen, since the paper that we follow speaks of added layers
    alone and adapters of many tasks then share one backbone. Their code has GELU, as ours; AdapterHub's has swish.

    Parameters of one member, for each of the two sites: ``SITE.down`` (l, d, r), ``SITE.down_bias`` (l, r),
    ``SITE.up`` (l, r, d) and ``SITE.up_bias`` (l, d); all zero at the start but ``down``.

    Args:
        config: ``rank``, the width of the bottleneck.
        spec: the sizes of the backbone; here its number of layers and their width.
    """

    class Config(BaseModel):
        """Hyperparameters of Adapters."""

        model_config = SETTINGS

        rank: int = Field(64, ge=1, description="r, the width of the bottleneck")

    label: ClassVar[str] = "Adapters"
    sizes: ClassVar[tuple[str, ...]] = ("rank",)
    padded: ClassVar[tuple[str, ...]] = ("rank",)
    fusable: ClassVar[bool] = False
    max_members: ClassVar[int | None] = None

    def __init__(self, config: Config, spec: Spec) -> None:
        self.rank = config.rank
        self.layers = spec.layers
        self.width = spec.width

    def count(self) -> int:
        """``2 l (2 d r + r + d)``."""
        return 2 * self.layers * (2 * self.width * self.rank + self.rank + self.width)

    def initial(self, backbone: Backbone, generator: torch.Generator) -> dict[str, Tensor]:
        """``down`` normal with a small deviation, the rest zero: the backbone as it is."""
        import torch

        params = {}
        for site in SITES:
            down = torch.randn(self.layers, self.width, self.rank, generator=generator)
            params[f"{site}.down"] = DOWN_STD * down
            params[f"{site}.down_bias"] = torch.zeros(self.layers, self.rank)
            params[f"{site}.up"] = torch.zeros(self.layers, self.rank, self.width)
            params[f"{site}.up_bias"] = torch.zeros(self.layers, self.width)
        return params

    def seams(self, params: Mapping[str, Tensor], backbone: Backbone, batch: Batch) -> Seams:
        """The bottleneck with its own residual around each sublayer's output."""
        from torch.nn import functional

        layers = by_layer(params)

        def sublayer(site: str, layer: int, output: Tensor) -> Tensor:
            here = layers[layer]
            x = grouped(output, batch.members)  # (k, b·n, d)
            narrow = functional.gelu(affine(x, here[f"{site}.down"], here[f"{site}.down_bias"]))  # (k, b·n, r)
            return (x + affine(narrow, here[f"{site}.up"], here[f"{site}.up_bias"])).view(output.shape)

        return Seams(sublayer=sublayer)

    def fuse(self, params: Mapping[str, Tensor], backbone: Backbone) -> Fused:
        """TypeError: a nonlinear layer has no place in the backbone's own weights."""
        raise TypeError("adapters cannot be fused: they add layers that the backbone does not have; serve them unfused")
