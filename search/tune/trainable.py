"""What runs in a Ray worker: a pack, an epoch at a time, and what went wrong with it as a value.

The worker stays when a pack ends and takes the next one, so that the caches of ``trainables`` keep the backbone and the
data loaded.
"""

from __future__ import annotations

import gc
import importlib
import logging
import sys
import time
import traceback
from collections.abc import Collection, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ray import tune

from trainables.change import Change
from trainables.pack_sizes import Device, PackSizes
from trainables.trial import Epoch, Pack, Result

log = logging.getLogger(__name__)

#: Epochs of a tiny pack are sent together, so that the driver is not asked more often than this.
SECONDS_PER_REPORT = 0.2


@dataclass
class PackJob:
    """Packs of one shape that a worker trains, and how.

    ``train`` names a module like ``trainables.training``, imported by the worker alone: with ``Workspace``,
    ``train(pack, workspace)``, a generator that takes a ``Change``, ``discard(pack, workspace)`` and
    ``members(pack, workspace, part)``, which says how many to train together.
    ``predictions``: whether answers on dev are kept. ``part``: of a GPU, that a pack takes, or CPU threads;
    ``measured``: whether it is trained in parts of as many members as pay on its device. ``packs``: one at first, more
    where others are trained along with it; none any more when all have ended, as Tune keeps every job to the end of the
    run.
    """

    packs: tuple[Pack, ...]
    train: str
    storage: str
    cache_dir: str
    threads: int
    predictions: bool = True
    part: float = 1.0
    measured: bool = False

    def __deepcopy__(self, memo: dict[int, Any]) -> PackJob:
        return self  # Tune copies its configurations several times

    def __repr__(self) -> str:
        return f"PackJob({', '.join(pack.group for pack in self.packs)})"


#: ``lasting``: the same trial fails again wherever and whenever it is trained, until somebody changes something.
#: ``passing``: a device, a disk or a network failed. ``death``: the worker died, of which nobody can tell.
FailureKind = Literal["memory", "lasting", "passing", "death"]


@dataclass(frozen=True)
class Failure:
    """Why a pack could not be trained on."""

    kind: FailureKind
    reason: str


@dataclass
class PackReport:
    """What a worker tells the driver: epochs of the members, in order, results of those that ended, words to say.

    ``earlier``: epochs of before the pack went on from its checkpoint, perhaps in another run; ``resumed``: where that
    was, as the last whole epoch and the steps of the next one. ``most``: nothing was trained, as the pack has more
    members than are to be trained together on this device.
    """

    epochs: list[tuple[str, Epoch]] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    failure: Failure | None = None
    notes: list[str] = field(default_factory=list)
    earlier: list[tuple[str, Epoch]] = field(default_factory=list)
    resumed: tuple[int, int] = (0, 0)
    most: int | None = None

    @property
    def reached(self) -> list[tuple[str, Epoch]]:
        """All epochs that it tells of, in order."""
        return self.earlier + self.epochs


