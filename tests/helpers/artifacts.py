"""Trials that look trained, and their artifacts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from serving import fuse
from serving.artifact import Artifact
from trainables import backbones, head, methods, tasks
from trainables.backbones import Backbone
from trainables.tasks import Task
from trainables.trial import BackboneSource, Protocol, Trial

#: Small sizes, by the names of the hyperparameters that methods have.
SMALL = {"rank": 3, "prompt_length": 4}


def trained(
    method: str, task: str | Task, where: BackboneSource, seed: int = 0, **values: Any
) -> tuple[Trial, dict[str, torch.Tensor], Backbone]:
    """A trial, its tensors as training might leave them, and its backbone; ``values`` are hyperparameters."""
    task = tasks.get(task) if isinstance(task, str) else task
    backbone, kind = backbones.load(where), methods.get(method)
    config = kind.Config(**{n: v for n, v in (SMALL | values).items() if n in kind.Config.model_fields})
    hyperparameters = {"learning_rate": 1e-3, "batch_size": 16, **config.model_dump()}
    trial = Trial(where, task, method, hyperparameters, seed, Protocol(epochs=3, patience=3))
    generator = torch.Generator().manual_seed(seed)
    tensors = kind(config, backbone.spec).initial(backbone, generator)
    tensors |= head.initial(task.outputs, backbone.spec.width, generator)
    moved = {n: t if n.startswith(methods.FROZEN) else t + 0.1 * _noise(t, generator) for n, t in tensors.items()}
    return trial, moved, backbone


def own(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The method's tensors of a member, without its head's."""
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(head.PREFIX)}


def _noise(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(tensor.shape, generator=generator)


def write_artifact(folder: Path, method: str, task: str | Task, where: BackboneSource, **options: Any) -> Artifact:
    """The artifact of ``trained``; ``options``: of ``fuse.write``."""
    return fuse.write(folder, *trained(method, task, where), **options)
