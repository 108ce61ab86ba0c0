"""The sizes of the backbones of the paper's studies, so that a study can be planned without a network.

Each is a part of the model's published config.json; what is left out has the library's default.
"""

from __future__ import annotations

from typing import Any

_ROBERTA: dict[str, Any] = {
    "model_type": "roberta",
    "vocab_size": 50265,
    "max_position_embeddings": 514,
    "type_vocab_size": 1,
    "pad_token_id": 1,
    "layer_norm_eps": 1e-5,
}
_ROBERTA_BASE = {
    **_ROBERTA,
    "num_hidden_layers": 12,
    "hidden_size": 768,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
}
_ROBERTA_LARGE = {
    **_ROBERTA,
    "num_hidden_layers": 24,
    "hidden_size": 1024,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
}
_DEBERTA_XLARGE = {
    "model_type": "deberta",
    "num_hidden_layers": 48,
    "hidden_size": 1024,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "vocab_size": 50265,
    "max_position_embeddings": 512,
    "type_vocab_size": 0,
    "pad_token_id": 0,
    "layer_norm_eps": 1e-7,
    "relative_attention": True,
    "max_relative_positions": -1,
    "pos_att_type": "c2p|p2c",
    "position_biased_input": False,
}

KNOWN_CONFIGS: dict[str, dict[str, Any]] = {
    "roberta-base": _ROBERTA_BASE,
    "FacebookAI/roberta-base": _ROBERTA_BASE,
    "roberta-large": _ROBERTA_LARGE,
    "FacebookAI/roberta-large": _ROBERTA_LARGE,
    "microsoft/deberta-xlarge": _DEBERTA_XLARGE,
}
