"""The backbone: one loop over the library's modules, the same for every family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PretrainedConfig

from trainables import products
from trainables.backbones._family import Family, Pass
from trainables.backbones._seams import Seams, Spec
from trainables.backbones._sites import site_parameters
from trainables.batch import Batch
from trainables.dropout import Row


class Backbone(nn.Module):
    """A pretrained encoder, frozen and shared by ``k`` members, open at its seams.

    ``model`` is the library's model without a pooling layer; its submodules are used, its own forward is not.
    The library's dropout modules are not used either: ``set_dropout`` holds the probabilities, and a batch that is
    trained on the members' own streams of masks (``trainables/dropout.py``); the mode of the module plays no part.
    """

    def __init__(self, model: Any, family: Family) -> None:
        super().__init__()
        self.spec = describe(model.config, family)
        family.adapt(model)
        self.model: Any = model
        self.family = family
        self._modules_at = {
            (site.name, i): self.get_submodule(site.path.format(i=i))
            for site in self.spec.sites
            for i in (range(self.spec.layers) if site.per_layer else (-1,))
        }
        for module in self._modules_at.values():
            if type(module) is nn.Linear:
                module.__class__ = products.Linear
        self.set_dropout(None)
        self.requires_grad_(False)

    @property
    def embedding_matrix(self) -> Tensor:
        """The word embeddings ``(v, d_embedding)``."""
        return self.model.embeddings.word_embeddings.weight

    @property
    def projected_embeddings(self) -> Tensor:
        """The word embeddings in the width of the hidden states ``(v, d)``."""
        return self._project(self.embedding_matrix)

    def token_embeddings(self, ids: Tensor) -> Tensor:
        """The rows of ``projected_embeddings`` for token ids ``(…)``, without projecting the others: ``(…, d)``."""
        return self._project(self.embedding_matrix[ids])

    def _project(self, words: Tensor) -> Tensor:
        projection = self._modules_at.get(("embedding_projection", -1))
        return words if projection is None else projection(words)

    def set_dropout(self, p: float | None) -> None:
        """Set the dropout of hidden states and attention in training; ``None``: the values of the config."""
        if p is not None and not 0 <= p < 1:
            raise ValueError(f"dropout must be in [0, 1), but got {p}")
        config = self.model.config
        self.hidden_dropout = float(config.hidden_dropout_prob if p is None else p)
        self.attention_dropout = float(config.attention_probs_dropout_prob if p is None else p)

    def forward(self, batch: Batch, seams: Seams, first_only: bool = False) -> Tensor:
        """Last hidden states ``(k·b, p + n, d)`` of ``batch`` with the changes of ``seams``.

        With ``first_only`` that of the first token of the text alone, ``(k·b, 1, d)``: from the last layer's queries on
        the other positions are not computed, since nothing reads them.
        Raises ValueError where prompt and text together are longer than the positions allow.
        """
        if seams.weights:
            given = (batch, replace(seams, weights={}), first_only)
            return torch.func.functional_call(self, dict(seams.weights), given)
        words, forward = self._start(batch, seams)
        hidden = self.family.embed(forward, words)
        shared = self.family.shared(forward, hidden)
        for i in range(self.spec.layers):
            hidden = seams.before_layer(i, hidden)
            if first_only and i == self.spec.layers - 1:
                forward = replace(forward, wanted=Row(forward.prompt_tokens, hidden.shape[1]))
            context = self.family.attend(forward, i, hidden, shared)
            hidden = forward.queries(hidden)
            output = forward.site("attention_output", i, context)
            output = seams.sublayer("attention", i, forward.drop("attention_output", i, output))
            attended = forward.site("attention_norm", i, hidden + output)
            inner = self._activation(i)(forward.site("feed_forward", i, attended))
            output = forward.site("feed_forward_output", i, inner)
            output = seams.sublayer("feed_forward", i, forward.drop("feed_forward_output", i, output))
            output = forward.site("feed_forward_norm", i, attended + output)
            hidden = self.family.after_layer(forward, i, hidden, output)
        return hidden

    def _start(self, batch: Batch, seams: Seams) -> tuple[Tensor, Pass]:
        """Word embeddings with the prompt before them ``(k·b, p + n, d_embedding)``, and the pass they belong to."""
        prompt = seams.prompt()
        forward = Pass(
            model=self.model,
            batch=batch,
            seams=seams,
            mask=batch.attention_mask.bool(),
            prompt_tokens=0 if prompt is None else prompt.shape[1],
            heads=self.spec.heads,
            modules=self._modules_at,
            hidden_dropout=self.hidden_dropout,
            attention_dropout=self.attention_dropout,
        )
        tokens = forward.prompt_tokens + batch.input_ids.shape[1]
        if tokens > self.spec.max_tokens:
            raise ValueError(
                f"{self.spec.family} takes at most {self.spec.max_tokens} tokens, but the batch has {tokens} "
                f"({forward.prompt_tokens} of them prompt); lower max_length or prompt_length"
            )
        words = self.model.embeddings.word_embeddings(batch.input_ids)
        if prompt is not None:
            words = torch.cat([forward.per_member(prompt).to(words.dtype), words], 1)
            forward = replace(forward, mask=functional.pad(forward.mask, (prompt.shape[1], 0), value=True))
        return words, forward

    def _activation(self, layer: int) -> Callable[[Tensor], Tensor]:
        activation: Callable[[Tensor], Tensor] = self.model.encoder.layer[layer].intermediate.intermediate_act_fn
        return activation


def describe(config: PretrainedConfig, family: Family) -> Spec:
    """The sizes of a backbone of ``family`` with this config."""
    sites = family.sites(config)
    return Spec(
        family=family.name,
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        embedding_width=getattr(config, "embedding_size", config.hidden_size),
        heads=config.num_attention_heads,
        vocabulary=config.vocab_size,
        pad_token_id=config.pad_token_id or 0,
        max_tokens=family.max_tokens(config),
        sites=sites,
        parameters=site_parameters(sites, config.num_hidden_layers) + family.other_parameters(config),
    )
