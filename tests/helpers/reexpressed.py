"""A pretrained BERT written as another family, number for number, for tests that need pretrained weights of it.

These are no pretrained RoBERTa or DeBERTa models, but BERT in their clothes: their hidden states are BERT's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import (
    BertModel,
    DebertaConfig,
    DebertaModel,
    DebertaV2Config,
    DebertaV2Model,
    PreTrainedModel,
    RobertaConfig,
    RobertaModel,
)


def sizes_of(bert: BertModel) -> dict[str, Any]:
    """What the configs of all families have in common."""
    names = (
        "vocab_size hidden_size num_hidden_layers num_attention_heads intermediate_size hidden_act type_vocab_size "
        "layer_norm_eps max_position_embeddings pad_token_id hidden_dropout_prob attention_probs_dropout_prob"
    )
    return {name: getattr(bert.config, name) for name in names.split()}


def as_roberta(bert: BertModel) -> RobertaModel:
    """Positions moved by one row, since RoBERTa counts them from ``pad_token_id + 1``."""
    positions = bert.embeddings.position_embeddings.weight
    sizes = {**sizes_of(bert), "max_position_embeddings": len(positions) + 1}
    model = RobertaModel(RobertaConfig(**sizes, bos_token_id=None, eos_token_id=None), add_pooling_layer=False)
    shifted = torch.cat([torch.zeros_like(positions[:1]), positions])
    return _filled(model, {**bert.state_dict(), "embeddings.position_embeddings.weight": shifted})


def as_deberta_v1(bert: BertModel) -> DebertaModel:
    """Absolute positions in the input, silent relative ones, and the key's bias left out, which softmax cannot see."""
    model = DebertaModel(DebertaConfig(**sizes_of(bert), **_DISENTANGLED))
    heads, state = bert.config.num_attention_heads, bert.state_dict()
    for i in range(bert.config.num_hidden_layers):
        attention = f"encoder.layer.{i}.attention.self."
        parts = [state.pop(f"{attention}{name}.weight") for name in ("query", "key", "value")]
        parts[0] = parts[0] * _three_terms()
        by_head = torch.stack([part.unflatten(0, (heads, -1)) for part in parts], 1)  # (h, 3, d / h, d)
        state[attention + "in_proj.weight"] = by_head.flatten(0, 2)
        state[attention + "q_bias"] = state.pop(attention + "query.bias") * _three_terms()
        state[attention + "v_bias"] = state.pop(attention + "value.bias")
        del state[attention + "key.bias"]
    return _filled(model, state)


def as_deberta_v2(bert: BertModel) -> DebertaV2Model:
    """Absolute positions in the input, silent relative ones with projections of their own."""
    model = DebertaV2Model(DebertaV2Config(**sizes_of(bert), **_DISENTANGLED, share_att_key=False))
    state = bert.state_dict()
    for i in range(bert.config.num_hidden_layers):
        attention = f"encoder.layer.{i}.attention.self."
        for kind in ("weight", "bias"):
            for name in ("query", "key", "value"):
                factor = _three_terms() if name == "query" else 1.0
                state[f"{attention}{name}_proj.{kind}"] = state.pop(f"{attention}{name}.{kind}") * factor
    return _filled(model, state)


_DISENTANGLED = {"relative_attention": True, "position_biased_input": True, "pos_att_type": ["c2p", "p2c"]}


def _three_terms() -> float:
    """DeBERTa divides scores of three kinds by a √3 more than BERT; the query takes it back."""
    return 3.0**0.5


def _filled(model: PreTrainedModel, state: dict[str, Tensor]) -> Any:
    """``model`` with these weights, the relative positions and their projections being silent."""
    state = {name: value for name, value in state.items() if not name.startswith("pooler.")}
    report = model.load_state_dict(state, strict=False)
    if report.unexpected_keys:
        raise ValueError(f"weights without a place: {report.unexpected_keys}")
    with torch.no_grad():
        for name in report.missing_keys:
            if not ("pos_" in name or "rel_embeddings" in name):
                raise ValueError(f"nothing for {name}")
            if "pos_" in name:
                model.get_parameter(name).zero_()
    return model.eval()
