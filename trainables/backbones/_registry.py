"""The families of this folder: a file declares one ``FAMILY``, and nothing else names it."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path

from trainables.backbones._family import Family


@cache
def known() -> dict[str, Family]:
    """Every family by name, in the files' order."""
    files = sorted(m.name for m in pkgutil.iter_modules([str(Path(__file__).parent)]) if not m.name.startswith("_"))
    found = [importlib.import_module(f"trainables.backbones.{file}").FAMILY for file in files]
    return {family.name: family for family in found}


def of_model_type(model_type: str) -> Family:
    """The family of a config's ``model_type``; ValueError names the known ones."""
    for family in known().values():
        if model_type in family.model_types:
            return family
    listing = "; ".join(f"{name} ({', '.join(family.model_types)})" for name, family in known().items())
    raise ValueError(f"no family of backbones for model type {model_type!r}; known families and their types: {listing}")
