"""What of a study has been trained, and which trials are not the study's: what a report must say before any number."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.frame import PROTOCOL, STATUSES, hyperparameters

CELL = ["benchmark", "backbone", "task", "method"]
#: How many trials of a cell are planned, at most; of these ``undecided`` depend on the scores of others. Then how they
#: ended; ``lost``: the result was written down once and is gone. Assignments, at most, and those with all their seeds.
COUNTS = ("planned", "undecided", *STATUSES, "lost", "not_run", "assignments", "complete")
COLUMNS = (*CELL, *COUNTS)


def of_study(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The trials that the study names, or may name where nobody could tell, and those that it does not."""
    if "in_study" not in frame:
        return frame, frame.iloc[:0]
    own = frame["in_study"].fillna(True).astype(bool)
    return frame[own].reset_index(drop=True), frame[~own].reset_index(drop=True)


def of_frame(frame: pd.DataFrame) -> tuple[pd.DataFrame | None, int]:
    """The coverage of a study by its own trials alone, and how many more are planned in cells that have none.

    A row per cell with ``COLUMNS``; what is lost counts as not run, and nobody knows what is undecided or how many
    assignments there are. ``None`` where the frame does not say what was planned.
    """
    known = [name for name in ("planned_in_cell", "planned_in_study") if name in frame and frame[name].notna().all()]
    if len(known) < 2 or frame.empty:
        return None, 0
    work = frame.assign(**{status: frame["status"] == status for status in STATUSES})
    table = work.groupby(CELL).agg(
        planned=("planned_in_cell", "max"), **{status: (status, "sum") for status in STATUSES}
    ).reset_index()  # fmt: skip
    table["not_run"] = (table["planned"] - table[list(STATUSES)].sum(axis=1)).clip(lower=0)
    elsewhere = int(frame["planned_in_study"].max()) - int(table["planned"].sum())
    return table.reindex(columns=list(COLUMNS)), max(0, elsewhere)


def progress(coverage: pd.DataFrame, elsewhere: int = 0) -> str:
    """How far the study is, in one sentence."""
    planned = int(coverage["planned"].sum()) + elsewhere
    counts = {name: int(coverage[name].fillna(0).sum()) for name in (*STATUSES, "lost", "not_run")}
    counts["not_run"] += elsewhere
    ended = planned - counts["failed"] - counts["lost"] - counts["not_run"]
    words = {"lost": "lost", "not_run": "not run yet"}
    told = ", ".join(f"{count:,} {words.get(name, name)}" for name, count in counts.items() if count)
    if ended == planned:
        return f"All {planned:,} trials of the study have a result: {told}."
    most = "at most " if coverage["undecided"].fillna(0).any() else ""
    return f"The study is {100 * ended // planned} % trained: of {most}{planned:,} trials {told or 'none has ended'}."


def is_whole(coverage: pd.DataFrame, elsewhere: int = 0) -> bool:
    """Whether every trial that is planned has a result."""
    return not elsewhere and not coverage[["failed", "lost", "not_run"]].fillna(0).to_numpy().any()


def caveats(own: pd.DataFrame, others: pd.DataFrame) -> list[str]:
    """What to know of where the trials come from."""
    notes = []
    if len(others):
        what = "1 trial is" if len(others) == 1 else f"{len(others):,} trials are"
        notes.append(
            f"{what} left out, of an earlier version of the study: as it stands it does not name "
            f"{'it' if len(others) == 1 else 'them'}{_difference(own, others)}."
        )
    if "in_study" in own and own["in_study"].isna().any():
        mixed = [name for name in (*PROTOCOL, "result_version") if name in own and _differs_in_a_cell(own, name)]
        found = f" Within a cell they differ in {', '.join(mixed)}." if mixed else ""
        notes.append(
            "Where these runs were exported nobody could tell which of them the study names as it stands: trials of "
            f"earlier versions of the study may be among them.{found}"
        )
    return notes


def _difference(own: pd.DataFrame, others: pd.DataFrame) -> str:
    """Columns in which others have values that the study's trials do not have."""
    names = [*PROTOCOL, "result_version", "backbone", "task", "method", *hyperparameters(own)]
    found = [name for name in names if name in own and _values(others[name]) - _values(own[name])]
    return f" (they differ in {', '.join(found)})" if found else ""


def _values(column: pd.Series) -> set[str]:
    return {"" if pd.isna(value) else str(value) for value in column}


def _differs_in_a_cell(frame: pd.DataFrame, name: str) -> bool:
    return bool((frame.groupby(CELL)[name].nunique(dropna=False) > 1).any())


def sentences(coverage: pd.DataFrame | None, elsewhere: int, notes: Sequence[str]) -> list[str]:
    """The caveats of a report that is not of a whole study, the first ones of all."""
    if coverage is None or is_whole(coverage, elsewhere):
        return list(notes)
    return [progress(coverage, elsewhere), *notes]
