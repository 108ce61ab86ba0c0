"""With which method the others are compared on a benchmark and backbone, and what cannot be compared, and why."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pandas as pd

from analysis.planned import EVERYTHING, Plan
from analysis.selection import APART, METHOD, PLACE

NO_SCORE = "it has no score there"
NO_SEED = "no seed of it took no part in the choice"
NO_TASK = "no task has such seeds of it and of another method"
UNCOMPARED = [*PLACE, "method", "reference", "is_reference", "reason"]

Place = tuple[str, str]


def reference(macros: pd.DataFrame, against: str | None = None, comparable: Collection[str] = ()) -> str | None:
    """What methods are compared with on one benchmark and backbone, by every interval and test of a report.

    ``against`` where it has a score; without it the method with the highest macro in the results of those with a score
    on the most tasks, fine-tuning apart, of the ``comparable`` ones if there are any. ``None`` where there is none.
    """
    scored = macros[macros["n_tasks"] > 0]
    if against is not None:
        return against if against in set(scored["method"]) else None
    ranked = scored[scored["method"] != APART]
    ranked = ranked[ranked["method"].isin(comparable)] if set(comparable) & set(ranked["method"]) else ranked
    ranked = ranked.sort_values(["n_tasks", "macro", "method"], ascending=[False, False, True])
    return None if ranked.empty else str(ranked["method"].iloc[0])


def comparable(cells: pd.DataFrame) -> dict[Place, frozenset[str]]:
    """By benchmark and backbone, the methods with fresh scores on a task on which another has some as well.

    ``cells`` of :class:`analysis.estimates.Estimates`.
    """
    fresh = cells[cells["kind"] != ""]
    several = fresh[fresh.duplicated([*PLACE, "task"], keep=False)]
    return {(str(a), str(b)): frozenset(own["method"]) for (a, b), own in several.groupby(PLACE)}


def references(cells: pd.DataFrame, macros: pd.DataFrame) -> dict[Place, str]:
    """By benchmark and backbone, what methods are compared with where nobody says."""
    fit = comparable(cells)
    found = {(str(a), str(b)): reference(own, None, fit.get((a, b), ())) for (a, b), own in macros.groupby(PLACE)}
    return {place: name for place, name in found.items() if name is not None}


def uncompared(cells: pd.DataFrame, macros: pd.DataFrame, plan: Plan = EVERYTHING) -> pd.DataFrame:
    """What a plan compares and fresh seeds cannot: a row per method, with the ``reason``.

    ``is_reference``: the plan's own reference, or the best method of the results, in whose place ``reference`` stands
    (empty where there is none). Nothing is said of a benchmark and backbone with one method.
    """
    rows: list[tuple] = []
    fresh = {key: frozenset(own["task"]) for key, own in cells[cells["kind"] != ""].groupby(METHOD)}
    fit = comparable(cells)
    for (benchmark, backbone), own in macros.groupby(PLACE):
        place = str(benchmark), str(backbone)
        scored = set(own.loc[own["n_tasks"] > 0, "method"])
        used = reference(own, plan.reference, fit.get(place, ()))
        best = plan.reference or reference(own)
        wanted = {best, used, *(scored if plan.methods is None else plan.methods)} - {None}
        if len(wanted) < 2:
            continue
        instead = used if used in fit.get(place, ()) else None
        if instead is None:  # of no comparison at all the plan's own reference alone is to blame
            wanted &= {plan.reference}
        for method in sorted(wanted):
            reason = _reason(place, method, scored, fresh, instead)
            if reason:
                rows.append((*place, method, instead or "", method == best, reason))
    return pd.DataFrame(rows, columns=UNCOMPARED)


def _reason(
    place: Place, method: str, scored: set[str], fresh: Mapping[tuple, frozenset[str]], used: str | None
) -> str:
    """Why a method is not compared with the one that is ``used``; empty where it is."""
    if method not in scored:
        return NO_SCORE
    own = fresh.get((*place, method), frozenset())
    if not own:
        return NO_SEED
    return "" if used is not None and own & fresh[*place, used] else NO_TASK
