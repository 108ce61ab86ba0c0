"""The units of work: a trial (an assignment and a seed) and a pack of trials that train together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

from trainables import head
from trainables.tasks import Task

#: Raised whenever a change to the code changes the result of a trial; old results are then not taken for new ones.
RESULT_VERSION = 3

Status = Literal["finished", "diverged", "failed", "pruned"]
Precision = Literal["float32", "bfloat16"]


#: Made once: ``json.dumps`` makes another one for every value.
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def canonical(value: Any) -> str:
    """``value`` as canonical JSON: sorted keys, no spaces."""
    return str(value) if type(value) is int else _CANONICAL.encode(value)


def digest(value: Any) -> str:
    """16 hexadecimal digits of the SHA-256 of ``value``'s canonical JSON."""
    return _hash(canonical(value))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _number(value: Any) -> Any:
    """One way to write each number: 16.0 is 16 and -0.0 is 0. Everything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


@dataclass(frozen=True)
class BackboneSource:
    """Where a pretrained encoder comes from: a hub id, a folder, or ``package:NAME/FOLDER``.

    ``name`` is for people (tables, MLflow); ``identity`` says which weights and which tokenizer these are, whatever
    they are called: the hub's commit, or a hash of what the folder's files hold. ``dropout``: of hidden states and of
    attention, as the config has them; ``None``: not known without a network.
    """

    name: str
    source: str
    revision: str | None = None
    identity: str = ""
    dropout: tuple[float, float] | None = None

    @property
    def pinned(self) -> bool:
        """Whether the identity stands for these weights for ever, and not for a branch of the hub that may move on."""
        return self.identity.startswith(("sha256:", "commit:"))


@dataclass(frozen=True)
class Protocol:
    """How every trial of a cell is trained. Lengths in tokens; ``None`` means no limit, or the backbone's own value."""

    epochs: int
    patience: int
    max_length: int = 128
    precision: Precision = "float32"
    dropout: float | None = None
    train_rows: int | None = None
    dev_rows: int | None = None

    def row_limits(self, task: Task) -> tuple[int | None, int | None]:
        """The most rows of train and dev; ``None`` where a task's split, if it was counted, has no more anyway."""
        limits, rows = (self.train_rows, self.dev_rows), task.source.rows
        if rows is None:
            return limits
        train, dev = (None if n is not None and n >= most else n for n, most in zip(limits, rows, strict=True))
        return train, dev


class CellKey(NamedTuple):
    """The names of a cell: what is compared on what."""

    backbone: str
    task: str
    method: str

    def __str__(self) -> str:
        return " · ".join(self)


@dataclass(frozen=True)
class Trial:
    """An assignment of hyperparameters in a cell, and a seed.

    ``hyperparameters`` holds ``learning_rate``, ``batch_size`` and every field of the method's config, defaults
    included, so that a default and the same value written out are the same trial.
    """

    backbone: BackboneSource
    task: Task
    method: str
    hyperparameters: Mapping[str, Any]
    seed: int
    protocol: Protocol

    def on(self, seeds: Collection[int]) -> list[Trial]:
        """The same assignment on these seeds. What it says of itself is written down once for all of them."""
        shared = {field.name: getattr(self, field.name) for field in fields(self)}
        shared |= {"_text": self._text, "assignment_id": self.assignment_id}
        trials = [object.__new__(Trial) for _ in seeds]  # a tenth of the time of ``replace``, for 50,000 of them
        for trial, seed in zip(trials, seeds, strict=True):
            vars(trial).update(shared, seed=seed)
        return trials

    @cached_property
    def assignment_id(self) -> str:
        """The trial without its seed."""
        return _hash(",".join(self._text))

    @cached_property
    def id(self) -> str:
        """Hash of the canonical JSON of everything that determines the trial's result, and of nothing else.

        Two ways to write one number, limits that limit nothing and the backbone's own dropout written out are the
        same; so are the same rows and the same weights from wherever they come. The backbone's name does not count;
        the task's does, since subsets of rows and the schedule of the batches are drawn by it.
        """
        before, after = self._text
        return _hash(f'{before},"seed":{canonical(self.seed)},{after}')

    @property
    def cell(self) -> CellKey:
        """The cell that the trial belongs to."""
        return CellKey(self.backbone.name, self.task.name, self.method)

    @property
    def learning_rate(self) -> float:
        return float(self.hyperparameters["learning_rate"])

    @property
    def batch_size(self) -> int:
        return int(self.hyperparameters["batch_size"])

    @property
    def method_config(self) -> dict[str, Any]:
        """The hyperparameters that belong to the method itself."""
        return {k: v for k, v in self.hyperparameters.items() if k not in ("learning_rate", "batch_size")}

    def shape_identity(self) -> dict[str, Any]:
        """What it has in common with trials that can be members of the same pack."""
        identity = self._identity()
        others = {name: value for name, value in self.hyperparameters.items() if name != "learning_rate"}
        return {**identity, "hyperparameters": others}

    @cached_property
    def _text(self) -> tuple[str, str]:
        """The canonical JSON of the assignment, cut where a trial's has the seed."""
        identity = self._identity()
        before, after = ({k: v for k, v in identity.items() if (k < "seed") is side} for side in (True, False))
        return canonical(before)[:-1], canonical(after)[1:]

    def _identity(self) -> dict[str, Any]:
        return {
            "version": RESULT_VERSION,
            "backbone": self.backbone.identity or [self.backbone.source, self.backbone.revision],
            "task": self.task.identity(),
            "method": self.method,
            "hyperparameters": {name: _number(value) for name, value in self.hyperparameters.items()},
            "protocol": self._protocol(),
        }

    def _protocol(self) -> dict[str, Any]:
        protocol = self.protocol
        train_rows, dev_rows = protocol.row_limits(self.task)
        dropout = (protocol.dropout,) * 3  # of hidden states, attention and head
        if protocol.dropout is None and self.backbone.dropout is not None:
            dropout = (*self.backbone.dropout, head.DROPOUT)
        return {
            "epochs": protocol.epochs,
            "patience": min(protocol.patience, protocol.epochs),
            "max_length": protocol.max_length,
            "precision": protocol.precision,
            "dropout": [_number(p) for p in dropout],
            "train_rows": train_rows,
            "dev_rows": dev_rows,
        }


