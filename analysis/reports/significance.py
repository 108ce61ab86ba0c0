"""Is the difference real? Planned comparisons over seeds and over tasks, and what they could have shown."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from analysis import estimates, significance, style
from analysis.evidence import evidence
from analysis.exact import LEVEL
from analysis.planned import planned
from analysis.references import uncompared
from analysis.reports import comparison
from analysis.reports._section import DEFAULT, Options, Section, groups, heading, plural, slug, span
from analysis.reports._tested import tested
from analysis.selection import CELL, is_scored
from analysis.significance import IMPOSSIBLE, MACRO, SHOWN
from analysis.tables import EMPTY, Cell, Table, p_value, printed

TITLE = "Is the difference real?"
POSITION = 120
_INTRO = (
    "Exact tests, as a second opinion. Which method is better, and whether two are equal in practice, is answered by "
    "the intervals of Method against method, and their answer counts; it stands here in a column of its own. These "
    "tests suppose nothing about how scores are spread, say whether the design could have shown anything, and ask of "
    "other tasks as well. They use fewer scores: fresh seeds of the best assignments where they were confirmed, else "
    "only seeds held out of a choice made with the first half, and means instead of medians; so their differences are "
    "others. Three answers: shown (p below 0.05 after Holm's correction in its family), not shown (beside the "
    "difference that would have been found in 80 of 100 cases), and could not have been shown, where no scores at all "
    "would have got there. A difference that is not shown is not therefore absent. Fine-tuning, which trains "
    "everything, stands outside the family and is not corrected."
)
_UNTESTED = (
    "Nothing can be tested: every assignment has one seed at most, and that seed chose it. Train two seeds or more, or "
    "the best assignments on fresh ones (aot run STUDY --confirm 5)."
)


@dataclass(frozen=True)
class Significance:
    """The two tables of :mod:`analysis.significance`. ``given``: the reference was named, not found in the scores.

    ``intervals``: what the interval on fresh seeds says, by benchmark, backbone and method. ``untested``: methods have
    scores, but none that took no part in a choice. ``passed``: where the best method cannot be compared.
    """

    over_tasks: pd.DataFrame
    over_seeds: pd.DataFrame
    intervals: dict[tuple[str, str, str], str] = field(default_factory=dict)
    given: bool = False
    untested: bool = False
    passed: frozenset[tuple[str, str]] = frozenset()


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> Significance:
    """Both families of tests, of the comparisons that ``options.against`` plans."""
    scores = evidence(frame, options.confirmation)
    plan = planned(options.against, frame["method"])
    found = significance.comparisons(frame, scores, plan, options.confirmation)
    fresh = estimates.estimates(frame, options.confirmation)
    left = uncompared(fresh.cells, fresh.macros, plan)
    left = left[left["is_reference"].astype(bool)]
    several = frame[is_scored(frame)].drop_duplicates(CELL).duplicated(CELL[:3]).any()
    return Significance(
        significance.over_tasks(found),
        significance.over_seeds(found),
        _intervals(estimates.differences(fresh, plan), options.margin),
        plan.reference is not None,
        bool(several) and scores.empty,
        frozenset(zip(left["benchmark"], left["backbone"], strict=True)),
    )


def _intervals(differences: pd.DataFrame, margin: float) -> dict[tuple[str, str, str], str]:
    rows = differences.to_dict("records")
    return {(r["benchmark"], r["backbone"], r["method"]): comparison.verdict(r, margin) for r in rows}


def exports(data: Significance) -> dict[str, pd.DataFrame]:
    """``significance_tasks.csv`` and ``significance_seeds.csv``."""
    return {"significance_tasks": data.over_tasks, "significance_seeds": data.over_seeds}


def render(data: Significance) -> Section | None:
    """Per benchmark and backbone: a row per method over seeds and one over tasks, and a grid of methods and tasks."""
    if data.untested:
        return Section(TITLE, _INTRO, (_UNTESTED,))
    blocks: list[Table | str] = []
    tasks = {(benchmark, backbone): rows for benchmark, backbone, rows in groups(data.over_tasks)}
    for benchmark, backbone, rows in groups(data.over_seeds):
        macro, single = rows[rows["task"] == MACRO], rows[rows["task"] != MACRO]
        if macro["n_tasks"].max() > 1:
            blocks.append(_macro(benchmark, backbone, macro, data))
            blocks.append(_over_tasks(benchmark, backbone, tasks[benchmark, backbone], data))
        blocks.append(_by_task(benchmark, backbone, single, data))
    if not blocks:
        return None
    return Section(TITLE, _INTRO, (_count(data), *blocks))


def _count(data: Significance) -> str:
    """How many comparisons could have been shown, and how many were."""
    macro = data.over_seeds["task"] == MACRO
    kinds = {
        "over seeds, on all tasks together": data.over_seeds[macro],
        "over seeds, task by task": data.over_seeds[~macro],
        "over tasks": data.over_tasks,
    }
    parts = []
    for name, rows in kinds.items():
        possible, shown = (int(n) for n in ((rows["outcome"] != IMPOSSIBLE).sum(), (rows["outcome"] == SHOWN).sum()))
        parts.append(f"{name}, {possible:,} of {plural(len(rows), 'comparison')} could be shown and {shown:,} were")
    text = "; ".join(parts) + "."
    return text[0].upper() + text[1:]


def _macro(benchmark: str, backbone: str, table: pd.DataFrame, data: Significance) -> Table:
    rows = []
    for method, row in _ordered(table):
        seeds = f"{row['n_method']} and {row['n_reference']}"
        needed = f"with {seeds} seeds; {row['needed']} of each would be needed"
        texts = (printed(row["difference"], sign=True), str(row["n_tasks"]), seeds)
        interval = Cell(data.intervals.get((benchmark, backbone, method), EMPTY))
        rows.append((Cell(style.method(method)), *map(Cell, texts), *_answer(row, needed), interval))
    notes = (
        "Difference of the means over seeds, averaged over tasks, in points, method minus reference: what is tested. p "
        "is for other seeds on these tasks: scores change places between the two methods within each task, in every "
        f"way. Seeds counted are those that chose nothing. {_kinds(table)} {_APART} Answer of the interval: of all "
        "seeds, as in Method against method; where the two differ, it counts.",
    )
    columns = (
        "Method",
        "Difference",
        "Tasks",
        "Seeds at least, of method and reference",
        *_COLUMNS,
        "Answer of the interval",
    )
    title = f"{heading(benchmark, backbone)}: each method against {_reference(table, data)}, with other seeds"
    name = slug("significance-macro", benchmark, backbone)
    return Table(name, title, columns, tuple(rows), notes, place=(benchmark, backbone))


def _over_tasks(benchmark: str, backbone: str, table: pd.DataFrame, data: Significance) -> Table:
    rows = []
    for method, row in _ordered(table):
        interval = f"{printed(row['lower'], sign=True)} to {printed(row['upper'], sign=True)}"
        needed = f"with {plural(row['n_tasks'], 'task')}; {row['needed']} would be needed"
        texts = (
            printed(row["typical"], sign=True),
            EMPTY if pd.isna(row["lower"]) else interval,
            f"{row['wins']} / {row['ties']} / {row['losses']}",
        )
        rows.append((Cell(style.method(method)), *map(Cell, texts), *_answer(row, needed)))
    notes = (
        "p is for other tasks like these, by Wilcoxon's signed-rank test on the differences of means. The typical "
        "difference (Hodges-Lehmann) and its interval belong to that test: the interval holds what it does not reject; "
        f"of fewer than six tasks there is none of 95 %. {_APART}",
    )
    columns = ("Method", "Typical difference", "95 % interval", "Better / equal / worse", *_COLUMNS)
    title = f"{heading(benchmark, backbone)}: each method against {_reference(table, data)}, on other tasks"
    name = slug("significance-tasks", benchmark, backbone)
    return Table(name, title, columns, tuple(rows), notes, place=(benchmark, backbone))


_APART = "‡ outside the family, not corrected."
_COLUMNS = ("p", "Least possible p", "Found in 80 of 100 cases", "Answer")


def _answer(row: dict, needed: str) -> tuple[Cell, Cell, Cell, Cell]:
    """p, the least possible, the detectable difference, and the answer in words."""
    p = row["p_holm"] if row["family"] else row["p"]
    words = f"{row['outcome']} {needed}" if row["outcome"] == IMPOSSIBLE else row["outcome"]
    shown = row["outcome"] == SHOWN
    words += f": {'better' if row['difference'] > 0 else 'worse'}" if shown else ""
    detectable = EMPTY if pd.isna(row["detectable"]) else f"{printed(row['detectable'])} points"
    return (
        Cell(p_value(p), "best" if shown else "", "" if row["family"] else "‡"),
        Cell(p_value(row["p_least_holm"])), Cell(detectable), Cell(words, "best" if shown else ""),
    )  # fmt: skip


def _by_task(benchmark: str, backbone: str, table: pd.DataFrame, data: Significance) -> Table:
    cells = {(row["method"], row["task"]): row for row in table.to_dict("records")}
    tasks = style.tasks(table["task"])
    rows = []
    for method in style.methods(table["method"]):
        row = [cells.get((method, task)) for task in tasks]
        rows.append((Cell(style.method(method)), *map(tested, row)))
    possible = table[table["outcome"] != IMPOSSIBLE]
    limits = ""
    hopeless = table[table["outcome"] == IMPOSSIBLE]
    if len(hopeless):
        least, n = (hopeless[["n_method", "n_reference"]].min(axis=1), hopeless["needed"])
        limits = (
            f"† could not have been shown with {span(least, 'seed')}; {_range(n)} of each would be needed, seeds that "
            "chose nothing."
        )
    found = possible["detectable"].dropna()
    detectable = (
        f"Where it could, differences of {printed(found.min())} to {printed(found.max())} points would have been found "
        "in 80 of 100 cases (median {}).".format(printed(found.median()))
        if len(found)
        else ""
    )
    notes = (
        "Difference of the means over seeds, and in parentheses p for that comparison alone; bold where p is below "
        f"{LEVEL} after Holm within the task. {_kinds(table)} {_APART}",
        *(text for text in (limits, detectable) if text),
    )
    columns = ("Method", *(style.task(t) for t in tasks))
    title = f"{heading(benchmark, backbone)}: each method against {_reference(table, data)}, task by task"
    name = slug("significance-seeds", benchmark, backbone)
    return Table(name, title, columns, tuple(rows), notes, place=(benchmark, backbone))


def _ordered(table: pd.DataFrame) -> list[tuple[str, dict]]:
    found = {row["method"]: row for row in table.to_dict("records")}
    return [(method, found[method]) for method in style.methods(found)]


def _reference(table: pd.DataFrame, data: Significance) -> str:
    name = style.method(table["reference"].iloc[0])
    if data.given:
        return name
    first = table.iloc[0]
    passed = (first["benchmark"], first["backbone"]) in data.passed
    return f"{name} (the best{' that can be compared' if passed else ''})"


def _kinds(table: pd.DataFrame) -> str:
    kinds = sorted(set(table["kind"]))
    if kinds == ["confirmed"]:
        return "All scores are of confirmation seeds."
    if kinds == ["held out"]:
        return "All scores are of seeds that were held out of the choice, which the other half made."
    return "Scores are of confirmation seeds where there are any, else of seeds held out of the choice."


def _range(values: pd.Series) -> str:
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low} to {high}"
