"""The tokenizer of a backbone: found, and refused where its ids cannot be those that the model was trained with."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from trainables import hub
from trainables.backbones._facts import config_named, spec
from trainables.backbones._remembered import remembered
from trainables.backbones._sources import folder_of, location
from trainables.trial import BackboneSource

#: One of them is there wherever there is a tokenizer; on the hub SentencePiece models have these names.
_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
_HUB_FILES = (*_FILES[:3], "spm.model", "spiece.model", "sentencepiece.bpe.model")

#: A tokenizer with fewer tokens beside the special ones is empty: what the library makes where it finds no vocabulary.
_LEAST = 10
#: Rows of the embeddings past the tokenizer's last id, which may be there as padding: so many, or a tenth of all.
_SPARE = 1_024


@lru_cache(maxsize=8)
def tokenizer(source: BackboneSource) -> Any:
    """The library's fast tokenizer of a backbone; the last eight are kept in memory.

    Raises ValueError where there is none, or where it does not fit the backbone: it is empty, it has ids past the
    model's vocabulary or reaches too few of them, or it has no special tokens to put around a text.
    """
    return _checked(source, _loaded(source))


def tokenizer_if_here(source: BackboneSource) -> Any | None:
    """As ``tokenizer``, but ``None`` where that would have to be fetched from the hub."""
    return None if folder_of(source.source) is None and not _in_cache(source) else tokenizer(source)


def check_tokenizer(source: BackboneSource) -> None:
    """Errors as ``tokenizer``; none where it would have to be fetched from the hub. One that fits is remembered."""
    config = config_named(source)
    if config is None or not source.pinned:
        tokenizer_if_here(source)
    elif folder_of(source.source) is not None or _in_cache(source):
        remembered(bool, ["tokenizer", *config], lambda: tokenizer(source) is not None)


def _in_cache(source: BackboneSource) -> bool:
    return any(hub.has(name, source.source, source.revision) for name in _HUB_FILES)


def _loaded(source: BackboneSource) -> Any:
    folder = folder_of(source.source)
    if folder is not None and not any(any(folder.glob(pattern)) for pattern in _FILES):
        raise ValueError(
            f"a backbone's folder needs the files of its tokenizer ({', '.join(_FILES)}), but {source.source!r} has "
            "none: save_pretrained of the model alone leaves them out; save the tokenizer there too"
        )
    import transformers  # with torch

    from trainables.backbones._loading import quiet, spared

    with quiet(), spared(source):
        try:
            return transformers.AutoTokenizer.from_pretrained(
                location(source), revision=source.revision or "main", use_fast=True, trust_remote_code=False
            )
        except Exception as error:  # the library's Rust part raises nothing more precise
            problem = f"cannot load the tokenizer of backbone {source.source!r} ({type(error).__name__}: {error})"
            raise ValueError(f"{problem}; save it again with save_pretrained") from error


def _checked(source: BackboneSource, found: Any) -> Any:
    """The tokenizer itself; ValueError, with the rule and the next step, where it does not fit the model."""
    problem = _not_empty(found) or _not_of(spec(source).vocabulary, found) or _not_surrounding(found)
    if problem is None:
        return found
    raise ValueError(
        f"the tokenizer of backbone {source.source!r} {problem}; give the tokenizer that the model was trained with"
    )


def _not_empty(found: Any) -> str | None:
    """The rule that a tokenizer of too little breaks, and how."""
    if not found.is_fast:
        return "must be a fast one, but its files make a slow one"
    own = len(set(found.get_vocab()) - set(found.all_special_tokens))
    if own < _LEAST:
        return f"must have a vocabulary, but it has {own} tokens beside the special ones: no text would be known"
    missing = [name for name in ("pad", "unk", "cls", "sep") if getattr(found, f"{name}_token_id") is None]
    return f"must have the tokens pad, unk, cls and sep, but it has no {', '.join(missing)}" if missing else None


def _not_of(rows: int, found: Any) -> str | None:
    """As above, of a tokenizer with other ids than a model with so many rows of embeddings."""
    last = max(found.get_vocab().values())
    if last >= rows:
        return f"must have ids below {rows:,}, the model's vocab_size, but its last is {last:,}"
    if rows - last - 1 > max(_SPARE, rows // 10):
        return f"must reach nine tenths of the model's vocab_size of {rows:,}, but its last id is {last:,}"
    return None


def _not_surrounding(found: Any) -> str | None:
    """As above, of a tokenizer that cannot read a sign it does not know, or leaves a text as it is."""
    try:
        ids = found("a \N{SNOWMAN}")["input_ids"]
    except Exception as error:  # as above
        return f"must read every text, but it fails on a sign that it does not know ({error})"
    if ids[0] != found.cls_token_id or ids[-1] != found.sep_token_id:
        return f"must put {found.cls_token} before a text and {found.sep_token} behind it, but gives {ids}"
    return None
