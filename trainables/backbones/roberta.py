"""RoBERTa (Liu et al., 2019), XLM-R and CamemBERT: BERT whose positions begin after the padding's id."""

from __future__ import annotations

from torch import Tensor
from transformers import PretrainedConfig

from trainables.backbones._attention import plain
from trainables.backbones._family import Family, Pass, positions_after
from trainables.backbones._sites import bert_like, table_parameters


def embed(forward: Pass, words: Tensor) -> Tensor:
    """Words, token types and positions, summed and normed: ``(k·b, p + n, d)``."""
    embeddings = forward.model.embeddings
    summed = words + embeddings.token_type_embeddings(forward.token_types)
    summed = summed + embeddings.position_embeddings(positions_after(embeddings.padding_idx, forward))
    return forward.drop("embedding", -1, forward.site("embedding_norm", -1, summed))


def max_tokens(config: PretrainedConfig) -> int:
    """The positions up to and including the padding's id are never those of a token."""
    return int(config.max_position_embeddings - config.pad_token_id - 1)


FAMILY = Family(
    name="roberta",
    model_types=("roberta", "xlm-roberta", "camembert"),
    sites=bert_like,
    other_parameters=table_parameters,
    max_tokens=max_tokens,
    embed=embed,
    attend=plain,
    options={"add_pooling_layer": False},
)
