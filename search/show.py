"""A plan as tables for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from search.plan import Plan, Size
from search.study import Study


def plan(study: Study, work: Plan, sizes: Sequence[Size], console: Console | None = None) -> None:
    """Print the cells of a plan and their sums, and the trainable parameters of each method and rank, to stdout."""
    console = console or Console()
    console.print(_cells(study, work), _parameters(study, sizes), sep="\n")


def _table(title: str) -> Table:
    """A table that spends no width on lines, so that names stay whole on 80 columns."""
    return Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, collapse_padding=True
    )


def _cells(study: Study, work: Plan) -> Table:
    counts = work.counts
    table = _table(f"Study {study.name}")
    table.show_footer = True
    table.add_column("backbone", f"{counts['cells']} cells", overflow="fold")
    table.add_column("task", "", overflow="fold")
    table.add_column("method", "", overflow="fold")
    for name in ("assignments", "trials", "finished", "packs"):
        table.add_column(name, f"{counts[name]:,}", justify="right", no_wrap=True)
    before = None
    for cell in work.cells:
        place = (cell.backbone, cell.task)
        if before is not None and place != before:
            table.add_section()
        shown = ("", "") if place == before else place
        numbers = (cell.assignments, len(cell.trials), cell.finished, len(cell.packs))
        table.add_row(*shown, cell.method, *(f"{number:,}" for number in numbers))
        before = place
    return table


def _parameters(study: Study, sizes: Sequence[Size]) -> Table:
    table = _table("Trainable parameters")
    for name in ("backbone", "method", "hyperparameters"):
        table.add_column(name, overflow="fold")
    for name in ("parameters", "+ head"):
        table.add_column(name, justify="right", no_wrap=True)
    before = ("", "")
    for size in sizes:
        place = (size.backbone, size.method)
        if before[0] and place[0] != before[0]:
            table.add_section()
        shown = ("" if place[0] == before[0] else place[0], "" if place == before else place[1])
        table.add_row(*shown, _hyperparameters(study, size), *_counts(size))
        before = place
    return table


def _hyperparameters(study: Study, size: Size) -> str:
    """Those that the study sets itself; the rest have the method's defaults."""
    names = {name for task in study.tasks for name in study.grids(task.name, size.method)}
    return ", ".join(f"{name}={value}" for name, value in size.hyperparameters.items() if name in names)


def _counts(size: Size) -> tuple[str, str]:
    if size.parameters is None:
        return "unknown offline", ""
    heads = sorted(size.heads.values())
    ends = heads if len(heads) < 2 else (heads[0], heads[-1])
    return f"{size.parameters:,}", " - ".join(f"{head:,}" for head in ends)
