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
#: What a study that confirms its choices on fresh seeds has beside ``COLUMNS``: how many such trials it asks for, and
#: how many have a score. They are in no other count.
CONFIRMATION = ("to_confirm", "confirmed")


def of_study(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The trials that the study names, or may name where nobody could tell, and those that it does not."""
    if "in_study" not in frame:
        return frame, frame.iloc[:0]
    own = frame["in_study"].fillna(True).astype(bool)
    return frame[own].reset_index(drop=True), frame[~own].reset_index(drop=True)


def of_frame(frame: pd.DataFrame) -> tuple[pd.DataFrame | None, int]:
    """The coverage of a study by its own trials alone, and how many more are planned in cells that have none.

    A row per cell with ``COLUMNS``; what is lost counts as not run, and nobody knows what is undecided or how many
    assignments there are. Of trials that do not say what was planned nothing is told; ``None`` where none does.
    """
    if not {"planned_in_cell", "planned_in_study"} <= set(frame.columns):
        return None, 0
    frame = frame.dropna(subset=["planned_in_cell", "planned_in_study"])
    if frame.empty:
        return None, 0
    work = frame.assign(**{status: frame["status"] == status for status in STATUSES})
    # A file may hold several studies: each plans trials of its own.
    table = work.groupby(["study", *CELL]).agg(
        planned=("planned_in_cell", "max"), **{status: (status, "sum") for status in STATUSES}
    ).groupby(CELL).sum().reset_index()  # fmt: skip
    table["not_run"] = (table["planned"] - table[list(STATUSES)].sum(axis=1)).clip(lower=0)
    elsewhere = int(frame.groupby("study")["planned_in_study"].max().sum()) - int(table["planned"].sum())
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
        one = len(others) == 1
        what = "1 trial is left out: it is" if one else f"{len(others):,} trials are left out: they are"
        names = _difference(own, others)
        difference = f" ({'it differs' if one else 'they differ'} in {', '.join(names)})" if names else ""
        notes.append(f"{what} of another version of the study{difference}.")
    if "in_study" in own and own["in_study"].isna().any():
        mixed = [name for name in (*PROTOCOL, "result_version") if name in own and _differs_in_a_cell(own, name)]
        found = f" Within a cell they differ in {', '.join(mixed)}." if mixed else ""
        notes.append(
            "Where these runs were exported nobody could tell which of them the study names as it stands: trials of "
            f"earlier versions of the study may be among them.{found}"
        )
    return notes


def _difference(own: pd.DataFrame, others: pd.DataFrame) -> list[str]:
    """Columns in which others have values that the study's trials do not have."""
    names = [*PROTOCOL, "result_version", "backbone", "task", "method", *hyperparameters(own)]
    return [name for name in names if name in own and _values(others[name]) - _values(own[name])]


def _values(column: pd.Series) -> set[str]:
    return {"" if pd.isna(value) else str(value) for value in column}


def _differs_in_a_cell(frame: pd.DataFrame, name: str) -> bool:
    return bool((frame.groupby(CELL)[name].nunique(dropna=False) > 1).any())


def sentences(coverage: pd.DataFrame | None, elsewhere: int, notes: Sequence[str]) -> list[str]:
    """The caveats of a report that is not of a whole study, the first ones of all."""
    if coverage is None or is_whole(coverage, elsewhere):
        return list(notes)
    return [progress(coverage, elsewhere), *notes]
