"""The report's first page: what was compared, what came out, and what to beware of, in plain sentences."""

from __future__ import annotations

import pandas as pd

from analysis import style
from analysis.frame import STATUSES
from analysis.reports._section import groups, heading, plural, span
from analysis.selection import APART, assignments, best, macro
from analysis.tables import printed, rounded


def what(frame: pd.DataFrame) -> str:
    """What was compared, in one paragraph."""
    benchmarks = _list(style.benchmark(name) for name in sorted(frame["benchmark"].unique()))
    backbones = [style.backbone(name) for name in sorted(frame["backbone"].unique())]
    methods = style.methods(frame["method"])
    tried = frame.drop_duplicates(["benchmark", "backbone", "task", "method", "assignment_id"])
    ended = [f"{count:,} {status}" for status in STATUSES if (count := int((frame["status"] == status).sum()))]
    return (
        f"{plural(len(methods), 'method')} ({_list(style.method(m) for m in methods)}) on {plural(frame['task'].nunique(), 'task')} "
        f"of {benchmarks}, with {_list(backbones)}. {plural(len(tried), 'assignment')} of hyperparameters, "
        f"{plural(len(frame), 'trial')}: {', '.join(ended)}."
    )


def findings(frame: pd.DataFrame) -> list[str]:
    """The best method of each benchmark and backbone, one sentence each."""
    return [_finding(benchmark, backbone, rows) for benchmark, backbone, rows in groups(macro(best(assignments(frame))))]


def _finding(benchmark: str, backbone: str, table: pd.DataFrame) -> str:
    start = f"{heading(benchmark, backbone)}: "
    ranked = table[table["complete"] & (table["method"] != APART)].sort_values(["macro", "method"], ascending=[False, True])
    tuned = table[table["complete"] & (table["method"] == APART)]
    tasks = plural(int(table["n_tasks"].max()), "task")
    beside = f" Fine-tuning, which trains everything: {printed(tuned['macro'].iloc[0])}." if len(tuned) else ""
    if ranked.empty:
        return f"{start}{'only fine-tuning' if len(tuned) else 'no method'} has a score on every task." + beside
    scores = [rounded(value) for value in ranked["macro"]]
    first = ranked["method"].head(sum(score == scores[0] for score in scores)).tolist()
    names = _list(style.method(name) for name in style.methods(first))
    if len(ranked) == 1:
        return f"{start}{names} scores {scores[0]} on average over {tasks}; no other method has them all." + beside
    if len(first) > 1:
        return f"{start}{names} share the highest macro score, {scores[0]}, over {tasks}." + beside
    second = ranked.iloc[1]
    return (f"{start}{names} has the highest macro score over {tasks}, {scores[0]}, before {style.method(second['method'])} "
            f"with {printed(second['macro'])}." + beside)  # fmt: skip


def caveats(frame: pd.DataFrame) -> list[str]:
    """What a careful reader should know before quoting a number."""
    winners = best(assignments(frame))
    scored = winners.dropna(subset="median")
    notes = []
    if scored["n_assignments"].max() > 1:
        notes.append("Assignments were chosen by the same dev scores that are reported, so every score is optimistic, the more so the "
                     f"more assignments a method had ({span(scored['n_assignments'], 'assignment')} per cell here).")  # fmt: skip
    if len(scored) and (seeds := int(scored["n_seeds"].min())) < 5:
        single = ": no deviation can be given" if seeds == 1 else " and deviations from so few say little"
        notes.append(f"The best assignments rest on {span(scored['n_seeds'], 'seed')}{single}; see the tests before believing a rank.")
    cells = len(frame[["benchmark", "backbone", "task"]].drop_duplicates().merge(
        frame[["benchmark", "backbone", "method"]].drop_duplicates(), on=["benchmark", "backbone"]))  # fmt: skip
    if len(scored) < cells:
        notes.append(f"{cells - len(scored)} of {plural(cells, 'cell')} (method × task) have no score; macros that miss a task are not ranked.")
    if fewer := int(winners["fewer_seeds"].sum()):
        one = "1 best assignment has" if fewer == 1 else f"{fewer} best assignments have"
        notes.append(f"{one} fewer seeds than the cell was given, because trials were lost (‡ in the tables).")
    lost = {status: int((frame["status"] == status).sum()) for status in ("failed", "diverged", "pruned")}
    if lost["failed"] or lost["diverged"]:
        notes.append(f"{plural(lost['failed'], 'trial')} failed and {lost['diverged']:,} diverged; they are counted in every table (†).")
    if lost["pruned"]:
        notes.append(f"{plural(lost['pruned'], 'trial')} pruned by an adaptive search: left out of every statistic, and their cells "
                     "have no expected-performance curve.")  # fmt: skip
    if frame["task"].groupby(frame["benchmark"]).nunique().max() == 1:
        notes.append("One task per benchmark: a macro score is that task's score.")
    return notes


def _list(names: object) -> str:
    """``a, b and c``."""
    words = list(names)  # type: ignore[call-overload]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
