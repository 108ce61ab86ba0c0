"""Packs of two small members that are killed, closed and resumed, for the tests of checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from trainables import methods, tasks, training
from trainables.checkpoint import Storage
from trainables.trial import BackboneSource, Pack, Protocol, Result, Trial

STEPS = 6  # of an epoch: 48 rows in batches of 8
EPOCHS = 4


def make(
    backbone: BackboneSource,
    method: str = "lora",
    members: int = 2,
    patience: int = EPOCHS,
    sizes: Sequence[int] = (2, 2, 2, 2),
) -> Pack:
    """With dropout. The first member learns nothing: no epoch after the first is better.

    ``sizes``: their ranks, or the lengths of their prefixes.
    """
    config = methods.get(method).Config
    sized = [{"rank": size, "prompt_length": size, "dropout": 0.1} for size in sizes]
    own = [config(**{n: v for n, v in values.items() if n in config.model_fields}).model_dump() for values in sized]
    protocol = Protocol(EPOCHS, patience, max_length=64, dropout=0.1, train_rows=48, dev_rows=48)
    task = tasks.resolve(tasks.get("demo/entailment"))
    rates = (1e-9, 1e-2, 5e-3, 2e-2)[:members]  # at 5e-2 training is chaotic: rounding grows a millionfold
    values = [{"learning_rate": rate, "batch_size": 8, **one} for rate, one in zip(rates, own, strict=False)]
    return Pack(tuple(Trial(backbone, task, method, v, seed, protocol) for seed, v in enumerate(values)))


def workspace(folder: Path, seconds: float) -> training.Workspace:
    return training.Workspace(str(folder / "study"), str(folder / "cache"), "cpu", 1, checkpoint_seconds=seconds)


def finish(pack: Pack, where: training.Workspace) -> dict[str, Result]:
    return {r.trial_id: r for progress in training.train(pack, where) for r in progress.results}


def outcome(results: dict[str, Result]) -> dict[str, tuple[object, ...]]:
    """All that is not a time."""
    return {
        i: (r.status, r.score, r.best_epoch, r.metrics, [(e.epoch, e.score, e.train_loss) for e in r.history])
        for i, r in results.items()
    }


def kept_files(where: training.Workspace) -> dict[str, bytes]:
    """The weights and the answers on dev of the best epochs."""
    folders = (Path(where.storage) / kind for kind in ("weights", "predictions"))
    return {path.name: path.read_bytes() for folder in folders for path in folder.iterdir()}


def checkpoints(where: training.Workspace) -> list[str]:
    return [Path(name).name for name in Storage(where.storage).names("checkpoints")]


class DeathError(Exception):
    """The process ends here."""


class Steps:
    """Counts the steps that are begun; ``death``: the number of the one in whose middle the process dies."""

    def __init__(self) -> None:
        self.begun = 0
        self.death: int | None = None


def die(pack: Pack, where: training.Workspace, steps: Steps, death: int) -> None:
    """Train until the process dies in the middle of that step, counted from now."""
    steps.begun, steps.death = 0, death
    with pytest.raises(DeathError):
        finish(pack, where)
    steps.begun, steps.death = 0, None