class _Notes(logging.Handler):
    """Warnings of the training, kept for the driver: nobody reads the log of a worker."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record.getMessage())

    def take(self) -> list[str]:
        lines, self._lines = self._lines, []
        return lines


class PackTrainable(tune.Trainable):
    """Tune's view of a pack. Errors of the training come back as a ``Failure``; only a dying worker fails the trial."""

    def setup(self, config: dict[str, Any]) -> None:
        self._job: PackJob = config["job"]
        self._packs = list(self._job.packs)
        self._along = self._packs[1:]  # to be sent in
        self._steps: Generator[Any, Any, None] | None = None
        self._ended = self._acknowledged = False
        self._cut: set[str] = set()
        self._notes = _Notes()
        logger = logging.getLogger("trainables")
        logger.handlers = [h for h in logger.handlers if not isinstance(h, _Notes)] + [self._notes]
        self.config = {}  # Tune sends it back with every result

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.cleanup()
        self.setup(new_config)
        return True

    def cut_short(self, trial_ids: Collection[str]) -> None:
        """These members leave their pack before the next epoch."""
        self._cut.update(trial_ids)

    def take(self, packs: Sequence[Pack]) -> None:
        """Train these in place of what it was given, of which nothing is trained yet."""
        self._packs, self._along = list(packs), list(packs[1:])

    def join(self, pack: Pack) -> None:
        """Train this one along with the others, from the next epoch on."""
        self._packs.append(pack)
        self._along.append(pack)

    def acknowledge(self) -> None:
        """The driver has written down everything that was reported, to the end."""
        self._acknowledged = True

    def step(self) -> dict[str, Any]:
        report = PackReport()
        try:
            done = self._advance(report)
        except Exception as error:  # the border between somebody's training and the search
            report.failure, done = _failure(error), True
            self._steps = None
        if report.failure is not None:
            self._remember(report.failure)
            _free_memory()
        self._ended = done and report.failure is None and report.most is None
        report.notes += self._notes.take()
        return {"report": report, "done": done}

    def _advance(self, report: PackReport) -> bool:
        """An epoch, and more while they are short, or word of those before; says whether all packs have ended."""
        if not self._packs:
            return True  # others took what this worker was to train
        if self._steps is None and self._is_too_large(report):
            return True
        until = time.monotonic() + SECONDS_PER_REPORT
        while (progress := self._next()) is not None:
            report.earlier.extend(progress.earlier)
            report.epochs.extend(progress.epochs.items())
            report.results.extend(progress.results)
            report.resumed = max(report.resumed, progress.resumed)
            if progress.done and not self._along:
                return True
            if time.monotonic() >= until or not progress.epochs:  # how far it got is told before the next epoch
                return False
        return True

    def _next(self) -> Any:
        """The next item of the training, which is told what the driver has said since the last; None at its end."""
        if self._steps is None:
            module = importlib.import_module(self._job.train)
            self._steps = module.train(self._packs[0], _workspace(module, self._job))
            return next(self._steps, None)
        change = Change(self._cut, self._along)
        self._cut, self._along = set(), []
        try:
            return self._steps.send(change)
        except StopIteration:
            return None

    def _is_too_large(self, report: PackReport) -> bool:
        """Whether the pack has more members than pay here, or than fit; the report says how many would."""
        job, pack = self._job, self._packs[0]
        if len(pack.planned) == 1:
            return False
        if job.measured:
            module = importlib.import_module(job.train)
            most, said = module.members(pack, _workspace(module, job), job.part)
            report.notes += [said] if said else []
        else:
            fitting = PackSizes(Path(job.cache_dir)).fitting(pack.trials[0], _device(job))
            most = fitting or len(pack.planned)
        if len(pack.planned) > most:
            report.most = most
        return report.most is not None

    def _remember(self, failure: Failure) -> None:
        """What did not fit into this device's memory, for later runs of any study; of packs in company nobody knows
        which."""
        pack = self._packs[0]
        if failure.kind == "memory" and len(self._packs) == 1 and len(pack.trials) > 1:
            with suppress(OSError):  # the driver remembers it for this study
                sizes = PackSizes(Path(self._job.cache_dir))
                sizes.ran_out(pack.trials[0], _device(self._job), len(pack.trials))

    def cleanup(self) -> None:
        """A pack that is stopped leaves a checkpoint; that of one that has ended can go, if the driver has everything
        that was reported."""
        steps, self._steps = self._steps, None
        if steps is not None:
            try:
                steps.close()
            except OSError as error:
                log.warning("a pack that was stopped goes on from an earlier checkpoint: %s", error)
        if self._ended and self._acknowledged:
            self._ended = False
            module = importlib.import_module(self._job.train)
            for pack in self._packs:
                try:
                    module.discard(pack, _workspace(module, self._job))
                except OSError as error:
                    log.warning("the checkpoint of an ended pack stays: %s", error)


def _workspace(module: Any, job: PackJob) -> Any:
    return module.Workspace(job.storage, job.cache_dir, threads=job.threads, predictions=job.predictions)


def _device(job: PackJob) -> Device:
    """What this worker trains on; where torch was not imported, no GPU."""
    torch = sys.modules.get("torch")
    gpu = torch is not None and torch.cuda.is_available()
    return Device(torch.cuda.get_device_name() if torch is not None and gpu else "cpu", job.part)


def _failure(error: Exception) -> Failure:
    text = traceback.format_exception_only(error)[-1].strip()
    return Failure("memory" if _is_memory(error) else "passing" if _is_passing(error) else "lasting", text)


def _is_memory(error: Exception) -> bool:
    """Whether the device or the machine had no memory left; told by name, as torch need not be there."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text)


def _is_passing(error: Exception) -> bool:
    """Whether a disk, a network or the device is at fault; a file that is not there stays so."""
    if isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError):
        return False
    return isinstance(error, OSError) or (isinstance(error, RuntimeError) and "cuda error" in str(error).lower())


def _free_memory() -> None:
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
