"""A finished grid under other strategies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from search.cli._shared import StudyFile, fail, faults, load, say

if TYPE_CHECKING:
    from search.replay import Replay
    from search.study import Study


class Strategy(StrEnum):
    """``search.strategy``."""

    grid = "grid"
    random = "random"
    tpe = "tpe"


class Rule(StrEnum):
    """``search.early_stopping``."""

    asha = "asha"
    median = "median"


def register(app: typer.Typer) -> None:
    """Add the command to ``aot``."""
    app.command(
        epilog="Examples: `aot replay studies/real_small.yaml --strategy tpe --n 8 --promote 0.25`; "
        "`aot replay studies/real_small.yaml --all`"
    )(replay)


def replay(
    study_file: StudyFile,
    strategy: Annotated[Strategy | None, typer.Option(help="How assignments are chosen.")] = None,
    n: Annotated[int | None, typer.Option(min=1, help="Assignments per cell, for random and tpe.")] = None,
    promote: Annotated[
        float | None, typer.Option(help="The part of the assignments that gets all seeds, such as 0.25.")
    ] = None,
    early_stopping: Annotated[
        Rule | None, typer.Option(help="Cut trials short that fall behind in their cell.")
    ] = None,
    grace_epochs: Annotated[int, typer.Option(min=1, help="None is cut short before this epoch.")] = 1,
    reduction_factor: Annotated[float, typer.Option(help="ASHA: one in so many goes on at each rung.")] = 3.0,
    everything: Annotated[bool, typer.Option("--all", help="Compare the usual strategies instead.")] = False,
    places: Annotated[int, typer.Option(min=1, help="Trials at once.")] = 2,
    repeats: Annotated[int, typer.Option(min=1, help="Search seeds that random and tpe are played with.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")] = False,
) -> None:
    """Play a finished grid again under another strategy: what it would have cost and selected. Nothing is trained."""
    if everything == (strategy is not None):
        fail("give --strategy grid, random or tpe, or --all")
    if strategy in (Strategy.random, Strategy.tpe) and n is None:
        fail(f"--strategy {strategy} needs --n, the assignments to try per cell")
    from pydantic import ValidationError

    from search import replay as player
    from search.known import known
    from search.plan import plan
    from search.study import Search

    rule = early_stopping and {
        "rule": early_stopping,
        "grace_epochs": grace_epochs,
        "reduction_factor": reduction_factor,
    }
    settings: dict[str, Any] = {"strategy": strategy or "grid", "n": n, "promote": promote, "early_stopping": rule}
    with faults(player.ReplayError):
        study = load(study_file, offline=True)
        try:
            chosen = [Search.model_validate(settings, strict=False)]
        except ValidationError as error:
            fail("; ".join(f"--{'-'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()))
        if everything:
            chosen = player.usual(max(cell.assignments for cell in plan(study).cells))
        recorded = known(study.name, study.folder, study.tracking, say, curves=True)
        searches = {search.words: search for search in [Search(), *chosen]}
        found = {name: player.repeated(study, recorded, one, places, repeats) for name, one in searches.items()}
    if as_json:
        values = {name: [one.to_json() for one in replays] for name, replays in found.items()}
        typer.echo(json.dumps({"study": study.name, "places": places, "strategies": values}, indent=2))
        return
    console = Console()
    console.print(_costs(study.name, found))
    if not everything:
        console.print(_choices(study, found["grid"][0], list(found.values())[-1][0]))


_NUMBERS = ("trials", "pruned", "seconds", "regret", "worst", "agreeing")


def _costs(study: str, found: Mapping[str, Sequence[Replay]]) -> Table:
    """What each strategy spends, and what it loses against the full grid; means over the search seeds."""
    table = Table(title=f"Replay of {study}", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column("strategy", no_wrap=True)
    for name in ("trials", "cut", "cost", "%", "lost", "most", "equal"):
        table.add_column(name, justify="right")
    whole = found["grid"][0].seconds
    for name, replays in found.items():
        mean = {of: fmean(getattr(one, of) for one in replays) for of in _NUMBERS}
        cells = len(replays[0].choices)
        table.add_row(
            name,
            f"{mean['trials']:,.0f}",
            f"{mean['pruned']:,.0f}",
            _duration(mean["seconds"]),
            f"{100 * mean['seconds'] / whole:.0f}",
            f"{mean['regret']:.2f}",
            f"{mean['worst']:.2f}",
            f"{mean['agreeing']:.0f}/{cells}",
        )
    table.caption = (
        "cut: trials cut short. cost: time of one device; %: of the grid's. lost: points that the median over seeds of "
        "the selected assignment lies below that of the grid's own, mean over cells; most: in the worst cell; equal: "
        f"cells without a loss. random and tpe: means over {max(map(len, found.values()))} search seeds. "
        f"{found['grid'][0].places} trials at once."
    )
    table.caption_justify = "left"
    return table


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _duration(seconds: float) -> str:
    return f"{seconds / 60:,.0f} min" if seconds < 36_000 else f"{seconds / 3_600:,.1f} h"


def _choices(study: Study, grid: Replay, other: Replay) -> Table:
    """Cell by cell: what a strategy (with its first search seed) selects, where that is not what the grid does."""
    table = Table(title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for name in ("backbone", "task", "method", "selected"):
        table.add_column(name, overflow="fold", no_wrap=name == "selected")
    for name in ("score", "grid's"):
        table.add_column(name, justify="right")
    best = {choice.cell: choice for choice in grid.choices}
    for choice in other.choices:
        if choice.assignment_id == best[choice.cell].assignment_id:
            continue
        _, task, method = choice.cell
        several = [
            n for n, values in study.grids(task, method).items() if isinstance(values, tuple) and len(values) > 1
        ]
        chosen = ", ".join(f"{n} {choice.hyperparameters[n]}" for n in several if n in choice.hyperparameters)
        table.add_row(*choice.cell, chosen or "nothing", _score(choice.score), _score(choice.best))
    table.title = f"Selected otherwise than by the grid, in {table.row_count} of {len(other.choices)} cells"
    return table
