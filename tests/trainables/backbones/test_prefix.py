"""Prefixes against a reference written one query and one key at a time, from the library's modules."""

import pytest
import torch
from helpers.families import FAMILIES, VARIANTS, tiny_backbone, tiny_batch, tiny_model
from torch import Tensor
from transformers.models.deberta_v2.modeling_deberta_v2 import build_relative_position

from trainables.backbones import Seams


def _bert_projections(model, layer):
    attention = layer.attention.self
    return attention.query, attention.key, attention.value


def _mpnet_projections(model, layer):
    attention = layer.attention.attn
    return attention.q, attention.k, attention.v


def _v1_projections(model, layer):
    """The packed projection holds the rows of query, key and value head by head."""
    attention, heads = layer.attention.self, model.config.num_attention_heads
    blocks = attention.in_proj.weight.chunk(3 * heads)
    query, key, value = (torch.cat(blocks[i::3]) for i in range(3))
    return (
        lambda x: x @ query.T + attention.q_bias,
        lambda x: x @ key.T,
        lambda x: x @ value.T + attention.v_bias,
    )


def _v2_projections(model, layer):
    attention = layer.attention.self
    return attention.query_proj, attention.key_proj, attention.value_proj


def _no_positions(model, layer, n):
    return None


def _mpnet_positions(model, layer, n):
    bias = model.encoder.compute_position_bias(torch.zeros(1, n, 1))[0]
    return lambda head, i, j, query, key: bias[head, i, j]


def _v1_positions(model, layer, n):
    config, attention = model.config, layer.attention.self
    if not config.relative_attention:
        return None
    farthest = attention.max_relative_positions
    span = min(n, farthest)
    table = model.encoder.rel_embeddings.weight

    def row(i, j):
        return table[farthest + max(-span, min(span - 1, i - j))]

    return _both_terms(config, _linear(attention, "pos_proj"), _linear(attention, "pos_q_proj"), row)


def _v2_positions(model, layer, n):
    config, attention = model.config, layer.attention.self
    if not config.relative_attention:
        return None
    table, span = model.encoder.get_rel_embedding(), attention.pos_ebd_size
    some = torch.zeros(n, 1)
    buckets = build_relative_position(some, some, attention.position_buckets, attention.max_relative_positions)[0]

    def row(i, j):
        return table[span + max(-span, min(span - 1, int(buckets[i, j])))]

    prefix = "" if attention.share_att_key else "pos_"
    key, query = (_linear(attention, f"{prefix}{name}_proj") for name in ("key", "query"))
    return _both_terms(config, key, query, row)


def _linear(attention, name):
    """A linear that only models with this kind of score have."""
    return getattr(attention, name, None)


def _both_terms(config, position_key, position_query, row):
    """He et al. (2021), equation 4: content to position and position to content, both for the distance from i to j."""
    size = config.hidden_size // config.num_attention_heads

    def score(head, i, j, query, key):
        part = slice(head * size, (head + 1) * size)
        total = torch.zeros(())
        if "c2p" in config.pos_att_type:
            total = total + query @ position_key(row(i, j))[part]
        if "p2c" in config.pos_att_type:
            total = total + key @ position_query(row(i, j))[part]
        return total / ((1 + len(config.pos_att_type)) * size) ** 0.5

    return score


REFERENCES = {
    "bert": (_bert_projections, _no_positions),
    "roberta": (_bert_projections, _no_positions),
    "electra": (_bert_projections, _no_positions),
    "mpnet": (_mpnet_projections, _mpnet_positions),
    "deberta_v1": (_v1_projections, _v1_positions),
    "deberta_v2": (_v2_projections, _v2_positions),
}
CASES = [(family, variant) for family in FAMILIES if family in REFERENCES for variant in VARIANTS[family]]


def naive_attention(model, family: str, layer, hidden: Tensor, prefix: tuple[Tensor, Tensor]) -> Tensor:
    """Attention of one sequence ``(n, d)`` without padding, over a prefix ``(p, d)`` and itself."""
    projections, positions = REFERENCES[family]
    query, key, value = (linear(hidden) for linear in projections(model, layer))
    config, n = model.config, len(hidden)
    position_score = positions(model, layer, n)
    terms = 1 + len(getattr(config, "pos_att_type", None) or [])
    size = config.hidden_size // config.num_attention_heads
    output = torch.zeros_like(query)
    for head in range(config.num_attention_heads):
        part = slice(head * size, (head + 1) * size)
        for i in range(n):
            content = [query[i, part] @ k[part] / (terms * size) ** 0.5 for k in [*prefix[0], *key]]
            if position_score is not None:
                for j in range(n):
                    content[len(prefix[0]) + j] += position_score(head, i, j, query[i, part], key[j, part])
            probabilities = torch.softmax(torch.stack(content), 0)
            output[i, part] = probabilities @ torch.cat([prefix[1], value])[:, part]
    return output


def naive_encoder(model, family: str, hidden: Tensor, prefixes: list[tuple[Tensor, Tensor]]) -> Tensor:
    """All layers on one sequence ``(n, d)`` of embeddings, without the convolution."""
    for layer, prefix in zip(model.encoder.layer, prefixes, strict=True):
        context = naive_attention(model, family, layer, hidden, prefix)
        if family == "mpnet":
            attended = layer.attention.LayerNorm(layer.attention.attn.o(context) + hidden)
        else:
            attended = layer.attention.output(context, hidden)
        output = layer.output(layer.intermediate(attended), attended)
        conv = getattr(model.encoder, "conv", None)
        if conv is not None and layer is model.encoder.layer[0]:
            output = conv(hidden[None], output[None], torch.ones(1, len(hidden), dtype=torch.long))[0]
        hidden = output
    return hidden


@pytest.mark.parametrize(("family", "variant"), CASES)
@pytest.mark.parametrize("tokens", [0, 2])
@torch.no_grad()
def test_prefix_equals_the_naive_reference(family: str, variant: str, tokens: int) -> None:
    backbone, model = tiny_backbone(family, variant=variant), tiny_model(family, variant=variant)
    members, sequences = 2, 2
    batch = tiny_batch(backbone, members=members, sequences=sequences, tokens=6)
    generator = torch.Generator().manual_seed(5)
    shape = (backbone.spec.layers, 2, members, tokens, backbone.spec.width)
    drawn = torch.randn(shape, generator=generator)
    prefix = [(keys, values) for keys, values in drawn]
    seams = Seams(prefix=lambda i: prefix[i]) if tokens else Seams()
    got = backbone(batch, seams)
    entering: list[Tensor] = []
    backbone(batch, Seams(before_layer=lambda i, h: entering.append(h) or h))
    for row, length in enumerate(batch.attention_mask.sum(1).tolist()):
        member = row // sequences
        own = [(keys[member], values[member]) for keys, values in prefix]
        expected = naive_encoder(model, family, entering[0][row, :length], own)
        torch.testing.assert_close(got[row, :length], expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_a_prefix_has_no_order_and_changes_the_output(family: str) -> None:
    backbone = tiny_backbone(family)
    batch = tiny_batch(backbone)
    keys, values = torch.randn(2, 1, 3, backbone.spec.width, generator=torch.Generator().manual_seed(0))
    output = backbone(batch, Seams(prefix=lambda i: (keys, values)))
    turned = backbone(batch, Seams(prefix=lambda i: (keys.flip(1), values.flip(1))))
    torch.testing.assert_close(output, turned, atol=1e-5, rtol=1e-5)
    assert (output - backbone(batch, Seams()))[:, 0].abs().max() > 1e-2
