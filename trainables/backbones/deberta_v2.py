"""DeBERTa v2 and v3 (He et al., 2021; 2023): bucketed distances, projections shared with content, a convolution."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig
from transformers.models import deberta_v2 as library

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
from trainables.backbones._family import Family, Pass
from trainables.backbones._seams import Site
from trainables.backbones._sites import after_attention, linear, projections, single, single_norm
from trainables.devices import sent


def sites(config: PretrainedConfig) -> tuple[Site, ...]:
    """The linears of positions are the content's own where they are shared, and then no sites of their own."""
    width = config.hidden_size
    kinds = _kinds(config) if config.relative_attention and not _shares_keys(config) else []
    position_key = linear("position_key", "attention.self.pos_key_proj", width, width)
    position_query = linear("position_query", "attention.self.pos_query_proj", width, width)
    return (
        *embedding_sites(config),
        *([single_norm("position_norm", "encoder.LayerNorm", width)] if _norms_positions(config) else []),
        *projections(config, "attention.self.query_proj", "attention.self.key_proj", "attention.self.value_proj"),
        *([position_key] if "c2p" in kinds else []),
        *([position_query] if "p2c" in kinds else []),
        *after_attention(config),
        *(_convolution(config) if _convolves(config) else ()),
    )


def _convolution(config: PretrainedConfig) -> tuple[Site, ...]:
    """The convolution beside layer 0 and the norm after it."""
    width, path = config.hidden_size, "encoder.conv."
    window = (width // getattr(config, "conv_groups", 1), config.conv_kernel_size)
    over_tokens = replace(single("convolution", f"{path}conv", width, width), window=window)
    return over_tokens, single_norm("convolution_norm", f"{path}LayerNorm", width)


def other_parameters(config: PretrainedConfig) -> int:
    """The tables, with a row for each bucket of distances."""
    return tables(config, _span(config))


class TokenConvolution(nn.Conv1d):
    """The library's convolution with the channels last: ``(b, n, inputs)`` to ``(b, n, outputs)``."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


def adapt(model: Any) -> None:
    """Put the channels of the convolution last, where there is one, so that it is a site as the linears are.

    The norm of relative positions goes where the model has none of these: the library makes it all the same.
    """
    if not model.config.relative_attention:
        model.encoder.LayerNorm = None
    if model.encoder.conv is None:
        return
    given = model.encoder.conv.conv
    made = TokenConvolution(
        given.in_channels,
        given.out_channels,
        given.kernel_size,
        padding=given.padding,
        groups=given.groups,
        device="meta",
    )
    made.weight, made.bias = given.weight, given.bias
    model.encoder.conv.conv = made


def relative(forward: Pass, hidden: Tensor) -> Relative | None:
    """Normed rows of the relative positions, and distances in the library's buckets; ``None`` without them."""
    config = forward.model.config
    if not config.relative_attention:
        return None
    table = members_copies(forward, forward.model.encoder.rel_embeddings.weight)
    if _norms_positions(config):
        table = forward.site("position_norm", -1, table)
    # Reached through the package, whose modelling code loads only when used: planning a study needs sizes alone.
    bucketed = library.modeling_deberta_v2.build_relative_position
    sizes = torch.empty(hidden.shape[1], 0)  # on the CPU: elsewhere the library waits for the device
    distance = bucketed(sizes, sizes, bucket_size=_buckets(config), max_position=max_distance(config))
    return Relative(table, sent(distance[0], hidden.device), _span(config), (table.shape[1],) * forward.members)


def attend(forward: Pass, layer: int, hidden: Tensor, shared: Relative | None) -> Tensor:
    """Disentangled self-attention ``(k·b, p + n, d)``."""
    config = forward.model.config
    key_site, query_site = ("key", "query") if _shares_keys(config) else ("position_key", "position_query")
    kinds = _kinds(config)
    return disentangled(
        forward,
        layer,
        hidden,
        shared,
        terms=1 + len(kinds),
        key_site=key_site if "c2p" in kinds else None,
        query_site=query_site if "p2c" in kinds else None,
    )


def convolve(forward: Pass, layer: int, entered: Tensor, output: Tensor) -> Tensor:
    """Add a convolution over what entered layer 0 to what left it (v2 xlarge and larger).

    Padding is zero before and after it, so that no real token sees padding, whatever a method added there.
    """
    module = forward.model.encoder.conv
    if layer != 0 or module is None:
        return output
    real = forward.mask.unsqueeze(-1)
    convolved = forward.site("convolution", -1, entered * real).masked_fill(~real, 0)
    convolved = library.modeling_deberta_v2.ACT2FN[module.conv_act](forward.drop("convolution", layer, convolved))
    return forward.site("convolution_norm", -1, output + convolved) * real


def _buckets(config: PretrainedConfig) -> int:
    return int(getattr(config, "position_buckets", -1))


def _span(config: PretrainedConfig) -> int:
    return _buckets(config) if _buckets(config) > 0 else max_distance(config)


def _kinds(config: PretrainedConfig) -> list[str]:
    return [kind for kind in ("c2p", "p2c") if kind in (config.pos_att_type or [])]


def _shares_keys(config: PretrainedConfig) -> bool:
    return bool(getattr(config, "share_att_key", False))


def _norms_positions(config: PretrainedConfig) -> bool:
    return bool(config.relative_attention and "layer_norm" in getattr(config, "norm_rel_ebd", "none").lower())


def _convolves(config: PretrainedConfig) -> bool:
    return bool(getattr(config, "conv_kernel_size", 0) > 0)


FAMILY = Family(
    name="deberta_v2",
    model_types=("deberta-v2",),
    sites=sites,
    other_parameters=other_parameters,
    max_tokens=max_tokens,
    embed=embed,
    attend=attend,
    shared=relative,
    after_layer=convolve,
    adapt=adapt,
)
