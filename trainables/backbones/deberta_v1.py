"""DeBERTa (He et al., 2021), first generation: linear distances, position projections of their own."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import PretrainedConfig

from trainables.backbones._disentangled import (
    Relative,
    disentangled,
    embed,
    embedding_sites,
    max_distance,
    max_tokens,
    members_copies,
    tables,
)
from trainables.backbones._family import Family, Pass, positions
from trainables.backbones._seams import Site
from trainables.backbones._sites import after_attention, linear, projections


def sites(config: PretrainedConfig) -> tuple[Site, ...]:
    """BERT's sites, and a linear for each of the two kinds of position scores.

    Raises ValueError for talking heads, which mix the heads' scores.
    """
    if getattr(config, "talking_head", False):
        raise ValueError("DeBERTa with talking_head is not supported; give a checkpoint with talking_head false")
    width = config.hidden_size
    kinds = config.pos_att_type or [] if config.relative_attention else []
    position_key = linear("position_key", "attention.self.pos_proj", width, width, bias=False)
    position_query = linear("position_query", "attention.self.pos_q_proj", width, width)
    return (
        *embedding_sites(config),
        *projections(config, "attention.self.query", "attention.self.key", "attention.self.value", key_bias=False),
        *([position_key] if "c2p" in kinds else []),
        *([position_query] if "p2c" in kinds else []),
        *after_attention(config),
    )


def other_parameters(config: PretrainedConfig) -> int:
    """The tables, with a row for each distance."""
    return tables(config, max_distance(config))


def adapt(model: Any) -> None:
    """Split each layer's packed projection into query, key and value linears that compute the same.

    The library packs, head by head, the rows of query, key and value; query and value have biases beside it.
    """
    config = model.config
    for layer in model.encoder.layer:
        attention = layer.attention.self
        packed = attention.in_proj.weight.detach().view(config.num_attention_heads, 3, -1, config.hidden_size)
        biases = (attention.q_bias, None, attention.v_bias)
        for i, (name, bias) in enumerate(zip(("query", "key", "value"), biases, strict=True)):
            setattr(attention, name, _linear(packed[:, i].flatten(0, 1), bias))
        del attention.in_proj, attention.q_bias, attention.v_bias


def relative(forward: Pass, hidden: Tensor) -> Relative | None:
    """The rows for the distances that occur in a sequence of this length; ``None`` without relative attention."""
    config = forward.model.config
    if not config.relative_attention:
        return None
    farthest = max_distance(config)
    span = min(hidden.shape[1], farthest)
    table = forward.model.encoder.rel_embeddings.weight[farthest - span : farthest + span]
    here = positions(forward)
    own = tuple(2 * min(hidden.shape[1] - padding, farthest) for padding in forward.batch.padding)
    return Relative(members_copies(forward, table), here.T - here, span, own)


def attend(forward: Pass, layer: int, hidden: Tensor, shared: Relative | None) -> Tensor:
    """Disentangled self-attention ``(k·b, p + n, d)``; the scale counts the kinds of the config."""
    kinds = forward.model.config.pos_att_type or []
    return disentangled(
        forward,
        layer,
        hidden,
        shared,
        terms=1 + len(kinds),
        key_site="position_key" if "c2p" in kinds else None,
        query_site="position_query" if "p2c" in kinds else None,
    )


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A linear with this weight, on the weight's device."""
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    made.weight = nn.Parameter(weight.clone())
    if bias is not None:
        made.bias = nn.Parameter(bias.detach().clone())
    return made


FAMILY = Family(
    name="deberta_v1",
    model_types=("deberta",),
    sites=sites,
    other_parameters=other_parameters,
    max_tokens=max_tokens,
    embed=embed,
    attend=attend,
    shared=relative,
    adapt=adapt,
)
