"""The report's first page: what was compared, what came out, and what to beware of, in plain sentences."""

from __future__ import annotations

import pandas as pd

from analysis import estimates, style
from analysis.frame import STATUSES
from analysis.inference import IMPOSSIBLE
from analysis.planned import planned
from analysis.references import uncompared
from analysis.reports import comparison, confirmation
from analysis.reports._section import DEFAULT, QUESTIONS, Answer, Options, groups, heading, listed, plural, span
from analysis.selection import APART, assignments, best_assignments
from analysis.tables import printed, rounded

_FEW_SEEDS = 5  # below the paper's number


def what(frame: pd.DataFrame) -> str:
    """What was compared, in one paragraph."""
    benchmarks = listed(style.benchmark(name) for name in style.benchmarks(frame["benchmark"]))
    backbones = listed(style.backbone(name) for name in style.backbones(frame["backbone"]))
    methods = style.methods(frame["method"])
    tried = frame.drop_duplicates(["benchmark", "backbone", "task", "method", "assignment_id"])
    ended = [f"{count:,} {status}" for status in STATUSES if (count := int((frame["status"] == status).sum()))]
    names = listed(style.method(name) for name in methods)
    return (
        f"{plural(len(methods), 'method')} ({names}) on {plural(frame['task'].nunique(), 'task')} of {benchmarks}, "
        f"with {backbones}. {plural(len(tried), 'assignment')} of hyperparameters, {plural(len(frame), 'trial')}: "
        f"{', '.join(ended)}."
    )


def findings(frame: pd.DataFrame, options: Options = DEFAULT) -> list[Answer]:
    """Per benchmark and backbone: the best method and its lead over the second; and how sure that is, on what it rests.

    The lead is that on fresh seeds (:mod:`analysis.estimates`), with a 95 % interval for all comparisons with the best
    together. With ``options.against`` the method in question is that one, and the other is the best of the rest.
    """
    found = estimates.estimates(frame, options.confirmation)
    plan = planned(options.against, frame["method"])
    left = uncompared(found.cells, found.macros, plan)
    tables = estimates.differences(found, plan), estimates.macros(found), left[left["is_reference"].astype(bool)]
    answers = []
    for benchmark, backbone, rows in groups(found.macros):
        own_gaps, own_fresh, missed = (_of(table, benchmark, backbone) for table in tables)
        told = zip(QUESTIONS, _finding(rows, own_gaps, own_fresh, missed, options), strict=False)
        name, place = heading(benchmark, backbone), (benchmark, backbone)
        answers += [Answer(question, f"{name}: {text}", place) for question, text in told if text]
    return answers


def _of(table: pd.DataFrame, benchmark: str, backbone: str) -> dict[str, dict]:
    rows = table[(table["benchmark"] == benchmark) & (table["backbone"] == backbone)]
    return {row["method"]: row for row in rows.to_dict("records")}


def _finding(
    table: pd.DataFrame, gaps: dict[str, dict], fresh: dict[str, dict], missed: dict[str, dict], options: Options
) -> tuple[str, str]:
    """Which method, by how much; and how sure that is, empty where there is no lead to be sure of."""
    order = table[table["complete"]].sort_values(["macro", "method"], ascending=[False, True])
    ranked, tuned = order[order["method"] != APART], order[order["method"] == APART]
    beside = f" Fine-tuning, which trains everything: {printed(tuned['macro'].iloc[0])}." if len(tuned) else ""
    tasks = plural(int(table["n_tasks"].max()), "task")
    if ranked.empty:
        return f"{'only fine-tuning' if len(tuned) else 'no method'} has a score on every task.{beside}", ""
    scores = [rounded(value) for value in ranked["macro"]]
    first = ranked["method"].head(scores.count(scores[0])).tolist()
    names = listed(style.method(name) for name in style.methods(first))
    if len(ranked) == 1:
        return f"{names} scores {scores[0]} on average over {tasks}; no other method has them all.{beside}", ""
    if len(first) > 1:
        text = f"{names} share the highest macro score, {scores[0]}, over {tasks}."
    else:
        text = (
            f"{names} has the highest macro score over {tasks}, {scores[0]}, ahead of "
            f"{style.method(ranked['method'].iloc[1])} with {printed(ranked['macro'].iloc[1])}."
        )
    return text + beside, (
        _basis(fresh[first[0]])
        + _missed(missed)
        + ("" if missed and not gaps else _lead(gaps, ranked["method"].tolist(), options))
    ).strip()


