"""The classification head that every method trains: dropout, then one linear layer on the first real token.

The paper does not say of what form its head is; this one is the same for every family. The library's own heads differ:
those for RoBERTa, ELECTRA and DeBERTa put a layer of d² parameters before the last one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables import dropout
from trainables.batch import Batch

if TYPE_CHECKING:
    import torch
    from torch import Tensor

#: Probability of dropout before the linear layer where the protocol gives none; the paper does not state one.
DROPOUT = 0.1
_STD = 0.02

#: Names of a head's tensors among a member's.
PREFIX = "head."
WEIGHT, BIAS = f"{PREFIX}weight", f"{PREFIX}bias"


def initial(outputs: int, width: int, generator: torch.Generator) -> dict[str, Tensor]:
    """One member's fresh head: weight ``(outputs, d)`` from N(0, 0.02²), zero bias ``(outputs,)``."""
    import torch

    weight = torch.empty(outputs, width).normal_(0.0, _STD, generator=generator)
    return {WEIGHT: weight, BIAS: torch.zeros(outputs)}


def count(outputs: int, width: int) -> int:
    """Trainable parameters of a head."""
    return outputs * (width + 1)


def logits(first: Tensor, batch: Batch, weight: Tensor, bias: Tensor, p: float) -> Tensor:
    """Outputs ``(k, b, outputs)`` in float32 from the last hidden states ``(k·b, 1, d)`` of each text's first token.

    ``weight`` is ``(k, outputs, d)``, ``bias`` is ``(k, outputs)``, ``p`` the probability of dropout in training.
    """
    grouped = first.squeeze(1).float().unflatten(0, (batch.members, -1))  # (k, b, d)
    dropped = dropout.of_examples(grouped, p, batch, "head")
    return bias.unsqueeze(1).baddbmm(dropped, weight.transpose(1, 2))
