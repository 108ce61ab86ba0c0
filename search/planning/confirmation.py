"""What confirming the winners of a study takes: how many trials there are, are done and are to come, and how long.

    estimate(study, plan, records, epoch_times, places)

The trials of a cell are of one assignment. Once the search of the cell is over it is known, and so is what its trials
took; before that the median assignment of the cell stands for it, and without a trial an epoch time as for the search.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import mean, median
from typing import Any, Literal

from search.planning.estimates import PACK_SECONDS, WORKER_SECONDS, EpochTime, in_turn, is_bounded
from search.planning.plan import CellPlan, Plan
from search.study import Study
from search.tracking.records import TrialRecord
from trainables.trial import CellKey


@dataclass(frozen=True)
class ConfirmationEstimate:
    """The confirmation trials that are to come.

    ``seconds``: of one place, of the cells that are not ``unknown``. ``bound``: of some cells it is only known what
    they take at most.
    """

    pending: int
    seconds: float
    device_hours: float
    wall_seconds: float
    cost: float | None
    device: Literal["GPU", "CPU"]
    bound: bool
    unknown: int

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def estimate(
    study: Study,
    plan: Plan,
    records: Mapping[str, TrialRecord],
    epoch_times: Mapping[CellKey, EpochTime],
    places: int,
    price: float | None = None,
) -> ConfirmationEstimate | None:
    """What the confirmation trials of ``plan`` take, ``places`` packs at once, apart from the search; None where none
    are to come. ``price``: of a device for an hour."""
    pending = [cell for cell in plan.cells if cell.confirmation.pending]
    if not pending:
        return None
    known, packs, bound = 0, [], False
    for cell in pending:
        seconds, at_most = _of_trial(cell, records, epoch_times.get(cell.key))
        if seconds is None:
            continue
        known += 1
        bound = bound or (at_most and not is_bounded(study, cell))
        sizes = [len(pack.trials) for pack in cell.confirmation.packs] or [1] * cell.confirmation.undecided
        packs += [seconds * size + PACK_SECONDS for size in sizes]
    per_pack = study.resources.gpus or study.resources.cpu
    at_work = sum(packs) + min(places, len(packs)) * WORKER_SECONDS
    hours = at_work * per_pack / 3_600
    return ConfirmationEstimate(
        pending=sum(cell.confirmation.pending for cell in pending),
        seconds=sum(packs),
        device_hours=hours,
        wall_seconds=in_turn(packs, places) + (WORKER_SECONDS if packs else 0.0),
        cost=None if price is None else hours * price,
        device="GPU" if study.resources.gpus else "CPU",
        bound=bound,
        unknown=len(pending) - known,
    )


def _of_trial(
    cell: CellPlan, records: Mapping[str, TrialRecord], epoch_time: EpochTime | None
) -> tuple[float | None, bool]:
    """Seconds of one trial of the cell's confirmation, and whether these are but a limit."""
    own: dict[str, list[float]] = {}
    for trial in cell.trials:
        record = records.get(trial.id)
        if record is not None and record.status in ("finished", "diverged") and record.seconds > 0:
            own.setdefault(trial.assignment_id, []).append(record.seconds)
    if cell.confirmation.winner in own:
        return mean(own[cell.confirmation.winner]), False
    if own:
        return median(map(mean, own.values())), False
    if epoch_time is None:
        return None, False
    return (epoch_time.epochs or cell.epochs) * epoch_time.seconds, epoch_time.epochs is None
