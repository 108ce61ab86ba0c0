"""MPNet (Song et al., 2020): absolute positions as in RoBERTa, and a bias on attention by relative position."""

from __future__ import annotations

from torch import Tensor
from transformers import PretrainedConfig

from trainables.backbones._attention import plain
from trainables.backbones._family import Family, Pass, positions_after
from trainables.backbones._seams import Site
from trainables.backbones._sites import after_attention, projections, single_norm, table_parameters


def sites(config: PretrainedConfig) -> tuple[Site, ...]:
    """One norm of the embeddings; the layers as in BERT, but for the paths of the attention."""
    return (
        single_norm("embedding_norm", "embeddings.LayerNorm", config.hidden_size),
        *projections(config, "attention.attn.q", "attention.attn.k", "attention.attn.v"),
        *after_attention(config, "attention.attn.o", "attention.LayerNorm"),
    )


def embed(forward: Pass, words: Tensor) -> Tensor:
    """Words and positions, summed and normed: ``(k·b, p + n, d)``."""
    embeddings = forward.model.embeddings
    summed = words + embeddings.position_embeddings(positions_after(embeddings.padding_idx, forward))
    return forward.drop("embedding", -1, forward.site("embedding_norm", -1, summed))


def relative_bias(forward: Pass, hidden: Tensor) -> Tensor:
    """The bias of every layer's attention scores ``(1, h, p + n, p + n)``, by the library's own function."""
    return forward.model.encoder.compute_position_bias(hidden[:1])


def other_parameters(config: PretrainedConfig) -> int:
    """The tables, and one number per head and bucket of distances."""
    return table_parameters(config) + int(config.relative_attention_num_buckets * config.num_attention_heads)


def max_tokens(config: PretrainedConfig) -> int:
    """The positions up to and including the padding's id, which is always 1, are never those of a token."""
    return int(config.max_position_embeddings - 2)


FAMILY = Family(
    name="mpnet",
    model_types=("mpnet",),
    sites=sites,
    other_parameters=other_parameters,
    max_tokens=max_tokens,
    embed=embed,
    attend=plain,
    shared=relative_bias,
    options={"add_pooling_layer": False},
)
