"""A pack in training: its backbone, its data, and the members that are still in it."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from common import metrics, predictions
from common.seeds import seed_of
from trainables import backbones, data, head, methods
from trainables.batch import Batch
from trainables.checkpoint import Storage
from trainables.data.examples import Examples
from trainables.member import Member
from trainables.methods import Method
from trainables.optim import Members
from trainables.pack_checkpoint import CHECKPOINT_SECONDS, PackCheckpoint, Saved
from trainables.padding import PerMember, own_sizes
from trainables.trial import Epoch, Pack, Result, Trial, canonical


@dataclass
class _Part:
    """A pack whose members are trained here, perhaps beside those of others: its checkpoint, and who has ended.

    ``ended``: members as they are dumped, by trial id.
    """

    pack: Pack
    checkpoint: PackCheckpoint
    ended: dict[str, dict]

    def has(self, member: Member) -> bool:
        return member.trial.id in self._ids

    @cached_property
    def _ids(self) -> frozenset[str]:
        return frozenset(trial.id for trial in self.pack.trials)


@dataclass(frozen=True)
class Workspace:
    """Where a pack is trained.

    ``storage`` (folder or URI) takes checkpoints and weights, ``cache_dir`` tokenised data. ``device`` "auto" is the
    GPU where there is one; ``threads`` is the number of CPU threads, None for torch's own choice.
    ``checkpoint_seconds``: the least time between two checkpoints. ``predictions``: whether the storage also takes each
    member's answers on the dev split at its best epoch.
    """

    storage: str
    cache_dir: str
    device: str = "auto"
    threads: int | None = None
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    predictions: bool = True

    def torch_device(self) -> torch.device:
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)


class PackState:
    """A pack in training: backbone, data, and the members that are still in it, perhaps of several packs (``absorb``).

    ``epoch`` counts the epochs that were begun and ``step`` the steps of the latest, 0 where it has been closed;
    ``totals`` ``(k,)`` are the sums of the steps' losses. ``spent``: seconds that belong to the epoch and were before
    ``began``.
    """

    def __init__(self, pack: Pack, workspace: Workspace) -> None:
        first = pack.trials[0]
        self.task, self.protocol = first.task, first.protocol
        self.storage, self._keeps_predictions = Storage(workspace.storage), workspace.predictions
        self.device = workspace.torch_device()
        self.dtype = getattr(torch, self.protocol.precision)
        self.backbone = backbones.load(first.backbone, self.dtype).to(self.device)
        self.head_dropout = head.DROPOUT if self.protocol.dropout is None else self.protocol.dropout
        self.data = data.load(self.task, first.backbone, self.protocol, Path(workspace.cache_dir))
        self._widest, self._padded = pack.widest, pack.padded
        self.method = self._method(pack.widest)
        self.sizes: dict[str, PerMember] = {}
        self._head_parameters = head.count(self.task.outputs, self.backbone.spec.width)
        self.majority = _majority(self.task.metric, self.data.dev)
        self.shift, self.scale = 0.0, 1.0
        if self.task.kind == "regression":
            self.shift, self.scale = _mean_and_std(self.data.train.labels)
        self.epoch = self.step = 0
        self.spent = 0.0
        self.unsaved = False
        self.active: list[Member] = [Member(trial) for trial in pack.trials]
        self.ended_before: tuple[Result, ...] = ()
        self.earlier: tuple[tuple[str, Epoch], ...] = ()
        self.totals = torch.zeros(len(pack.trials), device=self.device)
        checkpoint = PackCheckpoint(self.storage, pack, workspace.checkpoint_seconds)
        self._parts = [_Part(pack, checkpoint, {})]
        saved = checkpoint.read()
        tensors = self._resume(saved) if saved else [self._initial(trial) for trial in pack.trials]
        if self.active:
            self.members = Members(tensors, [m.trial.learning_rate for m in self.active], self.device)
        if saved:
            for i, member in enumerate(self.active):
                self.members.load_state(i, _under(saved.tensors, f"{member.trial.id}/"))
        self.began = time.perf_counter() - self.spent

    def _method(self, trial: Trial) -> Method:
        kind = methods.get(trial.method)
        return kind(kind.Config(**trial.method_config), self.backbone.spec)

    def _initial(self, trial: Trial) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(_seed(trial.seed, "initialisation"))
        fresh_head = head.initial(self.task.outputs, self.backbone.spec.width, generator)
        return {**self._method(trial).initial(backbones.load(trial.backbone), generator), **fresh_head}

    def _resume(self, saved: Saved) -> list[dict[str, Tensor]]:
        tensors, state = saved.tensors, saved.state
        self.epoch, self.step, self.spent = state["epoch"], state["step"], state["seconds"]
        self._parts[0].ended = {trial_id: m for trial_id, m in state["members"].items() if m["status"]}
        for member in self.active:
            best = dict(saved.best.get(member.trial.id, {}))
            frozen = _under(tensors, f"{member.trial.id}/parameter/{methods.FROZEN}") if best else {}
            best |= {f"{methods.FROZEN}{name}": tensor for name, tensor in frozen.items()}
            member.load(state["members"][member.trial.id], best, saved.predictions.get(member.trial.id))
        self.earlier = tuple((m.trial.id, epoch) for m in self.active for epoch in m.history)
        self.ended_before = tuple(self._result(m) for m in self.active if m.status)
        self.active = [m for m in self.active if not m.status]
        self.totals = torch.tensor([state["losses"].get(m.trial.id, 0.0) for m in self.active], device=self.device)
        return [_under(tensors, f"{m.trial.id}/parameter/") for m in self.active]

    @property
    def closed(self) -> int:
        """The last epoch of which all steps and the evaluation are done."""
        return self.epoch - (self.step > 0)

    @property
    def due(self) -> bool:
        """Whether it is time for a checkpoint."""
        return any(part.checkpoint.due for part in self._parts)

    def absorb(self, other: PackState) -> None:
        """Take over the members of a pack of the same shape that stands at the end of the same epoch.

        Each pack keeps its own checkpoint, so that each can go on without the other.
        """
        self.active += other.active
        self.members.join(other.members)
        self._parts += other._parts
        self.unsaved |= other.unsaved
        self.spent += other.spent

    def begin_epoch(self) -> None:
        """The next epoch, or what is left of one in whose middle the checkpoint was written."""
        self.began = time.perf_counter() - self.spent
        self.backbone.set_dropout(self.protocol.dropout)  # each time: other packs of the process share the backbone
        self.sizes = self._own_sizes()
        if not self.step:
            self.epoch += 1
            self.totals = torch.zeros(len(self.active), device=self.device)

    def _own_sizes(self) -> dict[str, PerMember]:
        """Of the members, by the names of the sizes in which one of them is below the widest."""
        widest, own = self._widest.hyperparameters, [m.trial.hyperparameters for m in self.active]
        names = [name for name in self._padded if any(values[name] != widest[name] for values in own)]
        return own_sizes(names, own, self.device)

    def close_epoch(self) -> tuple[Result, ...]:
        """Results of the members that ended with the epoch."""
        self.step, self.unsaved = 0, True
        return self.release_ended()

    def save(self) -> None:
        """Write all that the next step needs; ended members leave only their history."""
        for part in self._parts:
            self._save(part)
        self.unsaved = False

    def _save(self, part: _Part) -> None:
        own = [(i, m) for i, m in enumerate(self.active) if part.has(m)]
        tensors: dict[str, Tensor] = {}
        for i, member in own:
            tensors |= {f"{member.trial.id}/{name}": tensor for name, tensor in self.members.state(i).items()}
        seconds = (time.perf_counter() - self.began) * len(own) / max(1, len(self.active))
        state = {
            "epoch": self.epoch,
            "step": self.step,
            "seconds": seconds if self.step else 0.0,
            "losses": {m.trial.id: float(self.totals[i]) for i, m in own} if self.step else {},
            "members": part.ended | {m.trial.id: m.dump() for _, m in own},
        }
        part.checkpoint.write([m for _, m in own], tensors, state)

    def release_ended(self) -> tuple[Result, ...]:
        """Let the members that ended leave the pack, what is kept of their best epochs written to the storage.

        Of a pack whose last member has ended, a checkpoint is written: it is small, and nothing is trained again.
        """
        ended = [m for m in self.active if m.status]
        results = tuple(self._result(m) for m in ended)
        for member in ended:
            self._part_of(member).ended[member.trial.id] = member.dump()
            self._write_predictions(member)
            if member.best_weights:
                self.storage.write_tensors(member.weights_name, member.best_weights, member.describe())
        if ended:
            staying = [i for i, m in enumerate(self.active) if not m.status]
            self.active = [self.active[i] for i in staying]
            if staying:
                self.members.keep(staying)
                self.totals = self.totals[staying]
            for part in [part for part in self._parts if not any(map(part.has, self.active))]:
                self._save(part)
                self._parts.remove(part)
        return results

    def _part_of(self, member: Member) -> _Part:
        return next(part for part in self._parts if part.has(member))

    def _write_predictions(self, member: Member) -> None:
        """The file of an ended member's answers; where there are none to keep, none of an earlier training stays."""
        if member.best_predictions is None or not self._keeps_predictions:
            self.storage.delete(member.predictions_name)
            return
        content = predictions.to_bytes(self.task.metric, member.best_predictions, self.data.dev.labels)
        self.storage.write(member.predictions_name, content)

    def cut_short(self, trial_ids: Collection[str]) -> tuple[Result, ...]:
        """Let members leave the pack before their end; nothing of their best epochs is kept."""
        cut = [m for m in self.active if m.trial.id in trial_ids]
        for member in cut:
            member.cut_short()
        if not cut:
            return ()
        self.unsaved = True
        return self.release_ended()

    def _result(self, member: Member) -> Result:
        result = member.result(self._method(member.trial).count() + self._head_parameters)
        members, device = len(self._part_of(member).pack.planned), device_name(self.device)
        return replace(result, text=self.data.text, majority=self.majority, pack_size=members, device=device)

    def weights(self, i: int) -> dict[str, Tensor]:
        """Tensors of member ``i`` as they are kept: the head of a regression speaks in the label's own units."""
        tensors = self.members.tensors(i)
        tensors[head.WEIGHT] *= self.scale
        tensors[head.BIAS] = tensors[head.BIAS] * self.scale + self.shift
        return tensors

    def kept_predictions(self, row: np.ndarray) -> np.ndarray | None:
        """A member's answers ``(examples,)`` as they are kept; None where they are not."""
        return predictions.compact(self.task.metric, row) if self._keeps_predictions else None

    def outputs(self, batch: Batch) -> Tensor:
        """Scores of classes ``(k, b, classes)`` or of choices ``(k, b / choices, choices)``, or values ``(k, b)``."""
        own = {n: t.to(self.dtype) for n, t in self.members.stacked.items() if not n.startswith(head.PREFIX)}
        batch = replace(batch, sizes=self.sizes)
        first = self.backbone(batch, self.method.seams(own, self.backbone, batch), first_only=True)
        logits = head.logits(
            first,
            batch,
            self.members.stacked[head.WEIGHT],
            self.members.stacked[head.BIAS],
            self.head_dropout,
        )
        if batch.choices > 1:
            return logits.squeeze(-1).unflatten(1, (-1, batch.choices))
        return logits if self.task.kind != "regression" else logits.squeeze(-1) * self.scale + self.shift

    def losses(self, batch: Batch) -> Tensor:
        """Mean loss of each member ``(k,)``: cross-entropy, or squared error in the labels' standard deviations."""
        outputs = self.outputs(batch)
        if self.task.kind == "regression":
            return ((outputs - batch.labels) / self.scale).square().mean(1)
        k, b, _ = outputs.shape
        return F.cross_entropy(outputs.flatten(0, 1), batch.labels.flatten(), reduction="none").view(k, b).mean(1)


@lru_cache(maxsize=4)
def _majority(metric: str, dev: Examples) -> float:
    """``metrics.majority`` of a dev split, once for the packs of a process that share it."""
    return metrics.majority(metric, dev.labels)


def device_name(device: torch.device) -> str:
    """``cpu``, or what the GPU calls itself."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _seed(*parts: int | str) -> int:
    """A seed of 63 bits for one consumer, from the master seed and the consumer's name."""
    return seed_of(canonical(list(parts))) >> 1


def _mean_and_std(labels: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the train labels; a regression is trained on standardised values."""
    std = float(np.std(labels))
    return float(np.mean(labels)), std if std > 0 and math.isfinite(std) else 1.0


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