@dataclass(frozen=True)
class Pack:
    """Trials of one cell with the same tensor shapes, or such as a method pads, trained together; each is a member.

    ``group`` names the pack as it was first planned, of the members ``planned`` (ids). What is left of a pack after an
    interruption keeps both, and finds its checkpoint by the name. ``parents``: the groups that it was split off from,
    the nearest first, whose checkpoints it can go on from until it has one of its own.
    """

    trials: tuple[Trial, ...]
    group: str = ""
    planned: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.planned:
            object.__setattr__(self, "planned", tuple(t.id for t in self.trials))
        if not self.group:
            object.__setattr__(self, "group", digest(self.planned))
        if len(self.trials) == 1:
            return
        shapes = {self._shape(t) for t in self.trials}
        if len(shapes) != 1:
            may = ", ".join(["learning rate", *self.padded])
            raise ValueError(f"the members of a pack must differ only in {may} and seed, but got {shapes}")

    @property
    def padded(self) -> tuple[str, ...]:
        """The hyperparameters in which members may differ since the method pads their tensors."""
        from trainables import methods  # they come with the backbones, which know the sources of this file

        return methods.padded(methods.get(self.trials[0].method))

    @cached_property
    def widest(self) -> Trial:
        """The first member with the largest of each size that is padded: its tensors are as large as the pack's."""
        first = self.trials[0]
        if len(self.trials) == 1:
            return first
        largest = {name: max(trial.hyperparameters[name] for trial in self.trials) for name in self.padded}
        return replace(first, hyperparameters={**first.hyperparameters, **largest})

    @cached_property
    def shape_id(self) -> str:
        """The same for all packs of a cell with the same tensors, however many members there are."""
        return digest(self.widest.shape_identity())

    def _shape(self, trial: Trial) -> tuple[Any, ...]:
        free = ("learning_rate", *self.padded)
        others = tuple(sorted((k, v) for k, v in trial.hyperparameters.items() if k not in free))
        return trial.backbone, trial.task, trial.method, trial.protocol, others

    def without(self, finished: Collection[str]) -> Pack | None:
        """The same pack less the trials of these ids; None when nothing is left."""
        left = tuple(t for t in self.trials if t.id not in finished)
        return replace(self, trials=left) if left else None

    def split(self) -> tuple[Pack, ...]:
        """Two packs of the planned members, for a device on which this one does not fit or pay; each has a member.

        The first has half of them or more, a power of two, so that parts of such a size are full. Who goes where and
        what the halves are called depends on the plan alone, not on who has ended by now: a later run that splits the
        pack again finds the checkpoints of its halves.
        """
        if len(self.planned) == 1:
            raise ValueError("a pack of one cannot be split")
        half = 1 << (len(self.planned) - 1).bit_length() - 1
        parts = []
        for number, planned in enumerate((self.planned[:half], self.planned[half:])):
            if trials := tuple(t for t in self.trials if t.id in planned):
                parts.append(Pack(trials, f"{self.group}-{number}", planned, (self.group, *self.parents)))
        return tuple(parts)


@dataclass(frozen=True)
class Epoch:
    """What one member reached in one epoch (counted from 1). ``score`` and ``train_loss`` may be NaN: diverged."""

    epoch: int
    score: float
    train_loss: float
    seconds: float  # the pack's seconds divided by its members


@dataclass(frozen=True)
class Result:
    """The outcome of one trial; ``score`` in percent at ``best_epoch``, ``None`` where none was reached.

    ``pack_size``: members of the pack that it was trained in, as it was planned. ``device``: ``cpu``, or the name of
    the GPU; empty where it ended before anybody could tell.
    """

    trial_id: str
    status: Status
    score: float | None
    best_epoch: int | None
    history: tuple[Epoch, ...]
    trainable_parameters: int | None  # None where training failed before they were counted
    reason: str = ""
    weights: str | None = None  # name of the best epoch's weights in the study's storage
    metrics: Mapping[str, float] = field(default_factory=dict)  # the parts of the score at the best epoch
    #: Shares, 0 to 1, of the sequences that were cut and of the tokens that are unknown: ``train_cut``, ``dev_cut``,
    #: ``train_unknown``, ``dev_unknown``. Empty where training ended before the data was there.
    text: Mapping[str, float] = field(default_factory=dict)
    pack_size: int | None = None
    device: str = ""
    majority: float | None = None  # what the best constant answer scores on the dev split, in percent

    @property
    def epochs(self) -> int:
        return len(self.history)

    @property
    def seconds(self) -> float:
        return sum(e.seconds for e in self.history)
