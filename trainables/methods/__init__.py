"""The methods. The folder is the registry: ``method: lora`` in a study is the file ``lora.py`` here.

A method's file holds one class, the only public class of the file that has a ``Config``. It meets ``Method``.
Add a method by adding a file; nothing else names it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from pydantic import BaseModel
from torch import Tensor

from trainables.backbones._seams import Seams, Spec
from trainables.batch import Batch

if TYPE_CHECKING:
    from trainables.backbones import Backbone


@dataclass(frozen=True)
class Fused:
    """A trained member as plain data, with nothing of its method's factorisation left.

    ``rows``: ``(v, l, d)`` rows of P, added to the hidden states before each layer by token id (AoT).
    ``weights``: values that take the place of the backbone's parameters (fine-tuning, LoRA, BitFit), by their names;
        also ``….bias`` of a linear that was pretrained without one.
    """

    rows: Tensor | None = None
    weights: Mapping[str, Tensor] = field(default_factory=dict)


class Method(Protocol):
    """What every method offers. Tensors of one member have no member axis; stacked ones are ``(k, …)``."""

    Config: ClassVar[type[BaseModel]]  # hyperparameters with ranges and defaults; frozen, unknown keys refused
    label: ClassVar[str]  # the name printed in tables
    fusable: ClassVar[bool]
    max_members: ClassVar[int | None]  # 1 for fine-tuning, None for no limit

    def __init__(self, config: Any, spec: Spec) -> None: ...

    def count(self) -> int:
        """Trainable parameters of one member without its head, in closed form."""
        ...

    def initial(self, backbone: Backbone, generator: torch.Generator) -> dict[str, Tensor]:
        """Fresh tensors of one member, by name, drawn from ``generator`` on the CPU."""
        ...

    def seams(self, params: Mapping[str, Tensor], backbone: Backbone, batch: Batch, training: bool) -> Seams:
        """How stacked ``params`` ``(k, …)`` change the forward pass of ``batch``; dropout only when ``training``."""
        ...

    def fuse(self, params: Mapping[str, Tensor], backbone: Backbone) -> Fused:
        """The fused form of one member's ``params``; TypeError where ``fusable`` is false."""
        ...


def names() -> list[str]:
    """Every method's name, in alphabetical order."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


@cache
def get(name: str) -> type[Method]:
    """The class of a method; ValueError names the known ones."""
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
    return classes[0]
