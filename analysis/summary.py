"""The report's first page: what was compared, what came out, and what to beware of, in plain sentences."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from analysis import significance, style
from analysis.frame import STATUSES
from analysis.reports._section import groups, heading, plural, span
from analysis.selection import APART, assignments, best_assignments, macro_scores
from analysis.tables import p_value, printed, rounded

_LEVEL = 0.05
_FEW_SEEDS = 5  # below the paper's number


def what(frame: pd.DataFrame) -> str:
    """What was compared, in one paragraph."""
    benchmarks = _list(style.benchmark(name) for name in sorted(frame["benchmark"].unique()))
    backbones = _list(style.backbone(name) for name in sorted(frame["backbone"].unique()))
    methods = style.methods(frame["method"])
    tried = frame.drop_duplicates(["benchmark", "backbone", "task", "method", "assignment_id"])
    ended = [f"{count:,} {status}" for status in STATUSES if (count := int((frame["status"] == status).sum()))]
    names = _list(style.method(name) for name in methods)
    return (
        f"{plural(len(methods), 'method')} ({names}) on {plural(frame['task'].nunique(), 'task')} of {benchmarks}, "
        f"with {backbones}. {plural(len(tried), 'assignment')} of hyperparameters, {plural(len(frame), 'trial')}: "
        f"{', '.join(ended)}."
    )


def findings(frame: pd.DataFrame) -> list[str]:
    """The best method of each benchmark and backbone, with what a test says of its lead."""
    winners = best_assignments(assignments(frame))
    tests = significance.over_tasks(frame, winners)
    return [
        f"{heading(benchmark, backbone)}: {_finding(rows, _of(tests, benchmark, backbone))}"
        for benchmark, backbone, rows in groups(macro_scores(winners))
    ]


def _of(tests: pd.DataFrame, benchmark: str, backbone: str) -> dict[str, dict]:
    rows = tests[(tests["benchmark"] == benchmark) & (tests["backbone"] == backbone)]
    return {row["method"]: row for row in rows.to_dict("records")}


def _finding(table: pd.DataFrame, tests: dict[str, dict]) -> str:
    order = table[table["complete"]].sort_values(["macro", "method"], ascending=[False, True])
    ranked, tuned = order[order["method"] != APART], order[order["method"] == APART]
    beside = f" Fine-tuning, which trains everything: {printed(tuned['macro'].iloc[0])}." if len(tuned) else ""
    tasks = plural(int(table["n_tasks"].max()), "task")
    if ranked.empty:
        return f"{'only fine-tuning' if len(tuned) else 'no method'} has a score on every task.{beside}"
    scores = [rounded(value) for value in ranked["macro"]]
    first = ranked["method"].head(scores.count(scores[0])).tolist()
    names = _list(style.method(name) for name in style.methods(first))
    if len(ranked) == 1:
        return f"{names} scores {scores[0]} on average over {tasks}; no other method has them all.{beside}"
    if len(first) > 1:
        return f"{names} share the highest macro score, {scores[0]}, over {tasks}.{beside}"
    second = ranked.iloc[1]
    return (
        f"{names} has the highest macro score over {tasks}, {scores[0]}, ahead of {style.method(second['method'])} "
        f"with {printed(second['macro'])}.{_lead(tests[second['method']])}{beside}"
    )


def _lead(test: dict) -> str:
    """What the tests of :mod:`analysis.significance` say of the best method's lead over the second."""
    if pd.isna(test["p_seeds_holm"]):
        return " With one seed each, whether that lead is luck cannot be told."
    word = "more than" if test["p_seeds_holm"] < _LEVEL else "within what"
    lead = f" That lead is {word} {'luck with seeds' if word == 'more than' else 'seeds alone can do'}"
    text = f"{lead} (p = {p_value(test['p_seeds_holm'])})"
    if test["n_tasks"] > 1:
        shown = "would carry over" if test["p_holm"] < _LEVEL else "is not shown to carry over"
        text += f", and {shown} to other tasks (p = {p_value(test['p_holm'])})"
    return text.replace("= <", "<") + "."


def caveats(frame: pd.DataFrame, planned: pd.DataFrame | None = None) -> list[str]:
    """What a careful reader should know before quoting a number; ``planned`` has a row per cell of the study."""
    winners = best_assignments(assignments(frame))
    scored = winners.dropna(subset="median")
    notes = []
    if scored["n_assignments"].max() > 1:
        tried = span(scored["n_assignments"], "assignment")
        notes.append(
            "Assignments were chosen by the same dev scores that are reported, so every score is optimistic, the more "
            f"so the more assignments a method had ({tried} per cell here)."
        )
    if len(scored) and scored["n_seeds"].min() < _FEW_SEEDS:
        seeds = span(scored["n_seeds"], "seed")
        what = (
            "so no deviation can be given" if scored["n_seeds"].max() == 1 else "and deviations from so few say little"
        )
        notes.append(f"The best assignments rest on {seeds}, {what}; see the tests before believing a rank.")
    return notes + _losses(frame, winners, planned)


def _losses(frame: pd.DataFrame, winners: pd.DataFrame, planned: pd.DataFrame | None) -> list[str]:
    """What is missing: cells, seeds, trials, tasks."""
    notes = []
    pair = ["benchmark", "backbone"]
    tasks, methods = (frame[[*pair, name]].drop_duplicates() for name in ("task", "method"))
    cells = len(tasks.merge(methods, on=pair)) if planned is None else len(planned)
    empty = cells - int(winners["median"].notna().sum())
    if empty:
        notes.append(
            f"{empty} of {plural(cells, 'cell')} (method × task) have no score; macros without them are not ranked."
        )
    if fewer := int(winners["fewer_seeds"].sum()):
        start = "1 best assignment has" if fewer == 1 else f"{fewer} best assignments have"
        notes.append(f"{start} a score for fewer seeds than were planned (‡ in the tables).")
    lost = {status: int((frame["status"] == status).sum()) for status in STATUSES}
    if lost["failed"] or lost["diverged"]:
        failed = plural(lost["failed"], "trial")
        notes.append(f"{failed} failed and {lost['diverged']:,} diverged; every table counts them (†).")
    if lost["pruned"]:
        pruned = "1 trial was" if lost["pruned"] == 1 else f"{lost['pruned']:,} trials were"
        notes.append(
            f"{pruned} pruned by an adaptive search: left out of every statistic, and their cells have no "
            "expected-performance curve."
        )
    if winners["n_promoted"].any():
        notes.append(
            "Only promoted assignments got all seeds. The results are theirs alone; in the curves over parameters and "
            "learning rates the others stand where none was promoted, with their first seed, which is a noisier number."
        )
    if frame.groupby("benchmark")["task"].nunique().min() == 1:
        notes.append("Where a benchmark has one task here, its macro score is that task's score.")
    return notes


def _list(names: Iterable[str]) -> str:
    """``a, b and c``."""
    words = list(names)
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
