"""The methods. The folder is the registry: ``method: lora`` in a study is the file ``lora.py`` here.

A method's file holds one class, the only public class of the file that has a ``Config``. It meets ``Method``.
Add a method by adding a file; nothing else names it. All that such a file needs of ours is imported from here. Ours
import torch in the functions that use it: a study is read, planned and reported without it.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING, Any

from trainables import backbones, dropout
from trainables.backbones import Seams, Site, Spec
from trainables.batch import Batch
from trainables.methods._config import SETTINGS
from trainables.methods._members import FROZEN, affine, by_layer, grouped, trainable
from trainables.methods._method import BYTES_PER_TRAINED, Fused, Method, distinct_tokens, padded, prompt_tokens
from trainables.methods._norms import normalised
from trainables.methods._rows import add_rows, all_rows, row_chunks, take

if TYPE_CHECKING:
    from trainables.backbones import Backbone

__all__ = [
    "BYTES_PER_TRAINED",
    "FROZEN",
    "SETTINGS",
    "Backbone",
    "Batch",
    "Fused",
    "Method",
    "Seams",
    "Site",
    "Spec",
    "add_rows",
    "affine",
    "all_rows",
    "by_layer",
    "distinct_tokens",
    "dropout",
    "get",
    "grouped",
    "names",
    "normalised",
    "padded",
    "prompt_tokens",
    "row_chunks",
    "take",
    "trainable",
]


#: What the class of a method says of itself beside its ``Config``; see ``Method``.
DECLARED = ("label", "sizes", "fusable", "max_members")


def __getattr__(name: str) -> Any:
    if name != "Backbone":  # which comes with torch
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return backbones.Backbone


def names() -> list[str]:
    """Every method's name, in alphabetical order."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


@cache
def get(name: str) -> type[Method]:
    """The class of a method; ValueError names the known ones, or what its file lacks."""
    if name not in names():
        raise ValueError(f"unknown method {name!r}; known: {', '.join(names())}")
    module = importlib.import_module(f"{__name__}.{name}")
    classes = [
        c
        for c in vars(module).values()
        if isinstance(c, type) and c.__module__ == module.__name__ and hasattr(c, "Config")
    ]
    if len(classes) != 1:
        raise ValueError(f"{module.__file__} must hold exactly one class with a Config, but has {len(classes)}")
    if missing := [attribute for attribute in DECLARED if not hasattr(classes[0], attribute)]:
        raise ValueError(f"{module.__file__}: class {classes[0].__name__} must say its {', '.join(missing)}")
    return classes[0]
