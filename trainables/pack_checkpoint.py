"""The checkpoint of a pack: when one is due, what its files are called, and which one a pack goes on from.

``checkpoints/GROUP.safetensors`` holds the tensors and the optimiser of the members, and where they stand; the best
weights of a member stand beside it, with its answers on the dev split at that epoch:
``checkpoints/GROUP-TRIAL-best-EPOCH.safetensors``, written when they are others than in the checkpoint before. A
checkpoint names the epochs of the best weights that belong to it, and those of the checkpoint before it are deleted
only when it is on disk: whenever a writer is killed, there is one whole checkpoint.
No pack touches the files of another, which may have the same trials: of an edited study, or on another device.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainables import methods
from trainables.checkpoint import CHECKPOINTS, Storage
from trainables.member import Member
from trainables.trial import Pack

log = logging.getLogger(__name__)

#: A kill loses about so much training.
CHECKPOINT_SECONDS = 60.0

#: Where a checkpoint takes long to write, the next one waits for so many times as long: saving is a small part.
SAVING_SHARE = 20

#: What answers on the dev split are called among the best weights; no parameter's name has a slash.
_PREDICTIONS = "dev/predictions"


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds: tensors by ``TRIAL/parameter/NAME`` and ``TRIAL/adam/NAME/QUANTITY``, and plain data.

    By trial id, ``best``: the best weights without what is frozen; ``predictions``: the answers at that epoch, where
    they were kept.
    """

    tensors: dict[str, Tensor]
    state: dict[str, Any]
    best: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    predictions: dict[str, np.ndarray] = field(default_factory=dict)


class PackCheckpoint:
    """The files of a pack's checkpoint. ``seconds``: the least time between two of them."""

    def __init__(self, storage: Storage, pack: Pack, seconds: float) -> None:
        self._storage, self._pack, self._seconds = storage, pack, seconds
        self._written, self._took = time.monotonic(), 0.0
        self._best: dict[str, int] = {}  # by trial id: the epoch of the best weights that are on disk in its own files

    @property
    def due(self) -> bool:
        """Whether the last one was written long enough ago."""
        return time.monotonic() - self._written >= max(self._seconds, SAVING_SHARE * self._took)

    def write(self, members: Sequence[Member], tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Replace the checkpoint. ``members`` are those still in training. OSError where it cannot be written."""
        began = time.monotonic()
        best = {m.trial.id: m.best_epoch for m in members if m.best_epoch is not None}
        for member in members:
            epoch = best.get(member.trial.id)
            if epoch is not None and self._best.get(member.trial.id) != epoch:
                kept = methods.trainable(member.best_weights)  # what is frozen is the same as among the parameters
                if member.best_predictions is not None:
                    kept[_PREDICTIONS] = torch.from_numpy(member.best_predictions)
                self._storage.write_tensors(self._best_name(member.trial.id, epoch), kept, {})
        self._storage.write_tensors(_name(self._pack.group), tensors, {**state, "best": best})
        for trial_id, epoch in self._best.items():
            if best.get(trial_id) != epoch:
                self._storage.delete(self._best_name(trial_id, epoch))
        self._best = best
        self._written = time.monotonic()
        self._took = self._written - began

    def read(self) -> Saved | None:
        """The newest checkpoint that holds every member: the pack's own, or that of a pack of which it is a part.

        A damaged one is set aside.
        """
        wanted = {trial.id for trial in self._pack.trials}
        groups = (self._pack.group, *self._pack.parents)
        for group in groups:
            try:
                saved = self._read(group, wanted)
            except ValueError as error:
                aside = self._storage.set_aside(_name(group))
                how = "afresh" if group == groups[-1] else "from an earlier one"
                log.warning("checkpoint set aside as %s, the pack starts %s: %s", aside, how, error)
                continue
            if saved is not None:
                if group == self._pack.group:  # also of members that ended since: the next checkpoint deletes theirs
                    self._best = dict(saved.state["best"])
                return saved
        return None

    def _read(self, group: str, wanted: Collection[str]) -> Saved | None:
        saved = self._storage.read_tensors(_name(group))
        if saved is None or not set(wanted) <= set(saved[1]["members"]):
            return None
        tensors, state = saved
        best, predictions = {}, {}
        for trial_id, epoch in state["best"].items():
            if trial_id in wanted:
                name = _best_name(group, trial_id, epoch)
                weights = self._storage.read_tensors(name)
                if weights is None:
                    raise ValueError(f"{self._storage.shown(name)} is missing")
                best[trial_id] = weights[0]
                if (kept := best[trial_id].pop(_PREDICTIONS, None)) is not None:
                    predictions[trial_id] = kept.numpy()
        return Saved(tensors, state, best, predictions)

    def discard(self) -> None:
        """Delete it. Of a pack whose members have all ended there are no best weights beside it."""
        self._storage.delete(_name(self._pack.group))

    def _best_name(self, trial_id: str, epoch: int) -> str:
        return _best_name(self._pack.group, trial_id, epoch)


def _name(group: str) -> str:
    return f"{CHECKPOINTS}/{group}.safetensors"


def _best_name(group: str, trial_id: str, epoch: int) -> str:
    return f"{CHECKPOINTS}/{group}-{trial_id}-best-{epoch}.safetensors"
