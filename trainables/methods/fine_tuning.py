"""Fine-tuning (Devlin et al., 2019, https://arxiv.org/abs/1810.04805): every parameter of the backbone is trained.

It is what the other methods are measured against.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel

from trainables.methods import SETTINGS, Fused, Seams, Spec

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from trainables.methods import Backbone, Batch


class FineTuning:
    """A copy of every parameter that the backbone's forward pass uses, by the backbone's own names.

    Args:
        config: nothing; fine-tuning has no hyperparameter of its own.
        spec: the sizes of the backbone; here the number of all its parameters.
    """

    class Config(BaseModel):
        """Fine-tuning has no hyperparameter of its own."""

        model_config = SETTINGS

    label: ClassVar[str] = "Fine-Tuning"
    sizes: ClassVar[tuple[str, ...]] = ()
    fusable: ClassVar[bool] = True
    max_members: ClassVar[int | None] = 1

    def __init__(self, config: Config, spec: Spec) -> None:
        self.spec = spec

    def count(self) -> int:
        """All parameters of the backbone."""
        return self.spec.parameters

    def initial(self, backbone: Backbone, generator: torch.Generator) -> dict[str, Tensor]:
        """The pretrained values; nothing is drawn."""
        return {name: value.detach().to("cpu", copy=True) for name, value in backbone.named_parameters()}

    def seams(self, params: Mapping[str, Tensor], backbone: Backbone, batch: Batch) -> Seams:
        """The trained tensors in place of the backbone's; ValueError for more than one member."""
        if batch.members != 1:
            raise ValueError(
                f"fine-tuning trains one member at a time, as each needs a backbone of its own, but the pack has "
                f"{batch.members}; make packs of one"
            )
        return Seams(weights={name: value.squeeze(0) for name, value in params.items()})

    def fuse(self, params: Mapping[str, Tensor], backbone: Backbone) -> Fused:
        """The trained weights themselves."""
        return Fused(weights={name: value.detach().clone() for name, value in params.items()})
