"""What changed between two searches: trials, statuses, protocol, cells, winners and macro scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from analysis import coverage, style
from analysis.frame import PROTOCOL, STATUSES, hyperparameters
from analysis.reports._section import hyperparameter_text
from analysis.selection import CELL, assignments, best_assignments, macro_scores, split_roles
from analysis.tables import EMPTY, Cell, Table, printed

#: ``before``, ``after``: a score in percent, a count, or a text; ``difference``: after minus before.
COLUMNS = ("what", *CELL, "before", "after", "difference", "note")
_SEEN = 1e-9  # medians that agree so far are one; binary noise lies below


def diff(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """A row per change from one tidy frame to another, with ``COLUMNS``; none where nothing changed.

    ``what``: ``trials`` (all, then those added and gone, by id), ``status`` (how many ended so), ``protocol`` (a column
    whose values differ on a task that both have), ``cell added``, ``cell gone``, ``winner`` (another assignment),
    ``median`` (the same one scores otherwise) and ``macro``. Only trials that the study names, and no confirmation.
    """
    one, other = (split_roles(coverage.of_study(frame)[0])[0] for frame in (before, after))
    rows = [*_counts(one, other), *_protocol(one, other), *_scores(one, other)]
    values = {name: pd.Series([row[name] for row in rows], dtype=object) for name in ("before", "after")}
    return pd.DataFrame(rows, columns=list(COLUMNS)).assign(**values)


def _row(what: str, values: Sequence[Any], note: str, cell: dict[str, str]) -> dict[str, Any]:
    before, after = values
    numbers = isinstance(before, (int, float)) and isinstance(after, (int, float))
    difference = after - before if numbers else float("nan")
    told = {"what": what, "before": before, "after": after, "difference": difference, "note": note}
    return dict.fromkeys(CELL, "") | told | cell


def _counts(one: pd.DataFrame, other: pd.DataFrame) -> Iterator[dict]:
    mine, theirs = set(one["trial_id"]), set(other["trial_id"])
    if mine != theirs:
        note = f"{len(theirs - mine):,} added, {len(mine - theirs):,} gone"
        yield _row("trials", (len(one), len(other)), note, {})
    for status in STATUSES:
        counts = [int((frame["status"] == status).sum()) for frame in (one, other)]
        if counts[0] != counts[1]:
            yield _row("status", counts, status, {})


def _protocol(one: pd.DataFrame, other: pd.DataFrame) -> Iterator[dict]:
    """On tasks of both, the columns of the protocol that both tell and that differ."""
    place = ["benchmark", "backbone", "task"]
    names = [name for name in (*PROTOCOL, "metric", "result_version") if name in one and name in other]
    both = [
        frame[[*place, *names]].drop_duplicates().groupby(place)[names].agg(lambda v: tuple(sorted(set(v.dropna()))))
        for frame in (one, other)
    ]
    for key in both[0].index.intersection(both[1].index) if names else ():
        for name in names:
            texts = [", ".join(map(hyperparameter_text, values.loc[key, name])) or "none" for values in both]
            if texts[0] != texts[1]:
                yield _row("protocol", texts, name, dict(zip(place, key, strict=True)))


def _scores(one: pd.DataFrame, other: pd.DataFrame) -> Iterator[dict]:
    winners = [best_assignments(assignments(frame)) for frame in (one, other)]
    first, second = (table.set_index(CELL) for table in winners)
    for key in first.index.union(second.index):
        cell = dict(zip(CELL, key, strict=True))
        if key not in second.index:
            yield _row("cell gone", (first.at[key, "median"], ""), "", cell)
        elif key not in first.index:
            yield _row("cell added", ("", second.at[key, "median"]), "", cell)
        else:
            yield from _winner(cell, first.loc[key], second.loc[key])
    keys = ["benchmark", "backbone", "method"]
    tables = [macro_scores(table).set_index(keys) for table in winners]
    for key in tables[0].index.union(tables[1].index):
        was, now = ((t.at[key, "macro"], t.at[key, "n_tasks"]) if key in t.index else ("", 0) for t in tables)
        if was != now and not (was[0] != was[0] and now[0] != now[0]):
            tasks = f"{was[1]} → {now[1]} tasks" if was[1] != now[1] else ""
            yield _row("macro", (was[0], now[0]), tasks, dict(zip(keys, key, strict=True)))


def _winner(cell: dict[str, str], was: pd.Series, now: pd.Series) -> Iterator[dict]:
    """How the best assignment of a cell has changed; a cell without a score has none."""
    if pd.isna(was["median"]) and pd.isna(now["median"]):
        return
    medians = was["median"], now["median"]
    if was["assignment_id"] != now["assignment_id"]:
        yield _row("winner", medians, f"{_named(was)} → {_named(now)}", cell)
    elif abs(medians[0] - medians[1]) > _SEEN:
        seeds = f"{was['n_seeds']} → {now['n_seeds']} seeds" if was["n_seeds"] != now["n_seeds"] else ""
        yield _row("median", medians, seeds, cell)


def _named(winner: pd.Series) -> str:
    if pd.isna(winner["median"]):
        return "none"
    names = hyperparameters(winner.to_frame().T)
    texts = {name.removeprefix("hp."): hyperparameter_text(winner[name]) for name in names}
    return ", ".join(f"{name} {text}" for name, text in texts.items() if text) or str(winner["assignment_id"])


def table(changes: pd.DataFrame, title: str) -> Table:
    """The changes for people: names in print, scores to one decimal."""
    rows = []
    for row in changes.to_dict("records"):
        names = (style.benchmark(row["benchmark"]), style.backbone(row["backbone"]), style.task(row["task"]))
        method = style.method(row["method"]) if row["method"] else ""
        values = (_printed(row["before"]), _printed(row["after"]))
        counts = isinstance(row["before"], int)
        gap = "" if pd.isna(row["difference"]) else printed(row["difference"], 0 if counts else 1, sign=True)
        rows.append(tuple(map(Cell, (row["what"], *names, method, row["note"], *values, gap))))
    columns = ("What", "Benchmark", "Backbone", "Task", "Method", "", "Before", "After", "Difference")
    return Table("diff", title, columns, tuple(rows), left=6)


def _printed(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return EMPTY if pd.isna(value) else printed(value)
    return str(value)
