"""Several frames as one: of several studies, of several runs files, or of both.

The same trial in two of them counts once. A cell that is in two of them under one protocol has the assignments of both;
under two protocols it would mix what cannot be compared, and is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import pandas as pd

from analysis import coverage
from analysis.frame import COLUMNS, PROTOCOL, FrameError, hyperparameters, tidy
from analysis.selection import CELL

#: What must agree where both sides know it: the code, weights, rows and metric behind a score.
ORIGIN = ("result_version", "backbone_hash", "data_hash", "metric")
#: What the second telling of a trial may say otherwise: which study asked for it, and how long that run of it took.
_APART = ("study", "seconds")


def join(sources: Sequence[tuple[str, pd.DataFrame]]) -> pd.DataFrame:
    """The trials of all sources, each a name and a tidy frame, in their order.

    A trial that stands in several, by its id, is taken from the first that names it as its study's; its other rows must
    tell the same result. Then the trials that a study plans count once as well (``planned_in_cell``,
    ``planned_in_study``).

    Raises FrameError with every cell that two sources have under different protocols and the columns in which they
    differ, and with every trial of which they tell different results.
    """
    if len(sources) == 1:
        return sources[0][1]
    name = " and ".join(source for source, _ in sources)
    if problems := [*_protocols(sources), *_conflicts(sources)]:
        raise FrameError(name, problems)
    both = pd.concat([frame for _, frame in sources], ignore_index=True)
    if "in_study" in both:  # a trial that one study names is no other version, whatever another study makes of it
        both = both.sort_values("in_study", key=lambda own: own.fillna(True).eq(False), kind="stable")
    twice = both.duplicated("trial_id")
    kept = _planned_once(both[~twice], both[twice]).sort_index(kind="stable").reset_index(drop=True)
    return tidy(kept, name)


def summed(tables: Sequence[pd.DataFrame | None], frames: Sequence[pd.DataFrame]) -> pd.DataFrame | None:
    """The coverage of several studies as one: a row per cell, as :func:`analysis.coverage.of_frame` has it.

    A trial or an assignment that several of the ``frames`` hold is planned once. ``None`` where one of ``tables`` is.
    """
    known = [table for table in tables if table is not None]
    if len(known) < len(tables) or not known:
        return None
    whole = pd.concat(known)
    counts = [name for name in (*coverage.COUNTS, *coverage.CONFIRMATION) if name in whole]
    total = whole.groupby(CELL, sort=False)[counts].sum(min_count=1)
    own = pd.concat([coverage.of_study(frame)[0] for frame in frames], ignore_index=True)
    twice = own[own.duplicated("trial_id")]
    if twice.empty:
        return total.reset_index()
    shared = twice.groupby(CELL).size()
    total["planned"] -= shared.reindex(total.index, fill_value=0)
    for status, rows in twice.groupby("status"):
        total[status] -= rows.groupby(CELL).size().reindex(total.index, fill_value=0)
    assignments = twice.groupby(CELL)["assignment_id"].nunique().reindex(total.index, fill_value=0)
    total["assignments"] -= assignments
    total["complete"] = total["complete"].clip(upper=total["assignments"])
    return total.reset_index()


def _protocols(sources: Sequence[tuple[str, pd.DataFrame]]) -> list[str]:
    """A sentence for every cell that two sources have under different protocols."""
    told = [(name, _values(coverage.of_study(frame)[0])) for name, frame in sources]
    problems = []
    for (first, one), (second, other) in combinations(told, 2):
        for cell in one.index.intersection(other.index):
            mine, theirs = one.loc[cell], other.loc[cell]
            shared = [column for column in one.columns if column in other.columns]
            differ = [
                f"{column} ({', '.join(sorted(mine[column]))} and {', '.join(sorted(theirs[column]))})"
                for column in shared
                if mine[column] != theirs[column] and (column in PROTOCOL or (mine[column] and theirs[column]))
            ]
            if differ:
                problems.append(
                    f"cell {' × '.join(cell)} is in {first} and in {second}, which differ in {', '.join(differ)}; a "
                    "cell has one protocol: report them apart, or leave the cell out of one study"
                )
    return problems


def _values(frame: pd.DataFrame) -> pd.DataFrame:
    """By cell, the sets of values of each column of the protocol and origin; an empty limit of a protocol is one."""
    columns = [name for name in (*PROTOCOL, *ORIGIN) if name in frame]
    frame = frame[[*CELL, *columns]].drop_duplicates()
    texts = frame[columns].astype(object).where(frame[columns].notna(), "").astype(str)
    distinct = texts.assign(**{name: frame[name] for name in CELL})

    def values(column: pd.Series) -> frozenset[str]:
        if column.name in PROTOCOL:
            return frozenset(value or "none" for value in column)
        return frozenset(value for value in column if value)

    return distinct.groupby(list(CELL))[columns].agg(values)


def _conflicts(sources: Sequence[tuple[str, pd.DataFrame]]) -> list[str]:
    """A sentence for every trial of which two sources tell different results, or that has two ids."""
    frames = [frame.assign(**{"": name}) for name, frame in sources]
    both = pd.concat(frames, ignore_index=True)
    told = [name for name in (*COLUMNS, *hyperparameters(both)) if name not in _APART]
    problems = []
    twice = both[both.duplicated("trial_id", keep=False)]
    texts = twice[told].astype(object).where(twice[told].notna(), "").astype(str)
    differs = texts.groupby(twice["trial_id"]).nunique() > 1
    for trial_id, row in differs[differs.any(axis=1)].iterrows():
        rows = twice[twice["trial_id"] == trial_id]
        columns = [column for column in told if row[column]]
        values = (f"{source}: {', '.join(map(str, own))}" for source, *own in rows[["", *columns]].itertuples(False))
        problems.append(
            f"trial {trial_id!r} differs in {', '.join(columns)} ({'; '.join(values)}); a trial has one result: export "
            "both again, or leave one out"
        )
    own = coverage.of_study(both.drop_duplicates("trial_id"))[0]
    key = [*CELL, "assignment_id", "seed"]
    for values, rows in own[own.duplicated(key, keep=False)].groupby(key):
        name = f"assignment {values[4]!r} with seed {values[5]} on {' × '.join(values[:4])}"
        problems.append(
            f"{name} is a trial of {' and another of '.join(sorted(set(rows[''])))}; an assignment and a seed are one "
            "trial: report them apart"
        )
    return problems


def _planned_once(kept: pd.DataFrame, dropped: pd.DataFrame) -> pd.DataFrame:
    """``kept`` with the plans of each study less the trials that are counted with another study's."""
    if not {"planned_in_cell", "planned_in_study"} <= set(kept) or dropped.empty:
        return kept
    by_id = kept.set_index("trial_id")["study"]
    lent = dropped[dropped["study"] != dropped["trial_id"].map(by_id)]
    cell, study = ["study", *CELL], ["study"]
    kept = kept.copy()
    for name, keys in (("planned_in_cell", cell), ("planned_in_study", study)):
        fewer = lent.groupby(keys).size().rename("fewer").reset_index()
        less = kept[keys].merge(fewer, on=keys, how="left")["fewer"].fillna(0).astype("Int64")
        kept[name] = kept[name] - less.to_numpy()
    return kept
