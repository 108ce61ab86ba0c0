"""Names, paths and sizes of the modules that the families have in common."""

from __future__ import annotations

from math import prod

from transformers import PretrainedConfig

from trainables.backbones._seams import Site

LAYER = "model.encoder.layer.{i}."


def linear(name: str, path: str, inputs: int, outputs: int, bias: bool = True) -> Site:
    """A linear of every layer; ``path`` is inside the layer."""
    return Site(name, LAYER + path, inputs, outputs, bias=bias)


def norm(name: str, path: str, width: int) -> Site:
    """A norm of every layer; ``path`` is inside the layer."""
    return Site(name, LAYER + path, width, width, is_norm=True)


def single(name: str, path: str, inputs: int, outputs: int, bias: bool = True) -> Site:
    """A linear outside the layers; ``path`` is inside the model."""
    return Site(name, f"model.{path}", inputs, outputs, per_layer=False, bias=bias)


def single_norm(name: str, path: str, width: int) -> Site:
    """A norm outside the layers; ``path`` is inside the model."""
    return Site(name, f"model.{path}", width, width, per_layer=False, is_norm=True)


def projections(config: PretrainedConfig, query: str, key: str, value: str, key_bias: bool = True) -> tuple[Site, ...]:
    """Query, key and value of a layer, at the paths given."""
    width = config.hidden_size
    return (
        linear("query", query, width, width),
        linear("key", key, width, width, bias=key_bias),
        linear("value", value, width, width),
    )


def after_attention(
    config: PretrainedConfig,
    output: str = "attention.output.dense",
    output_norm: str = "attention.output.LayerNorm",
) -> tuple[Site, ...]:
    """A layer's sites from the output of its attention on; the feed forward has the same paths in every family."""
    width, inner = config.hidden_size, config.intermediate_size
    return (
        linear("attention_output", output, width, width),
        norm("attention_norm", output_norm, width),
        linear("feed_forward", "intermediate.dense", width, inner),
        linear("feed_forward_output", "output.dense", inner, width),
        norm("feed_forward_norm", "output.LayerNorm", width),
    )


def bert_like(config: PretrainedConfig) -> tuple[Site, ...]:
    """Every site of BERT and of those that name their modules as BERT does."""
    attention = "attention.self."
    return (
        single_norm("embedding_norm", "embeddings.LayerNorm", config.hidden_size),
        *projections(config, attention + "query", attention + "key", attention + "value"),
        *after_attention(config),
    )


def table_parameters(config: PretrainedConfig) -> int:
    """Parameters of the tables of words, absolute positions and token types."""
    rows = config.vocab_size + config.max_position_embeddings + getattr(config, "type_vocab_size", 0)
    return int(rows * getattr(config, "embedding_size", config.hidden_size))


def site_parameters(sites: tuple[Site, ...], layers: int) -> int:
    """Parameters of all linears, norms and convolutions."""
    return sum((layers if s.per_layer else 1) * (prod(s.weight) + s.outputs * s.bias) for s in sites)