def _basis(row: dict) -> str:
    """What the highest macro is worth on fresh seeds."""
    if pd.isna(row["fresh"]):
        return ""
    how = {row["n_tasks"]: "confirmed", 0: "estimated by holding out seeds, not confirmed"}
    kind = how.get(row["n_confirmed"], f"confirmed on {row['n_confirmed']} of {row['n_tasks']} tasks, else estimated")
    interval = "" if pd.isna(row["lower"]) else f" ({printed(row['lower'])} to {printed(row['upper'])})"
    return f" On fresh seeds {style.method(row['method'])} is worth {printed(row['fresh'])}{interval}, {kind}."


def _missed(missed: dict[str, dict]) -> str:
    """That what the others should be compared with cannot be."""
    return "".join(
        f" {style.method(name)} cannot be compared with the others: {row['reason']}." for name, row in missed.items()
    )


def _lead(gaps: dict[str, dict], ranked: list[str], options: Options) -> str:
    """What :mod:`analysis.reports.comparison` says of the reference and the best of the others."""
    row = next((gaps[method] for method in ranked if method in gaps), None)
    if row is None:
        return (
            " Nothing could have been shown of that lead: no seed that took no part in the choice has a score for it."
        )
    reference, other = style.method(row["reference"]), style.method(row["method"])
    kind = comparison.verdict(row, options.margin)
    if kind == IMPOSSIBLE and not pd.isna(row["safe_seeds"]):
        safe = confirmation.seeds(row["safe_seeds"])
        return (
            " Runs may collapse, so nothing could have been shown of that lead with so few seeds; it would need at "
            f"least {safe}."
        )
    if kind == IMPOSSIBLE:
        return " With so few seeds nothing could have been shown of that lead."
    lower, upper = comparison.ends(row)
    size = (
        f"{printed(-row['difference'], sign=True)} points, {printed(-upper, sign=True)} to {printed(-lower, sign=True)}"
    )
    if kind == "better":
        return f" That {other} is better is shown for other seeds on these tasks ({reference} less {other}: {size})."
    if kind == "worse":
        return f" That {reference} is better than {other} is shown for other seeds on these tasks: {size}."
    if kind == "equal":
        return f" {reference} and {other} are equal within {printed(options.margin)} points: {size}."
    needed = comparison.seeds_needed(row)
    more = f"about {needed}" if needed else f"more than {comparison.MOST_SEEDS}"
    return (
        f" That {reference} is better than {other} is not shown ({size}): a lead of "
        f"{printed(comparison.detectable(row))} points would have been found in 80 of 100 cases, and one like this "
        f"would need {more} fresh seeds per cell."
    )


def caveats(frame: pd.DataFrame, planned: pd.DataFrame | None = None) -> list[str]:
    """What a careful reader should know before quoting a number; ``planned`` has a row per cell of the study."""
    winners = best_assignments(assignments(frame))
    scored = winners.dropna(subset="median")
    notes = []
    if scored["n_assignments"].max() > 1:
        tried = span(scored["n_assignments"], "assignment")
        notes.append(
            "Assignments were chosen by the same dev scores that are reported, so every score is optimistic, the more "
            f"so the more assignments a method had ({tried} per cell here); what they are worth on fresh seeds is said "
            "beside them."
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
        notes.append(f"{failed} failed and {lost['diverged']:,} diverged (†: seeds of a chosen assignment).")
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
