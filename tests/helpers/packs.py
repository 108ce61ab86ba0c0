"""Packs that need no data, and what their members reach."""

from __future__ import annotations

from dataclasses import replace

from trainables import tasks
from trainables.trial import BackboneSource, Epoch, Pack, Protocol, Trial


def pack(members: int = 1, epochs: int = 100, patience: int = 2) -> Pack:
    source = BackboneSource("tiny", "tiny")
    protocol = Protocol(epochs=epochs, patience=patience)
    first = Trial(source, tasks.get("glue/rte"), "bitfit", {"learning_rate": 0.1, "batch_size": 8}, 0, protocol)
    return Pack(tuple(replace(first, seed=seed) for seed in range(members)))


def at(trial: Trial, epoch: int, score: float, loss: float = 0.5) -> tuple[str, Epoch]:
    return trial.id, Epoch(epoch, score, loss, 1.0)
