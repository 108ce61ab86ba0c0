"""The real loop on a device that is short of memory: a pack of more than two runs out of it after its second epoch.

``<storage>/begun`` gets a line with the number of members of each pack that is begun, ``<storage>/trained`` one for
each epoch of a member. Every step leaves a checkpoint.
"""

from __future__ import annotations

from pathlib import Path

import torch
from helpers import every_step

from trainables import training
from trainables.trial import Pack

MEMBERS = 2

Workspace = every_step.Workspace
discard = training.discard
members = training.members


def train(pack: Pack, workspace: training.Workspace) -> training.Training:
    """See ``trainables.training.train``; the error comes from within, as a device's does."""
    note(workspace, "begun", str(len(pack.trials)))
    steps, change = every_step.train(pack, workspace), None
    while True:
        try:
            progress = steps.send(change)
        except StopIteration:
            return
        for trial_id, epoch in progress.epochs.items():
            note(workspace, "trained", f"{trial_id} {epoch.epoch}")
        change = yield progress
        for along in change.along if change else ():
            note(workspace, "begun", str(len(along.trials)))
        if len(pack.trials) > MEMBERS and progress.epoch == 2:
            steps.throw(torch.OutOfMemoryError("CUDA out of memory"))


def note(workspace: training.Workspace, file: str, line: str) -> None:
    with open(Path(workspace.storage) / file, "a") as notes:
        notes.write(f"{line}\n")


def noted(storage: Path, file: str) -> list[str]:
    """The lines of one of the files."""
    return (storage / file).read_text().splitlines()
