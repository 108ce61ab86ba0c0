"""Paired tests on examples, the standard error of a dev set, and what choosing on its examples flatters."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from analysis import examples, significance, style
from analysis.exact import LEVEL
from analysis.planned import planned
from analysis.reports._section import DEFAULT, Options, Section, groups, heading, plural, slug, span
from analysis.reports._tested import tested
from analysis.selection import assignments, best_assignments
from analysis.significance import IMPOSSIBLE
from analysis.tables import EMPTY, Cell, Table, printed

TITLE = "Would other examples agree?"
POSITION = 130
_INTRO = (
    "The models of the best assignments answered the same dev examples, so two methods are compared example by "
    "example. An example is one observation however many seeds answered it. The question is whether these very "
    "models would differ on other examples of the same kind; other seeds are another question (see the tests over "
    "seeds). The assignments, and each model's epoch, were chosen by these examples, which flatters methods that had "
    "more to choose from; no test here takes that back."
)


@dataclass(frozen=True)
class Examples:
    """The tables of :mod:`analysis.examples`. ``given``: the reference was named.

    ``left_out``: models that answered other examples; ``passed``: cells whose choice was not examined, for time.
    """

    compared: pd.DataFrame
    errors: pd.DataFrame
    optimism: pd.DataFrame
    given: bool = False
    left_out: int = 0
    passed: int = 0


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> Examples:
    """All of it, from the answers that ``options.predictions`` finds; empty where none were kept."""
    empty = Examples(*(pd.DataFrame(columns=c) for c in (examples.COMPARED, examples.ERRORS, examples.OPTIMISM)))
    if options.predictions is Options.predictions:  # nobody kept any
        return empty
    table = assignments(frame)
    winners = best_assignments(table)
    found, left_out = examples.answers(frame, winners, options.predictions, options.confirmation)
    if not found:
        return empty
    plan = planned(options.against, frame["method"])
    luck, passed = examples.optimism(frame, table, options.predictions)
    return Examples(
        examples.compared(found, significance.references(frame, options.confirmation), plan),
        examples.standard_errors(found),
        luck,
        plan.reference is not None,
        left_out,
        passed,
    )


def exports(data: Examples) -> dict[str, pd.DataFrame]:
    """``examples.csv``, ``standard_errors.csv`` and ``optimism.csv``, where answers were kept."""
    if data.errors.empty:
        return {}
    return {"examples": data.compared, "standard_errors": data.errors, "optimism": data.optimism}


def render(data: Examples) -> Section | None:
    """Per benchmark and backbone a grid of tests and one of standard errors; ``None`` without answers."""
    if data.errors.empty:
        return None
    blocks: list[Table | str] = []
    tests = {(benchmark, backbone): rows for benchmark, backbone, rows in groups(data.compared)}
    luck = {(benchmark, backbone): rows for benchmark, backbone, rows in groups(data.optimism)}
    for benchmark, backbone, rows in groups(data.errors):
        if (benchmark, backbone) in tests:
            blocks.append(_tests(benchmark, backbone, tests[benchmark, backbone], data))
        blocks.append(_errors(benchmark, backbone, rows))
        if (benchmark, backbone) in luck:
            blocks.append(_optimism(benchmark, backbone, luck[benchmark, backbone]))
    if data.left_out:
        blocks.append(
            f"{plural(data.left_out, 'model')} answered other examples than most of their task, or by another metric, "
            "and stand in none of these tables."
        )
    if data.passed:
        blocks.append(f"The luck of the choice was not examined in {plural(data.passed, 'cell')}, to save time.")
    return Section(TITLE, _INTRO, tuple(blocks))


def _tests(benchmark: str, backbone: str, table: pd.DataFrame, data: Examples) -> Table:
    cells = {(row["method"], row["task"]): row for row in table.to_dict("records")}
    tasks = style.tasks(table["task"])
    body = [
        (Cell(style.method(method)), *(tested(cells.get((method, task))) for task in tasks))
        for method in style.methods(table["method"])
    ]
    models = span({*table["n_models"], *table["n_reference_models"]}, "model")
    notes = [
        "Difference of the models' mean scores on dev, in points, and in parentheses p for that comparison alone; bold "
        f"where it is below {LEVEL} after Holm within the task. {models[0].upper()}{models[1:]} of each method, those "
        "of confirmation seeds where they were kept. Accuracy: the difference changes its sign in each example (with "
        "one model each, McNemar's exact test); F1 and Matthews: the methods change answers in each example, in every "
        f"way or in {examples.EXCHANGES:,}; correlations: {examples.RESAMPLES:,} paired bootstrap samples of the "
        "examples. ‡ outside the family, not corrected."
    ]
    found = table.loc[table["outcome"] != IMPOSSIBLE, "detectable"].dropna()
    if len(found):
        least, most = printed(found.min()), printed(found.max())
        notes.append(f"Differences of {least} to {most} points would have been found in 80 of 100 cases.")
    hopeless = table[table["outcome"] == IMPOSSIBLE]
    if len(hopeless):
        notes.append(
            f"† could not have been shown with {plural(int(hopeless['n_examples'].min()), 'example')}; "
            f"{hopeless['needed'].max()} would be needed."
        )
    name = style.method(table["reference"].iloc[0])
    named = name if data.given else f"{name} (the best)"
    title = f"{heading(benchmark, backbone)}: each method against {named}, example by example"
    columns = ("Method", *(style.task(task) for task in tasks))
    stem = slug("examples", benchmark, backbone)
    return Table(stem, title, columns, tuple(body), tuple(notes), place=(benchmark, backbone))


def _errors(benchmark: str, backbone: str, table: pd.DataFrame) -> Table:
    cells = {(row["method"], row["task"]): row for row in table.to_dict("records")}
    tasks = style.tasks(table["task"])
    body = []
    for method in style.methods(table["method"]):
        found = [cells.get((method, task)) for task in tasks]
        texts = [
            EMPTY if row is None else f"{printed(row['score'])} ± {printed(row['standard_error'])}" for row in found
        ]
        body.append((Cell(style.method(method)), *map(Cell, texts)))
    sizes = table.groupby("task")["n_examples"].max()
    columns = ("Method", *(f"{style.task(task)} ({sizes[task]:,})" for task in tasks))
    note = (
        "Mean score of the best assignment's models, and its standard error from the dev set having so many examples "
        "(in the head of each column). It is not the deviation over seeds, and differences of two methods on the same "
        "examples have a smaller one."
    )
    title = f"{heading(benchmark, backbone)}: standard errors of the dev sets"
    name = slug("standard-errors", benchmark, backbone)
    return Table(name, title, columns, tuple(body), (note,), folded=True, place=(benchmark, backbone))


def _optimism(benchmark: str, backbone: str, table: pd.DataFrame) -> Table:
    body = []
    for method in style.methods(table["method"]):
        own = table[table["method"] == method]
        texts = (span(own["n_assignments"], "assignment"), str(len(own)), printed(own["optimism"].mean(), 2, sign=True))
        body.append((Cell(style.method(method)), *map(Cell, texts)))
    note = (
        "The best assignment by one half of the dev examples: its median on that half less its median on the other, in "
        "points, averaged over random halves and tasks. Halves are noisier than the whole, so a choice by all examples "
        "is flattered less: by about 0.7 of this where luck with examples decides. Luck with seeds is not in it."
    )
    columns = ("Method", "To choose from", "Tasks", "Flattered by")
    title = f"{heading(benchmark, backbone)}: what choosing on the dev examples flatters"
    return Table(
        slug("optimism", benchmark, backbone), title, columns, tuple(body), (note,), place=(benchmark, backbone)
    )
