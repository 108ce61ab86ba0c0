"""ELECTRA (Clark et al., 2020): BERT, whose smaller models have narrower embeddings and project them."""

from __future__ import annotations

from torch import Tensor
from transformers import PretrainedConfig

from trainables.backbones import bert
from trainables.backbones._attention import plain
from trainables.backbones._family import Family, Pass
from trainables.backbones._seams import Site
from trainables.backbones._sites import bert_like, single, single_norm, table_parameters


def sites(config: PretrainedConfig) -> tuple[Site, ...]:
    """BERT's sites, with the projection after the norm of the embeddings where the widths differ."""
    narrow = single_norm("embedding_norm", "embeddings.LayerNorm", config.embedding_size)
    projection = single("embedding_projection", "embeddings_project", config.embedding_size, config.hidden_size)
    return (narrow, *([projection] if _projects(config) else []), *bert_like(config)[1:])


def embed(forward: Pass, words: Tensor) -> Tensor:
    """BERT's embeddings, projected to ``(k·b, p + n, d)`` where they are narrower."""
    embedded = bert.embed(forward, words)
    return forward.site("embedding_projection", -1, embedded) if _projects(forward.model.config) else embedded


def _projects(config: PretrainedConfig) -> bool:
    return bool(config.embedding_size != config.hidden_size)


FAMILY = Family(
    name="electra",
    model_types=("electra",),
    sites=sites,
    other_parameters=table_parameters,
    max_tokens=bert.max_tokens,
    embed=embed,
    attend=plain,
)
