"""Names and paths of the linears and norms that the families have in common."""

from __future__ import annotations

from transformers import PretrainedConfig

from trainables.backbones._seams import Site

LAYER = "model.encoder.layer.{i}."


def linear(name: str, path: str, inputs: int, outputs: int) -> Site:
    """A linear of every layer; ``path`` is inside the layer."""
    return Site(name, LAYER + path, inputs, outputs)


def norm(name: str, path: str, width: int) -> Site:
    """A norm of every layer; ``path`` is inside the layer."""
    return Site(name, LAYER + path, width, width, is_norm=True)


def single(name: str, path: str, inputs: int, outputs: int | None = None) -> Site:
    """A site outside the layers: a linear, or a norm if there is no ``outputs``; ``path`` is inside the model."""
    return Site(name, f"model.{path}", inputs, outputs or inputs, per_layer=False, is_norm=outputs is None)


def projections(config: PretrainedConfig, query: str, key: str, value: str) -> tuple[Site, ...]:
    """Query, key and value of a layer, at the paths given."""
    width = config.hidden_size
    return tuple(
        linear(name, path, width, width) for name, path in (("query", query), ("key", key), ("value", value))
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
        single("embedding_norm", "embeddings.LayerNorm", config.hidden_size),
        *projections(config, attention + "query", attention + "key", attention + "value"),
        *after_attention(config),
    )
