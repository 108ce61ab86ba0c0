"""From texts to token ids: cut where they are too long, with what was cut and what is unknown counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainables.data.truncation import kept
from trainables.tasks import Truncation
from trainables.tasks._text import Texts

_CHUNK = 4096  # sequences tokenised at a time


@dataclass(frozen=True)
class TextFacts:
    """A split in the tokens of a backbone.

    ``sequences`` and ``tokens``: how many it has, after its texts were cut. ``cut``: the share of the sequences, 0 to
    1, that lost tokens. ``unknown``: the share of the texts' tokens (no special ones) that the tokenizer has no name
    for. ``estimated``: all of it follows from a sample of the rows.
    """

    sequences: int
    tokens: int
    cut: float
    unknown: float
    estimated: bool = False


def encode(
    texts: Texts, tokenizer: Any, max_length: int, truncation: Truncation
) -> tuple[dict[str, np.ndarray], TextFacts]:
    """The ``ids``, ``types`` and ``offsets`` of ``Examples``, and what is to be told of them.

    A sequence of at most ``max_length`` tokens is just what the library's tokenizer makes of it; of a longer one,
    tokens are left out as ``truncation`` says.
    """
    ids: list[np.ndarray] = []
    types: list[np.ndarray] = []
    cut = 0
    for encoding in _encodings(texts, tokenizer):
        own_ids, own_types, lost = sequence(encoding, max_length, truncation)
        cut += lost
        ids.append(own_ids)
        types.append(own_types)
    offsets = np.cumsum([0, *map(len, ids)], dtype=np.int64)
    all_ids, all_types = np.concatenate(ids), np.concatenate(types)
    if not has_types(tokenizer):
        all_types[:] = 0
    special = tokenizer.num_special_tokens_to_add(pair=texts.second is not None) * len(ids)
    unknown = int((all_ids == tokenizer.unk_token_id).sum()) / max(1, len(all_ids) - special)
    facts = TextFacts(len(ids), len(all_ids), cut / len(ids), unknown)
    return {"ids": all_ids, "types": all_types, "offsets": offsets}, facts


def sequence(encoding: Any, max_length: int, truncation: Truncation) -> tuple[np.ndarray, np.ndarray, bool]:
    """A text's token ids, int32, and token types, uint8, ``(n,)`` each, and whether it was cut.

    ``encoding`` is what the library's tokenizer made of the whole text.
    """
    ids, types = np.array(encoding.ids, dtype=np.int32), np.array(encoding.type_ids, dtype=np.uint8)
    if len(ids) <= max_length:
        return ids, types, False
    stays = kept(encoding.sequence_ids, truncation, max_length)
    return ids[stays], types[stays], True


def has_types(tokenizer: Any) -> bool:
    """Whether the model is told of token types; RoBERTa is not: it has one type, 0."""
    return "token_type_ids" in tokenizer.model_input_names


def _encodings(texts: Texts, tokenizer: Any) -> Iterator[Any]:
    """Of whole texts: the library can cut on either side, but fails where the segment that gives way is too short."""
    for start in range(0, len(texts.first), _CHUNK):
        part = slice(start, start + _CHUNK)
        pair = None if texts.second is None else texts.second[part]
        yield from tokenizer(texts.first[part], pair, truncation=False, padding=False, verbose=False).encodings
