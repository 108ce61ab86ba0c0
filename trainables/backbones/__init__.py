"""Pretrained encoders, one file per family; the folder is the registry.

A family's file declares one ``FAMILY``. Files that begin with ``_`` hold what the families share: ``_seams.py`` says
where a method may touch a backbone, ``_encoder.py`` holds the loop over the layers, ``_attention.py`` the attention,
``_sources.py`` and ``_loading.py`` how a source becomes a backbone, ``_tokenizer.py`` its tokenizer.
"""

from __future__ import annotations

from trainables.backbones import _registry
from trainables.backbones._encoder import Backbone
from trainables.backbones._loading import load, spec, spec_of
from trainables.backbones._seams import Seams, Site, Spec
from trainables.backbones._sources import resolve
from trainables.backbones._tokenizer import tokenizer, tokenizer_if_here

__all__ = [
    "Backbone", "Seams", "Site", "Spec", "families", "load", "resolve", "spec", "spec_of", "tokenizer",
    "tokenizer_if_here",
]  # fmt: skip


def families() -> dict[str, tuple[str, ...]]:
    """Every family and the model types (of a ``config.json``) that belong to it."""
    return {name: family.model_types for name, family in _registry.known().items()}
