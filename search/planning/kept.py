"""What the answers on dev, which every trial leaves in the storage, come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from common import predictions
from search.planning.plan import Plan
from search.planning.texts import TaskFacts
from search.study import Study

_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "KB"))


@dataclass(frozen=True)
class Kept:
    """``trials``: those whose size is known, at most; ``bytes``: about what their files take together.

    ``unknown``: tasks whose rows are not here, and so neither are the sizes.
    """

    trials: int
    bytes: int
    unknown: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @property
    def words(self) -> str:
        """A sentence for people."""
        left = f"; {', '.join(self.unknown)}: not known, as its rows are not here" if self.unknown else ""
        scale, unit = next((scale, unit) for scale, unit in _UNITS if self.bytes >= scale or scale == 1e3)
        size = f"{self.bytes / scale:,.1f} {unit}"
        return f"Answers on dev kept in the storage: about {size} for {self.trials:,} trials at most{left}."


def kept(study: Study, plan: Plan, described: Sequence[TaskFacts]) -> Kept | None:
    """Counted over all trials of the plan, those of the confirmation too, finished or not; None where the study keeps
    none."""
    if not study.keep.predictions:
        return None
    trials = bytes_in_all = 0
    unknown = []
    for facts in described:
        task, rows = facts.task, facts.row_counts
        if rows is None:
            unknown.append(task.name)
            continue
        number = sum(cell.total + cell.confirmation.total for cell in plan.cells if cell.key.task == task.name)
        trials += number
        bytes_in_all += number * predictions.size(task.metric, rows["dev"], len(task.options or task.labels or ()))
    return Kept(trials, bytes_in_all, tuple(unknown))
