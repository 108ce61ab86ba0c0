"""What a method offers, and a trained member as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import BaseModel

from trainables.backbones import Seams, Spec
from trainables.batch import Batch

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from trainables.backbones import Backbone

#: What training holds of a trained number, in float32: the number, its gradient, Adam's two means, the best epoch's.
BYTES_PER_TRAINED = 5 * 4


@dataclass(frozen=True)
class Fused:
    """A trained member as plain data, with nothing of its method's factorisation left.

    ``rows``: ``(v, l, d)`` rows of P, added to the hidden states before each layer by token id (AoT).
    ``weights``: values that take the place of the backbone's parameters (fine-tuning, LoRA, BitFit), by their names.
    """

    rows: Tensor | None = None
    weights: Mapping[str, Tensor] = field(default_factory=dict)


class Method(Protocol):
    """What every method offers. Tensors of one member have no member axis; stacked ones are ``(k, …)``.

    A tensor whose name begins with ``FROZEN`` is drawn once and never trained, such as VeRA's random projections: it
    takes no gradient, has no optimiser state, and is kept with the others in checkpoints and among the best weights.

    A method that puts a prompt before the text says in ``prompt_tokens``, of its instances, how many positions that
    takes; one without such an attribute takes none. One that reads ``batch.distinct`` says so in its class by
    ``distinct_tokens = True``; for the others it is not computed. One whose fused form has rows of P gives them in
    pieces, too, by ``fused_rows(params, backbone)``: ``(c, l, d)`` each, in the tokens' order.

    One that fuses into rows of P also offers ``rows(params, backbone, ids)``: of stacked ``params``, the rows
    ``(k, u, l, d)`` of token ids ``(k, u)``, each member its own.

    Members of a pack have the same hyperparameters but for the learning rate. A method says in its class by ``padded``
    in which of its ``sizes`` they may differ as well: zeros that stand before a member's own numbers, in every
    dimension that the size makes longer, change nothing in ``seams`` and get a gradient of exactly zero. The method
    whose ``seams`` are asked is then the one of the largest sizes; ``batch.sizes`` holds those of each member.
    """

    Config: ClassVar[type[BaseModel]]  # hyperparameters with ranges and defaults; frozen, unknown keys refused
    label: ClassVar[str]  # the name printed in tables, no other method's
    sizes: ClassVar[tuple[str, ...]]  # the hyperparameters that ``count`` depends on: a rank, a prompt's length
    fusable: ClassVar[bool]
    max_members: ClassVar[int | None]  # 1 for fine-tuning, None for no limit

    def __init__(self, config: Any, spec: Spec) -> None:
        """ValueError where the hyperparameters do not fit a backbone of these sizes."""
        ...

    def count(self) -> int:
        """Trainable parameters of one member without its head and without what is frozen, in closed form."""
        ...

    def initial(self, backbone: Backbone, generator: torch.Generator) -> dict[str, Tensor]:
        """Fresh tensors of one member, trained (float32) and frozen, by name, drawn from ``generator`` on the CPU.

        No name begins with ``head.``; without a prompt or a prefix, the backbone's output is as it was, up to rounding.
        """
        ...

    def seams(self, params: Mapping[str, Tensor], backbone: Backbone, batch: Batch) -> Seams:
        """How stacked ``params`` ``(k, …)`` change the forward pass of ``batch``.

        What is random in training comes from ``dropout``, which knows from the batch whether there is training.
        ValueError for more than ``max_members``.
        """
        ...

    def fuse(self, params: Mapping[str, Tensor], backbone: Backbone) -> Fused:
        """The fused form of one member's ``params``; TypeError where ``fusable`` is false."""
        ...


def prompt_tokens(method: Method) -> int:
    """The positions of a backbone that a method's prompt takes from the text."""
    return getattr(method, "prompt_tokens", 0)


def distinct_tokens(method: Method) -> bool:
    """Whether a method reads ``batch.distinct``."""
    return getattr(method, "distinct_tokens", False)


def padded(kind: type[Method]) -> tuple[str, ...]:
    """The sizes in which members of one pack may differ."""
    return getattr(kind, "padded", ())
