"""What a family of encoders says about itself, and what it sees of one forward pass.

A family's file declares one ``FAMILY``; ``_encoder.py`` holds the loop that calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PretrainedConfig

from trainables import dropout
from trainables.backbones._seams import Seams, Site
from trainables.batch import Batch


@dataclass(frozen=True)
class Pass:
    """One forward pass of ``k`` members, ``b`` sequences each, of ``p`` prompt tokens and ``n`` tokens of text.

    ``mask`` is ``(k·b, p + n)``, true for prompts and real tokens. ``modules`` holds the library's modules by
    site and layer. ``wanted``: the one position whose hidden state is asked for, where there is one: in the last layer,
    where nothing else reads them, the others have keys and values alone.
    """

    model: Any  # the library's; its submodules go by names that type checkers don't know
    batch: Batch
    seams: Seams
    mask: Tensor
    prompt_tokens: int
    heads: int
    modules: Mapping[tuple[str, int], nn.Module]
    hidden_dropout: float
    attention_dropout: float
    wanted: dropout.Row | None = None

    @property
    def members(self) -> int:
        """``k``."""
        return self.batch.members

    @property
    def token_types(self) -> Tensor:
        """Token type ids ``(k·b, p + n)``; a prompt is of type 0."""
        return functional.pad(self.batch.token_type_ids, (self.prompt_tokens, 0))

    def site(self, name: str, layer: int, x: Tensor) -> Tensor:
        """What the seams make of the module at site ``name`` of ``layer`` (-1 outside the layers) on ``x``."""
        return self.seams.linear(name, layer, self.modules[name, layer], x)

    def drop(self, site: str, layer: int, x: Tensor) -> Tensor:
        """``x`` ``(k·b, p + n, d)`` after the dropout of hidden states, which is none outside training."""
        return dropout.of_tokens(x, self.hidden_dropout, self.batch, site, layer, self.wanted)

    def queries(self, x: Tensor) -> Tensor:
        """Of ``x`` ``(…, p + n, c)`` the positions that ask others: all, or the wanted one."""
        if self.wanted is None:
            return x
        # Contiguous, else a linear of it copies its weight for every sequence.
        return x[..., self.wanted.index : self.wanted.index + 1, :].contiguous()

    def per_member(self, x: Tensor) -> Tensor:
        """``x`` ``(k, …)`` repeated for each of a member's sequences: ``(k·b, …)``."""
        sequences = self.mask.shape[0] // self.members
        return x.unsqueeze(1).expand(-1, sequences, *x.shape[1:]).flatten(0, 1)


def _nothing_shared(forward: Pass, hidden: Tensor) -> None:
    return None


def _unchanged_model(model: Any) -> None:
    return None


def _unchanged_output(forward: Pass, layer: int, entered: Tensor, output: Tensor) -> Tensor:
    return output


@dataclass(frozen=True)
class Family:
    """The parts in which families differ.

    ``model_types``: the values of ``model_type`` in ``config.json`` that belong here.
    ``sites(config)``: every linear, norm and convolution, in the order of the forward pass.
    ``other_parameters(config)``: how many parameters the model has that are in no site: its tables.
    ``max_tokens(config)``: the longest sequence that the positions allow.
    ``embed(forward, words)``: word embeddings ``(k·b, p + n, d_embedding)`` to what enters layer 0 ``(k·b, p + n, d)``.
    ``attend(forward, layer, hidden, shared)``: self-attention up to its output linear, ``(k·b, p + n, d)``.
    ``shared(forward, hidden)``: what the attention of all layers has in common, computed once.
    ``after_layer(forward, layer, entered, output)``: what leaves a layer, given what entered it.
    ``adapt(model)``: changes the loaded model in place, so that every site is a module of its own, ``(…, inputs)`` to
        ``(…, outputs)``.
    ``options``: arguments of the library's model class, such as the one that leaves out the pooling layer.
    """

    name: str
    model_types: tuple[str, ...]
    sites: Callable[[PretrainedConfig], tuple[Site, ...]]
    other_parameters: Callable[[PretrainedConfig], int]
    max_tokens: Callable[[PretrainedConfig], int]
    embed: Callable[[Pass, Tensor], Tensor]
    attend: Callable[[Pass, int, Tensor, Any], Tensor]
    shared: Callable[[Pass, Tensor], Any] = _nothing_shared
    after_layer: Callable[[Pass, int, Tensor, Tensor], Tensor] = _unchanged_output
    adapt: Callable[[Any], None] = _unchanged_model
    options: Mapping[str, Any] = field(default_factory=dict)


def positions(forward: Pass) -> Tensor:
    """Position ids ``(1, p + n)``, counted from 0."""
    return torch.arange(forward.mask.shape[1], device=forward.mask.device).unsqueeze(0)


def positions_after(padding_id: int, forward: Pass) -> Tensor:
    """Position ids ``(k·b, p + n)``: ``padding_id`` for padding, and counted from ``padding_id + 1`` for the rest."""
    real = forward.mask.long()
    return real.cumsum(1) * real + padding_id
