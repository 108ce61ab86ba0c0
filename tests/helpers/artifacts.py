"""Trials that look trained, and their artifacts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from helpers.families import make_batch

from serving import fuse
from serving.artifact import Artifact
from trainables import backbones, head, methods, tasks
from trainables.backbones import Backbone
from trainables.batch import Batch
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


def logits(
    trial: Trial, tensors: Mapping[str, torch.Tensor], backbone: Backbone, texts: tuple[str, ...]
) -> torch.Tensor:
    """What the trial gives for one text of one or two segments, ``(1, outputs)``, unfused as in training."""
    batch = batch_of(trial.backbone, backbone, texts)
    kind = methods.get(trial.method)
    method = kind(kind.Config(**trial.method_config), backbone.spec)
    stacked = {name: tensor.unsqueeze(0) for name, tensor in own(tensors).items()}
    with torch.no_grad():
        return of_head(backbone(batch, method.seams(stacked, backbone, batch), first_only=True), tensors)


def batch_of(where: BackboneSource, backbone: Backbone, texts: tuple[str, ...]) -> Batch:
    """A batch of one text of one or two segments."""
    tokenizer = backbones.tokenizer(where)
    encoded = tokenizer(*texts, return_tensors="pt")
    ids, mask = encoded["input_ids"], encoded["attention_mask"]
    return make_batch(ids, mask, encoded.get("token_type_ids", torch.zeros_like(ids)), 1)


def of_head(first: torch.Tensor, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The head's outputs ``(b, outputs)`` of the last states ``(b, 1, d)`` of each text's first token."""
    return first.squeeze(1) @ tensors[head.WEIGHT].T + tensors[head.BIAS]
