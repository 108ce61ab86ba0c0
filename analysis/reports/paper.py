"""The published numbers beside ours, and what they say of the paper: ``aot report --paper``."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from analysis import style, verdict
from analysis.claims import check
from analysis.names import sentences
from analysis.published import published
from analysis.reports import _beside, _conclusions
from analysis.reports._beside import PaperComparison
from analysis.reports._section import DEFAULT, QUESTIONS, Answer, Options, Section, groups, heading, plural, slug
from analysis.selection import assignments, best_assignments
from analysis.tables import Cell, Table, printed

TITLE = "Beside the paper"
POSITION = 300
_INTRO = (
    "Our numbers and the published ones (Tables 2 and 3 of Ahead-of-Time P-Tuning). Where our backbone is one of the "
    "paper's, the difference is ours minus theirs as printed. Otherwise the paper's backbones stand there for "
    "orientation only, without a difference. Only tasks that we ran are shown, and the paper's macros are over them. "
    "A macro followed by (k/n) is over k of the n tasks. A cell is within the paper's deviation where the difference "
    "is at most its deviation over five seeds. Those are results as selected, ours and theirs. A conclusion is tested "
    "on the macros of seeds that took no part in the choice, as everywhere in this report: it holds or does not where "
    "the 95 % interval (±) of their difference says so, and is not shown where that leaves it open; each is taken for "
    "itself. In the numbers: there are no such seeds, and the noise of the results is not known. On a backbone that is "
    "not the paper's it is tested in direction only. Conclusions about speed and about trained weights are not tested."
)


@dataclass(frozen=True)
class Beside:
    """``comparisons``: ours and theirs, per benchmark and backbone. ``cells``, ``macros``: as ``analysis.verdict`` has
    them. ``claims``: as ``analysis.claims.check`` has them. ``margin``: points within which macros are on par."""

    comparisons: list[PaperComparison]
    cells: pd.DataFrame
    macros: pd.DataFrame
    claims: pd.DataFrame
    margin: float


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> Beside | None:
    """All of it, where ``paper`` is asked for and a benchmark of ours is the paper's; else ``None``."""
    if not options.paper or not set(frame["benchmark"]) & set(published()[0]["benchmark"]):
        return None
    winners = best_assignments(assignments(frame))
    cells = verdict.cells(winners)
    comparisons = _beside.comparisons(winners)
    return Beside(comparisons, cells, verdict.macros(cells), check(frame, options), options.margin)


def exports(data: Beside | None) -> dict[str, pd.DataFrame]:
    """``paper.csv``: a row per cell that both have; ``conclusions.csv``: a row per conclusion and place."""
    if data is None:
        return {}
    tables = {"conclusions": data.claims}
    return tables | ({"paper": data.cells} if len(data.cells) else {})


def answers(data: Beside | None) -> list[Answer]:
    """Did the paper hold: cells, macros, and how many of its conclusions, the first sentence of each."""
    if data is None:
        return []
    told = verdict.sentences(data.cells, data.macros, data.claims)
    firsts = [sentences(text)[0].removesuffix(".") for text in told[: 3 if len(data.cells) else 2]]
    return [Answer(QUESTIONS[3], ". ".join(firsts) + ".")]


def render(data: Beside | None) -> Section | None:
    """The verdict in words, the macros, the conclusions, then ours beside theirs per benchmark and backbone."""
    if data is None:
        return None
    told = verdict.sentences(data.cells, data.macros, data.claims)
    tables = [_macros(*group) for group in groups(data.macros)]
    tables += [*_conclusions.tables(data.claims, data.margin), *map(_beside.table, data.comparisons)]
    return Section(TITLE, _INTRO, (*told, *tables))


def _macros(benchmark: str, backbone: str, rows: pd.DataFrame) -> Table:
    by_method = rows.set_index("method")
    body = [
        (Cell(style.method(name)), *(Cell(text) for text in _gap(by_method.loc[name])))
        for name in style.methods(by_method.index)
    ]
    tasks = plural(int(rows["n_tasks"].max()), "task")
    title = f"{heading(benchmark, backbone)}: macro scores, ours and the paper's, over {tasks} of both"
    columns = ("Method", "Ours", "Paper", "Difference")
    name = slug("paper-macro", benchmark, backbone)
    return Table(name, title, columns, tuple(body), place=(benchmark, backbone))


def _gap(row: pd.Series) -> tuple[str, str, str]:
    return printed(row["ours"]), printed(row["paper"]), printed(row["difference"], sign=True)
