"""Our side of ``benchmarks/training.py``, without Ray and MLflow: ``trainables.training.train``, pack after pack."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks._training_grid import Cell, Way
from benchmarks._training_timers import Timers
from common import metrics
from trainables import backbones, checkpoint, data, optim, pack_state, training
from trainables.member import Member
from trainables.trial import Pack


def install(timers: Timers) -> None:
    """Put timers around the functions of the loop; only here, not in the product."""
    timers.around(pack_state.PackState, "__init__", "start-up")
    timers.around(data, "load", "data")
    timers.around_batches(data, "train_batches", "data")
    timers.around(pack_state.PackState, "losses", "forward")
    timers.around(optim.Members, "step", "optimiser")
    timers.around(torch.Tensor, "backward", "backward")
    timers.around(training, "_predict", "evaluation", whole=True)
    timers.around(Member, "close_epoch", "reporting")
    timers.around(metrics, "score", "reporting")
    timers.around(pack_state.PackState, "save", "checkpoint", whole=True)
    timers.around(checkpoint.Storage, "write", "checkpoint", whole=True)
    timers.around(checkpoint.Storage, "write_tensors", "checkpoint", whole=True)


def load(cell: Cell, way: Way, device: str) -> None:
    """What every pack of the cell needs, so that it is there when the first begins."""
    trial = cell.trials("ours")[0]
    backbones.load(trial.backbone).to(device)
    labels = data.load(trial.task, trial.backbone, trial.protocol, cell.folder / "cache").dev.labels
    metrics.score(trial.task.metric, labels, labels)  # imports what it needs


def train(
    cell: Cell, way: Way, packs: Sequence[Sequence[int]], device: str, storage: Path, timers: Timers
) -> dict[tuple[float, int], float]:
    """Train these packs of the cell's trials one after the other; scores in percent by learning rate and seed."""
    trials = cell.trials("ours")
    scores = {}
    workspace = training.Workspace(str(storage), str(cell.folder / "cache"), device, threads=torch.get_num_threads())
    for numbers in packs:
        members: dict[str, Any] = {trials[i].id: trials[i] for i in numbers}
        for progress in training.train(Pack(tuple(members.values())), workspace):
            for result in progress.results:
                trial = members[result.trial_id]
                scores[trial.learning_rate, trial.seed] = float("nan") if result.score is None else result.score
    shutil.rmtree(storage, ignore_errors=True)
    return scores
