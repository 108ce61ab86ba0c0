"""Disentangled attention (He et al., 2021): content to content, content to position, position to content.

Shared by both generations of DeBERTa, which differ in how positions are counted and which linears project them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PretrainedConfig

from trainables import dropout
from trainables.backbones._attention import attend, project, split_heads
from trainables.backbones._family import Pass, positions
from trainables.backbones._seams import Site
from trainables.backbones._sites import single, single_norm, table_parameters


@dataclass(frozen=True)
class Relative:
    """What the layers share of relative positions.

    ``embeddings`` ``(k, 2s, d)``: row ``s + distance`` stands for a distance, clamped to ``[-s, s)``; one copy per
    member, since a method may change them. ``distance`` ``(p + n, p + n)``: from query to key, ``s`` being the span.
    ``own``: how many of the rows, in their middle, each member would have if it trained alone.
    """

    embeddings: Tensor
    distance: Tensor
    span: int
    own: tuple[int, ...]


def embedding_sites(config: PretrainedConfig) -> tuple[Site, ...]:
    """The projection of narrow word embeddings, if there is one, and the norm after it."""
    inputs = getattr(config, "embedding_size", config.hidden_size)
    projection = single("embedding_projection", "embeddings.embed_proj", inputs, config.hidden_size, bias=False)
    narrow = inputs != config.hidden_size
    return (
        *([projection] if narrow else []),
        single_norm("embedding_norm", "embeddings.LayerNorm", config.hidden_size),
    )


def embed(forward: Pass, words: Tensor) -> Tensor:
    """Words with positions and types where the model has them, projected, normed, and zero at padding."""
    embeddings = forward.model.embeddings
    if embeddings.position_embeddings is not None:
        words = words + embeddings.position_embeddings(positions(forward))
    if embeddings.token_type_embeddings is not None:
        words = words + embeddings.token_type_embeddings(forward.token_types)
    if embeddings.embed_proj is not None:
        words = forward.site("embedding_projection", -1, words)
    normed = forward.site("embedding_norm", -1, words)
    return forward.drop("embedding", -1, normed * forward.mask.unsqueeze(-1).to(normed.dtype))


def tables(config: PretrainedConfig, span: int) -> int:
    """Parameters of the tables of words, types, absolute positions if there are any, and ``2 · span`` relative ones."""
    without_positions = 0 if config.position_biased_input else config.max_position_embeddings
    absolute = table_parameters(config) - without_positions * getattr(config, "embedding_size", config.hidden_size)
    return int(absolute + (2 * span * config.hidden_size if config.relative_attention else 0))


def max_tokens(config: PretrainedConfig) -> int:
    """One token for each position the model was trained with, relative ones included."""
    return int(config.max_position_embeddings)


def max_distance(config: PretrainedConfig) -> int:
    """The largest distance that has a relative position of its own."""
    given = getattr(config, "max_relative_positions", -1)
    return int(given if given >= 1 else config.max_position_embeddings)


def members_copies(forward: Pass, table: Tensor) -> Tensor:
    """A table of relative positions ``(2s, d)`` once for each member, ``(k, 2s, d)``."""
    return table.unsqueeze(0).expand(forward.members, -1, -1)


def disentangled(
    forward: Pass,
    layer: int,
    hidden: Tensor,
    relative: Relative | None,
    *,
    terms: int,
    key_site: str | None,
    query_site: str | None,
) -> Tensor:
    """Self-attention ``(k·b, p + n, d)`` whose scores are a sum of ``terms`` kinds, scaled by 1 / √(terms · d / h).

    ``key_site`` projects relative positions for content to position, ``query_site`` for position to content;
    ``None`` leaves the term out, and without ``relative`` both are. A prefix has content but no position, so that
    its score is the content's alone.
    """
    query, key, value = project(forward, layer, hidden)
    scale = (terms * query.shape[-1]) ** -0.5
    bias = None
    if relative is not None:
        p = forward.hidden_dropout
        table = dropout.of_distances(relative.embeddings, p, forward.batch, "distances", layer, relative.own)
        if key_site is not None:
            keys = split_heads(forward.site(key_site, layer, table), forward.heads)
            bias = _at_distances(query, keys, forward.queries(relative.distance), relative.span)
        if query_site is not None:
            queries = split_heads(forward.site(query_site, layer, table), forward.heads)
            # Row j of the product is key j's: its queries stand at the opposite distance.
            opposite = -forward.queries(relative.distance.T).T
            transposed = _at_distances(key, queries, opposite, relative.span).transpose(-1, -2)
            bias = transposed if bias is None else bias + transposed
        bias = None if bias is None else bias * scale
    return attend(forward, layer, query, key, value, bias=bias, scale=scale)


def _at_distances(content: Tensor, table: Tensor, distance: Tensor, span: int) -> Tensor:
    """Entry (i, j): content i times the table's row for the distance from i to j; ``(k·b, h, n, n)``.

    ``content`` ``(k·b, h, n, d / h)``, ``table`` ``(k, h, 2s, d / h)``, ``distance`` ``(n, n)``, or some of its rows
    with their content, or some of its columns. A member's sequences share one product, so that the table is not copied
    for each of them.
    """
    members, tokens = table.shape[0], content.shape[2]
    rows = (distance + span).clamp(0, 2 * span - 1)
    grouped = content.unflatten(0, (members, -1)).transpose(1, 2)  # (k, h, b, n, d / h)
    scores = grouped.flatten(2, 3) @ table.transpose(-1, -2)  # (k, h, b·n, 2s)
    scores = scores.unflatten(2, (-1, tokens)).transpose(1, 2)  # (k, b, h, n, 2s)
    return torch.gather(scores, -1, rows.expand(*scores.shape[:3], -1, -1)).flatten(0, 1)
