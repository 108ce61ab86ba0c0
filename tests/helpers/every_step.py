"""The real loop with a checkpoint after every step, so that a test need not wait a minute for one."""

from __future__ import annotations

from functools import partial

from trainables import pack_checkpoint, training
from trainables.trial import Pack

Workspace = partial(training.Workspace, checkpoint_seconds=0)
discard = training.discard
members = training.members


def train(pack: Pack, workspace: training.Workspace) -> training.Training:
    """See ``trainables.training.train``."""
    pack_checkpoint.SAVING_SHARE = 0  # of this worker
    return training.train(pack, workspace)
