"""What a study will take before it is launched: device-hours, wall time and cost. Pure arithmetic on measured times.

    epoch_times = from_trials(plan, records)               # of the study's own trials that have ended
    epoch_times |= from_analogy(plan, epoch_times, tokens)   # cells without one, by others that resemble them
    found = estimate(study, plan, epoch_times, devices=8, price=2.5)

An epoch time says how long an epoch of one trial takes; ``calibration.py`` measures those that no trial has shown.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from statistics import mean
from typing import Any, Literal

from search.planning.plan import CellPlan, Plan
from search.strategy.work import longest_first
from search.study import Resources, Study
from search.tracking.records import TrialRecord
from trainables import devices as machine
from trainables.trial import CellKey

#: Seconds that a run takes beside its training, roughly, with a small encoder on two CPU cores: Ray and MLflow start
#: and end once, each worker imports torch and loads a backbone, and each pack is handed out, set up and cleared away.
RUN_SECONDS, WORKER_SECONDS, PACK_SECONDS = 9.0, 9.0, 0.2

Source = Literal["trials", "analogy", "calibration"]


@dataclass(frozen=True)
class EpochTime:
    """Seconds of one epoch of one trial (of a pack: its seconds divided by its members), and the epochs that a trial
    trains on average, ``None`` where only their limit is known."""

    seconds: float
    epochs: float | None
    source: Source


@dataclass(frozen=True)
class CellEstimate:
    """The pending trials of a cell: ``about`` and ``at_most`` so many seconds of one place.

    Both are None where no epoch time is known.
    """

    key: CellKey
    pending: int
    epoch_time: EpochTime | None
    about: float | None
    at_most: float | None


@dataclass(frozen=True)
class Total:
    """A whole run. Device-hours are those in which a device is at work; ``cost`` is their price."""

    device_hours: float
    wall_seconds: float
    cost: float | None


@dataclass(frozen=True)
class Estimate:
    """Of the cells with an epoch time; ``unknown`` counts the others that have work left.

    ``about`` is ``None`` where only a limit can be given: no trial has shown when such trials stop, or the search
    decides as it goes which trials there are.
    """

    cells: tuple[CellEstimate, ...]
    unknown: int
    device: Literal["GPU", "CPU"]
    devices: int
    places: int
    per_pack: float  # devices that a pack takes
    about: Total | None
    at_most: Total

    def to_json(self) -> dict[str, Any]:
        """Plain values: totals, and a row per cell; seconds are those of one place."""
        values = asdict(self)
        rows = []
        for cell in self.cells:
            time = cell.epoch_time
            rows.append({
                **cell.key._asdict(),
                "pending": cell.pending,
                "seconds_per_epoch": time and time.seconds,
                "epochs": time and time.epochs,
                "source": time and time.source,
                "seconds_about": cell.about,
                "seconds_at_most": cell.at_most,
            })  # fmt: skip
        return {**values, "cells": rows}


def from_trials(plan: Plan, records: Mapping[str, TrialRecord]) -> dict[CellKey, EpochTime]:
    """The epoch times of the cells of which trials have ended: mean seconds per epoch, and mean epochs per trial.

    A failed trial counts for neither; one that diverged or was cut short is like those that will.
    """
    epoch_times: dict[CellKey, EpochTime] = {}
    for cell in plan.cells:
        found = (records[trial.id] for trial in cell.trials if trial.id in records)
        ended = [k for k in found if k.status != "failed" and k.epochs and k.seconds > 0]
        if ended:
            epochs = sum(k.epochs for k in ended)
            epoch_times[cell.key] = EpochTime(sum(k.seconds for k in ended) / epochs, epochs / len(ended), "trials")
    return epoch_times


def from_analogy(
    plan: Plan, epoch_times: Mapping[CellKey, EpochTime], tokens: Callable[[str, str], float | None]
) -> dict[CellKey, EpochTime]:
    """Epoch times of cells without one, from those with one on the same backbone.

    First choice: another method on the same task, times how much slower this method is than that one wherever both
    are known. Else the same method on another task, then any: by the tokens of an epoch, which ``tokens`` gives for a
    backbone and a task, or ``None``.
    """
    found: dict[CellKey, EpochTime] = {}
    for cell in plan.cells:
        if cell.key not in epoch_times and cell.pending:
            seconds = _same_task(cell.key, epoch_times) or _by_tokens(cell.key, epoch_times, tokens)
            if seconds is not None:
                found[cell.key] = EpochTime(seconds, None, "analogy")
    return found


def _same_task(key: CellKey, epoch_times: Mapping[CellKey, EpochTime]) -> float | None:
    backbone, task, method = key
    there = {m: time.seconds for (b, t, m), time in epoch_times.items() if (b, t) == (backbone, task)}
    return mean(seconds * _ratio(method, other, epoch_times) for other, seconds in there.items()) if there else None


def _ratio(method: str, other: str, epoch_times: Mapping[CellKey, EpochTime]) -> float:
    """How much longer an epoch takes with a method than with another: the mean over the places where both are known."""
    pairs = (
        (time.seconds, epoch_times[CellKey(b, t, other)].seconds)
        for (b, t, m), time in epoch_times.items()
        if m == method and (b, t, other) in epoch_times
    )
    logs = [math.log(ours / theirs) for ours, theirs in pairs]
    return math.exp(mean(logs)) if logs else 1.0


def _by_tokens(
    key: CellKey, epoch_times: Mapping[CellKey, EpochTime], tokens: Callable[[str, str], float | None]
) -> float | None:
    backbone, task, method = key
    others = [(t, m, time.seconds) for (b, t, m), time in epoch_times.items() if b == backbone]
    others = [other for other in others if other[1] == method] or others
    size = tokens(backbone, task) if others else None
    if not size:
        return None
    scaled = [seconds * size / theirs for t, _, seconds in others if (theirs := tokens(backbone, t))]
    return mean(scaled) if scaled else None


def estimate(
    study: Study,
    plan: Plan,
    epoch_times: Mapping[CellKey, EpochTime],
    devices: int | None = None,
    price: float | None = None,
) -> Estimate | None:
    """What the pending trials take on ``devices`` GPUs (CPU cores, where a pack takes no GPU); None where no epoch time
    is known.

    ``devices``: where it is not given those of this machine, or one GPU where it has none. ``price``: of a device for
    an hour.
    """
    per_pack = study.resources.gpus or study.resources.cpu
    devices = devices or default_devices(study.resources)
    at_once = places(study.resources, devices)
    pending = [cell for cell in plan.cells if cell.pending]
    cells = tuple(_of_cell(cell, epoch_times.get(cell.key), bounded=is_bounded(study, cell)) for cell in pending)
    if pending and not any(cell.epoch_time for cell in cells):
        return None
    adaptive = study.search.open_ended or study.search.early_stopping is not None

    def total(seconds: Iterable[float | None]) -> Total:
        """``seconds``: of the pending trials of each cell."""
        packs = [pack for cell, own in zip(pending, seconds, strict=True) for pack in _pack_seconds(cell, own or 0.0)]
        if longest_first(study):
            packs.sort(reverse=True)
        fixed = RUN_SECONDS + WORKER_SECONDS if packs else 0.0
        hours = (sum(packs) + min(at_once, len(packs)) * WORKER_SECONDS) * per_pack / 3_600
        return Total(hours, fixed + in_turn(packs, at_once), None if price is None else hours * price)

    limits = any(cell.epoch_time and cell.about is None for cell in cells)
    return Estimate(
        cells=cells,
        unknown=sum(cell.epoch_time is None for cell in cells),
        device="GPU" if study.resources.gpus else "CPU",
        devices=devices,
        places=at_once,
        per_pack=per_pack,
        about=None if adaptive or limits else total(c.about for c in cells),
        at_most=total(c.at_most for c in cells),
    )


def _of_cell(cell: CellPlan, epoch_time: EpochTime | None, *, bounded: bool) -> CellEstimate:
    """``bounded``: no trial can stop before its last epoch, so that what it takes at most is what it takes."""
    if epoch_time is None:
        return CellEstimate(cell.key, cell.pending, None, None, None)
    expected = cell.epochs if bounded else epoch_time.epochs
    about = None if expected is None else cell.pending * expected * epoch_time.seconds
    return CellEstimate(cell.key, cell.pending, epoch_time, about, cell.pending * cell.epochs * epoch_time.seconds)


def is_bounded(study: Study, cell: CellPlan) -> bool:
    """Patience that is as long as the training stops nothing."""
    task = next(task for task in study.tasks if task.name == cell.key.task)
    protocol = study.protocol_for(task)
    return protocol.patience >= protocol.epochs


def _pack_seconds(cell: CellPlan, seconds: float) -> list[float]:
    """What each pack to come takes of the seconds of all, and ``PACK_SECONDS``.

    The trials that are not decided on make as many packs per trial as those that are.
    """
    sizes: list[float] = [len(pack.trials) for pack in cell.packs]
    if cell.undecided:
        packs = math.ceil(cell.undecided * len(sizes) / sum(sizes)) if sizes else cell.undecided
        sizes += [cell.undecided / packs] * packs
    return [seconds * size / cell.pending + PACK_SECONDS for size in sizes]


def in_turn(packs: Iterable[float], places: int) -> float:
    """Seconds until all packs have ended, where each begins as soon as one of the places is free."""
    ends = [0.0] * places
    for seconds in packs:
        heapq.heapreplace(ends, ends[0] + seconds)
    return max(ends)


def places(resources: Resources, devices: int) -> int:
    """How many packs of a study are in training at once on so many devices."""
    found = max(1, int(devices / (resources.gpus or resources.cpu) + 1e-9))
    return found if resources.concurrent_packs is None else min(found, resources.concurrent_packs)


def default_devices(resources: Resources) -> int:
    """The GPUs of this machine, one where it has none; or its cores."""
    return max(1, len(machine.gpus())) if resources.gpus else machine.cores()
