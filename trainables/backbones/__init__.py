"""Pretrained encoders, one file per family; the folder is the registry.

A family's file declares one ``FAMILY``. Files that begin with ``_`` hold what the families share: ``_seams.py`` says
where a method may touch a backbone, ``_encoder.py`` holds the loop over the layers, ``_attention.py`` the attention,
``_sources.py`` and ``_loading.py`` how a source becomes a backbone, ``_tokenizer.py`` its tokenizer, ``_facts.py`` and
``_remembered.py`` what a study is read with, which takes no torch where it was found before.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from trainables.backbones._facts import spec
from trainables.backbones._known_configs import KNOWN_CONFIGS
from trainables.backbones._seams import Seams, Site, Spec
from trainables.backbones._sources import folder_of, resolve
from trainables.backbones._tokenizer import check_tokenizer, tokenizer, tokenizer_if_here

if TYPE_CHECKING:
    from trainables.backbones._encoder import Backbone
    from trainables.backbones._loading import load, spec_of, unpretrained

__all__ = [
    "Backbone", "Seams", "Site", "Spec", "check_tokenizer", "families", "folder_of", "known", "load", "resolve",
    "spec", "spec_of", "tokenizer", "tokenizer_if_here", "unpretrained",
]  # fmt: skip

#: Names that come with torch and transformers, and where they stand: imported when they are used.
_WITH_TORCH = {"Backbone": "_encoder", "load": "_loading", "spec_of": "_loading", "unpretrained": "_loading"}


def __getattr__(name: str) -> Any:
    if name not in _WITH_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WITH_TORCH[name]}"), name)


def families() -> dict[str, tuple[str, ...]]:
    """Every family and the model types (of a ``config.json``) that belong to it."""
    from trainables.backbones import _registry

    return {name: family.model_types for name, family in _registry.known().items()}


def known() -> tuple[str, ...]:
    """The hub ids whose sizes are known without a network: the paper's backbones."""
    return tuple(KNOWN_CONFIGS)
