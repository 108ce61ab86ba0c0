"""Tiny random backbones of every family, in memory or as folders with a tokenizer that loads without a network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModel,
    BertTokenizerFast,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    RobertaTokenizerFast,
)

from trainables.backbones import Backbone, _registry, families
from trainables.batch import Batch, Distinct

FAMILIES: tuple[str, ...] = tuple(families())

#: What a family's tiny config has beyond the common sizes, by variant; "" is the one that ``tiny_backbone`` makes.
_DEBERTA = {"relative_attention": True, "position_biased_input": False, "type_vocab_size": 0, "layer_norm_eps": 1e-7}
_V3 = {
    **_DEBERTA,
    "pos_att_type": ["p2c", "c2p"],
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "position_buckets": 4,
}
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "bert": {"": {}},
    "roberta": {
        "": {"pad_token_id": 1, "type_vocab_size": 1},
        "two_types": {"pad_token_id": 0, "type_vocab_size": 2},
        "xlm": {"pad_token_id": 1, "type_vocab_size": 1, "model_type": "xlm-roberta"},
        "camembert": {"pad_token_id": 1, "type_vocab_size": 1, "model_type": "camembert"},
    },
    "electra": {"": {"embedding_size": 16}, "wide": {"embedding_size": 32}},
    "mpnet": {"": {"pad_token_id": 1}},
    "deberta_v1": {
        "": {**_DEBERTA, "pos_att_type": ["c2p", "p2c"]},
        "c2p": {**_DEBERTA, "pos_att_type": ["c2p"]},
        "p2c": {**_DEBERTA, "pos_att_type": ["p2c"]},
        "short_span": {**_DEBERTA, "pos_att_type": "c2p|p2c", "max_relative_positions": 3},
        "absolute": {"relative_attention": False, "type_vocab_size": 2, "pos_att_type": []},
        "embedding_size": {**_DEBERTA, "pos_att_type": ["c2p"], "embedding_size": 16, "type_vocab_size": 2},
    },
    "deberta_v2": {
        "": _V3,
        "own_keys": {**_V3, "share_att_key": False, "norm_rel_ebd": "none", "position_buckets": -1},
        "v2_xlarge": {**_V3, "conv_kernel_size": 3, "conv_act": "gelu"},
        "convolution_groups": {**_V3, "conv_kernel_size": 5, "conv_groups": 4},
        "c2p": {**_V3, "pos_att_type": ["c2p"]},
        "own_keys_p2c": {**_V3, "share_att_key": False, "pos_att_type": ["p2c"]},
        "absolute": {"relative_attention": False, "type_vocab_size": 2, "norm_rel_ebd": "layer_norm"},
        "embedding_size": {**_V3, "embedding_size": 16, "position_biased_input": True},
    },
}


def tiny_model(
    family: str, seed: int = 0, layers: int = 3, width: int = 32, vocabulary: int = 99, variant: str = ""
) -> PreTrainedModel:
    """The library's model of a family with random weights, 4 heads and 160 positions, without a pooling layer.

    Weights are larger than a fresh model's, and no bias is zero or norm one, so that a term left out shows.
    """
    kind = _registry.known()[family]
    sizes = {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "intermediate_size": 2 * width,
        "max_position_embeddings": 160,
        "pad_token_id": 0,
        "model_type": kind.model_types[0],
        **VARIANTS.get(family, {}).get(variant, {}),
    }
    config = AutoConfig.for_model(sizes.pop("model_type"), **sizes)
    config._attn_implementation = "eager"
    with torch.random.fork_rng(devices=[]):
        model = AutoModel.from_config(config, **kind.options)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.named_parameters():
            noise = torch.randn(value.shape, generator=generator)
            is_norm = "LayerNorm.weight" in name
            value.copy_(1 + 0.2 * noise if is_norm else 0.2 * noise)
    return model.eval()


def tiny_backbone(
    family: str, seed: int = 0, layers: int = 3, width: int = 32, vocabulary: int = 99, variant: str = ""
) -> Backbone:
    """A random backbone of a family in memory, frozen and in evaluation mode."""
    model = tiny_model(family, seed, layers, width, vocabulary, variant)
    return Backbone(model, _registry.known()[family]).eval()


def tiny_batch(
    backbone: Backbone,
    members: int = 1,
    sequences: int = 4,
    tokens: int = 9,
    seed: int = 0,
    classes: int = 2,
    shorter: int = 0,
) -> Batch:
    """Random sequences of different lengths, padded at the end to ``tokens``; the first of a member is the longest.

    Each member is ``shorter`` by so many tokens than the one before. Token types are 0 and then 1 where the backbone
    has two types.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = members * sequences
    spec = backbone.spec
    low = spec.pad_token_id + 1
    ids = torch.randint(low, spec.vocabulary, (rows, tokens), generator=generator)
    lengths = torch.randint(2, tokens + 1, (members, sequences), generator=generator)
    longest = tokens - shorter * torch.arange(members)
    lengths = lengths.minimum(longest.unsqueeze(1))
    lengths[:, 0] = longest
    mask = (torch.arange(tokens) < lengths.reshape(-1, 1)).long()
    ids = torch.where(mask.bool(), ids, spec.pad_token_id)
    two_types = getattr(backbone.model.config, "type_vocab_size", 0) > 1
    types = (torch.arange(tokens) >= lengths.reshape(-1, 1) // 2).long() * mask * int(two_types)
    return make_batch(ids, mask, types, members, torch.randint(0, classes, (members, sequences), generator=generator))


def make_batch(
    ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor, members: int, labels: torch.Tensor | None = None
) -> Batch:
    """A batch of these sequences ``(k·b, n)``, with the distinct tokens of each of ``members``."""
    own = [ids.view(members, -1)[i][mask.view(members, -1)[i] > 0].unique() for i in range(members)]
    padding_id = ids[mask == 0][:1]
    width = max(map(len, own)) + len(padding_id)
    distinct = torch.stack([torch.cat([v, padding_id.expand(width - len(v))]) for v in own])
    where = (ids.view(members, -1, 1) == distinct.unsqueeze(1)).int().argmax(-1)
    labels = torch.zeros(members, len(ids) // members, dtype=torch.long) if labels is None else labels
    widths = mask.view(members, -1, mask.shape[1]).sum(-1).amax(1).tolist()
    padding = tuple(mask.shape[1] - width for width in widths)
    tokens = Distinct(distinct, where, tuple(width - len(v) for v in own))
    return Batch(ids, mask, types, labels, 1, padding, tokens=tokens)


def in_training(batch: Batch, first: int = 0) -> Batch:
    """The same batch with streams of dropout, the numbers from ``first`` on."""
    return replace(batch, streams=torch.arange(first, first + batch.members))


_TEXT = """
    a the cat dog bird sat ran flew on under over mat house tree red blue green big small old new good bad great poor
    movie film story actor is was not very and or but why what cause effect happened because she he it they them yes no
"""
_LETTERS = [*"abcdefghijklmnopqrstuvwxyz0123456789.,:;!?'\"()-*#"]


def save_tiny(family: str, folder: Path, seed: int = 0, layers: int = 3, width: int = 32) -> Path:
    """Write a random backbone of a family with a small tokenizer into ``folder``, as ``save_pretrained`` does."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    pad_first = VARIANTS.get(family, {}).get("", {}).get("pad_token_id", 0) == 0
    tokenizer = _word_pieces() if pad_first else _bytes()
    tiny_model(family, seed, layers, width, vocabulary=len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _word_pieces() -> PreTrainedTokenizerBase:
    """Lower-cased word pieces as BERT's, with padding 0; every text of ASCII letters is known, if only by letter."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_LETTERS, *(f"##{x}" for x in _LETTERS)]
    vocabulary = dict.fromkeys([*pieces, *_TEXT.split()])
    return BertTokenizerFast(vocab={piece: i for i, piece in enumerate(vocabulary)})


def _bytes() -> PreTrainedTokenizerBase:
    """Bytes as RoBERTa's, with padding 1 and no merges."""
    symbols = ["<s>", "<pad>", "</s>", "<unk>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "<mask>"]
    return RobertaTokenizerFast(vocab={symbol: i for i, symbol in enumerate(symbols)}, merges=[])
