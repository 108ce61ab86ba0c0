"""P-Tuning v1: trained embeddings in front of the text.

Liu et al., 2021b, https://arxiv.org/abs/2103.10385; without a network that makes the embeddings, as in prompt tuning
(Lester et al., 2021, https://arxiv.org/abs/2104.08691).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, Field

from trainables.methods import SETTINGS, Fused, Seams, Spec

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from trainables.methods import Backbone, Batch


class PTuningV1:
    """A prompt ``P`` of ``p`` embeddings, put before the word embeddings (equation 5 of the paper).

    It comes on top of the text, which keeps its tokens; prompt and text together must fit the backbone's positions.
    Parameter of one member: ``prompt`` (p, d_embedding), with the width of the word embeddings (below ``d`` for
    ELECTRA's small models).

    Args:
        config: ``prompt_length``, the number of embeddings.
        spec: the sizes of the backbone; here the width of its word embeddings and the most tokens that it takes.

    Raises:
        ValueError: the prompt leaves no room for text.
    """

    class Config(BaseModel):
        """Hyperparameters of P-Tuning v1."""

        model_config = SETTINGS

        prompt_length: int = Field(20, ge=1, description="p, the number of trained embeddings before the text")

    label: ClassVar[str] = "P-Tuning v1"
    sizes: ClassVar[tuple[str, ...]] = ("prompt_length",)
    fusable: ClassVar[bool] = False
    max_members: ClassVar[int | None] = None

    def __init__(self, config: Config, spec: Spec) -> None:
        if config.prompt_length >= spec.max_tokens:
            raise ValueError(
                f"prompt_length must be below {spec.max_tokens}, the most tokens that this {spec.family} takes, to "
                f"leave room for text, but got prompt_length={config.prompt_length}; choose a shorter prompt"
            )
        self.length = self.prompt_tokens = config.prompt_length
        self.width = spec.embedding_width

    def count(self) -> int:
        """``p · d_embedding``."""
        return self.length * self.width

    def initial(self, backbone: Backbone, generator: torch.Generator) -> dict[str, Tensor]:
        """Embeddings of ``p`` tokens drawn from the vocabulary: of the scale and directions the backbone knows.

        The paper does not say how a prompt starts; this is one of the ways of Lester et al.
        """
        import torch

        embeddings = backbone.embedding_matrix.detach()  # (v, d_embedding)
        tokens = torch.randint(embeddings.shape[0], (self.length,), generator=generator)
        return {"prompt": embeddings[tokens.to(embeddings.device)].to("cpu", torch.float32, copy=True)}

    def seams(self, params: Mapping[str, Tensor], backbone: Backbone, batch: Batch) -> Seams:
        """The prompt of each member before each of its sequences."""
        return Seams(prompt=lambda: params["prompt"])

    def fuse(self, params: Mapping[str, Tensor], backbone: Backbone) -> Fused:
        """TypeError: a prompt makes the sequence longer, which no weight can do."""
        raise TypeError("p_tuning_v1 cannot be fused: its prompt is part of the sequence; serve it unfused")
