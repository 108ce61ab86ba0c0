"""How large a study is, counted before anything of it is built."""

from __future__ import annotations

from collections.abc import Mapping

from search.study._collector import Collector
from search.study._grids import assignments, size_of_own
from search.study._model import Grids, Range, Search, Study, TaskOverride

#: Of one hyperparameter, where values are drawn.
MOST_LISTED = 200

#: A plan of so many trials takes seconds; the paper's largest study has 14,150.
MOST_TRIALS = 100_000


def trials_at_most(study: Study) -> int:
    """How many trials a study has, if all that depends on scores comes to pass; counted, not built."""
    cells = (study.grids(task.name, method) for task in study.tasks for method in study.methods)
    return len(study.backbones) * len(study.seeds) * sum(_assignments(grids, study.search) for grids in cells)


def check_size(
    problems: Collector,
    methods: Mapping[str, Grids],
    shared: Grids,
    overrides: Mapping[str, TaskOverride],
    tasks: Mapping[str, object],
    search: Search,
    *,
    backbones: int,
    seeds: int,
) -> bool:
    """Whether the study is small enough to be looked at value by value; notes by how much it is not."""
    total = 0
    for method, grids in methods.items():
        for task in tasks or [""]:
            override = overrides.get(task, TaskOverride())
            all_of = {**shared, **grids, **override.shared, **override.methods.get(method, {})}
            total += _assignments(all_of, search)
            if (combinations := size_of_own(method, all_of)) > MOST_TRIALS:
                rule = f"the values come to {combinations:,} combinations, and a cell has at most {MOST_TRIALS:,}"
                problems.add(("methods", method), f"{rule}; give fewer of them, or a range with strategy: random")
                return False
            if search.strategy != "grid" and not _drawable(problems, method, all_of):
                return False
    if total * backbones * seeds <= MOST_TRIALS:
        return True
    rule = (
        f"come to {total * backbones * seeds:,} trials ({total:,} assignments on {len(tasks)} tasks, "
        f"{backbones} backbones, {seeds} seeds), and a study has at most {MOST_TRIALS:,}; give fewer values or seeds, "
        "or search.strategy: random with n, or make several studies of it"
    )
    problems.add(("methods",), rule)
    return False


def _drawable(problems: Collector, method: str, grids: Grids) -> bool:
    """Random and TPE draw from a list one value at a time, in a time that grows with it."""
    for name, grid in grids.items():
        if not isinstance(grid, Range) and len(grid) > MOST_LISTED:
            rule = f"{name} has {len(grid):,} values; a random or tpe search takes lists of at most {MOST_LISTED}"
            problems.add(("methods", method), f"{rule}: give fewer, or a range (low, high)")
            return False
    return True


def _assignments(grids: Grids, search: Search) -> int:
    """Assignments of a cell."""
    return int(assignments(grids) if search.strategy == "grid" else min(search.n or 0, assignments(grids)))
