"""Linear probing, for tests: a method that trains nothing beside the head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import BaseModel
from torch import Tensor

from trainables.methods import SETTINGS, Backbone, Batch, Fused, Seams, Spec


class HeadOnly:
    """The backbone as it is."""

    class Config(BaseModel):
        """Linear probing has no hyperparameter of its own."""

        model_config = SETTINGS

    label: ClassVar[str] = "Head only (example)"
    sizes: ClassVar[tuple[str, ...]] = ()
    fusable: ClassVar[bool] = True
    max_members: ClassVar[int | None] = None

    def __init__(self, config: Config, spec: Spec) -> None:
        pass

    def count(self) -> int:
        """None."""
        return 0

    def initial(self, backbone: Backbone, generator: torch.Generator) -> dict[str, Tensor]:
        """No tensors."""
        return {}

    def seams(self, params: Mapping[str, Tensor], backbone: Backbone, batch: Batch) -> Seams:
        """None."""
        return Seams()

    def fuse(self, params: Mapping[str, Tensor], backbone: Backbone) -> Fused:
        """The backbone's own weights, of which none is another one."""
        return Fused()
