"""A finished grid under other strategies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table

from search._words import duration, trials
from search.cli._shared import StudyFile, fail, faults, load, say, unpinned

if TYPE_CHECKING:
    from search.strategy.replay import Replay
    from search.study import Study


class StrategyName(StrEnum):
    """``search.strategy``."""

    grid = "grid"
    random = "random"
    tpe = "tpe"


class RuleName(StrEnum):
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
    strategy: Annotated[StrategyName | None, typer.Option(help="How assignments are chosen.")] = None,
    n: Annotated[int | None, typer.Option(min=1, help="Assignments per cell, for random and tpe.")] = None,
    promote: Annotated[
        float | None, typer.Option(help="The part of the assignments that gets all seeds, such as 0.25.")
    ] = None,
    early_stopping: Annotated[
        RuleName | None, typer.Option(help="Cut trials short that fall behind in their cell.")
    ] = None,
    grace_epochs: Annotated[
        int | None, typer.Option(min=1, help="None is cut short before this epoch; default: 1.", show_default=False)
    ] = None,
    reduction_factor: Annotated[
        float | None, typer.Option(help="ASHA: one in so many goes on at each rung; default: 3.", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Compare the usual strategies instead.")] = False,
    places: Annotated[int, typer.Option(min=1, help="Trials at once.")] = 2,
    repeats: Annotated[int, typer.Option(min=1, help="Search seeds that random and tpe are played with.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")] = False,
) -> None:
    """Play a finished grid again under another strategy: what it would have cost and selected. Nothing is trained."""
    details = {"grace_epochs": grace_epochs, "reduction_factor": reduction_factor}
    rule = {"rule": early_stopping, **{name: value for name, value in details.items() if value is not None}}
    settings: dict[str, Any] = {"n": n, "promote": promote, "early_stopping": rule if early_stopping else None}
    _check(strategy, everything, {**settings, **details})
    from pydantic import ValidationError

    from search.planning.plan import plan
    from search.strategy import replay as player
    from search.study import Search
    from search.tracking.records import read_records

    with faults(player.ReplayError):
        study = load(study_file, offline=True)
        if study.unpinned:
            say(f"{unpinned(study)}: trials that were run are not recognised here")
        try:
            chosen = [Search.model_validate({"strategy": strategy or "grid", **settings}, strict=False)]
        except ValidationError as error:
            fail("; ".join(f"{_option(e['loc'][-1])} {_rule(e['msg'])}" for e in error.errors()))
        if everything:
            chosen = player.usual(max(cell.assignments for cell in plan(study).cells))
        records = read_records(study.name, study.folder, study.tracking, say, curves=True)
        searches = {search.words: search for search in [Search(), *chosen]}
        found = {name: player.repeated(study, records, one, places, repeats) for name, one in searches.items()}
        others = player.others(study, records)
    if others:
        say(f"{trials(len(others))} of other versions of the study left out")
    if as_json:
        values = {name: [one.to_json() for one in replays] for name, replays in found.items()}
        typer.echo(json.dumps({"study": study.name, "places": places, "strategies": values}, indent=2))
        return
    from search._words import wide_console

    console = wide_console()
    console.print(_costs(study.name, found))
    if len(found) == 2:
        console.print(_choices(study, found["grid"][0], list(found.values())[-1][0]))


def _check(strategy: StrategyName | None, everything: bool, options: Mapping[str, Any]) -> None:
    """Options that say nothing beside the others are a mistake, as in a study."""
    given = [_option(name) for name, value in options.items() if value is not None]
    if everything == (strategy is not None):
        fail("give --strategy grid, random or tpe, or --all")
    if everything and given:
        fail(f"--all compares the usual strategies; leave out {', '.join(given)}, or give --strategy")
    if strategy in (StrategyName.random, StrategyName.tpe) and options["n"] is None:
        fail(f"--strategy {strategy} needs --n, the assignments to try per cell")
    if strategy is StrategyName.grid and options["n"] is not None:
        fail("--n means nothing with --strategy grid, which takes all; leave it out, or use random or tpe")
    details = [name for name in given if name in ("--grace-epochs", "--reduction-factor")]
    if details and options["early_stopping"] is None:
        fail(f"{' and '.join(details)} without --early-stopping asha or median: say which rule")


def _rule(message: str) -> str:
    """Pydantic's words as a rule."""
    return message.removeprefix("Value error, ").replace("Input should be", "must be")


def _option(name: str | int) -> str:
    return f"--{str(name).replace('_', '-')}"


_NUMBERS = ("trials", "pruned", "seconds", "regret", "worst", "agreeing")


def _costs(study: str, found: Mapping[str, Sequence[Replay]]) -> Table:
    """What each strategy spends, and what it loses against the full grid; means over the search seeds."""
    table = Table(title=f"Replay of {study}", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column("strategy", overflow="fold")
    confirmed = any(choice.fresh_seeds for replays in found.values() for one in replays for choice in one.choices)
    for name in ("trials", "cut", "cost", "%", "lost", "most", "equal", *(("confirmed",) if confirmed else ())):
        table.add_column(name, justify="right", no_wrap=True)
    whole = found["grid"][0].seconds
    for name, replays in found.items():
        mean = {of: fmean(getattr(one, of) for one in replays) for of in _NUMBERS}
        cells = len(replays[0].choices)
        table.add_row(
            name,
            f"{mean['trials']:,.0f}",
            f"{mean['pruned']:,.0f}",
            _cost(mean["seconds"]),
            f"{100 * mean['seconds'] / whole:.0f}",
            f"{mean['regret']:.2f}",
            f"{mean['worst']:.2f}",
            f"{mean['agreeing']:.0f}/{cells}",
            *([_confirmed(replays)] if confirmed else []),
        )
    seeds = max(map(len, found.values()))
    table.caption = (
        "cut: trials cut short. cost: time of one device; %: of the grid's. lost: points that the median over seeds of "
        "the selected assignment lies below that of the grid's own, mean over cells; most: in the worst cell; equal: "
        f"cells without a loss. {f'random and tpe: means over {seeds} search seeds. ' if seeds > 1 else ''}"
        f"{found['grid'][0].places} trials at once.{_CONFIRMED if confirmed else ''}"
    )
    table.caption_justify = "left"
    return table


_CONFIRMED = (
    " confirmed: median over fresh seeds, which took no part in the choice, of what was selected; mean over cells. "
    "k/n: no mean, as it was confirmed in k of n cells only."
)


def _confirmed(replays: Sequence[Replay]) -> str:
    """The confirmed score of what a strategy selects, where it is known in each cell; else in how many it is."""
    means = [one.confirmed for one in replays if one.confirmed is not None]
    if len(means) == len(replays):
        return f"{fmean(means):.2f}"
    there = [sum(choice.confirmed is not None for choice in one.choices) for one in replays]
    return f"{fmean(there):.0f}/{len(replays[0].choices)}"


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _cost(seconds: float) -> str:
    """Device-time, in minutes or hours where it is long: of a column one wants to compare."""
    if seconds < 600:
        return duration(seconds)
    return f"{seconds / 60:,.0f} min" if seconds < 36_000 else f"{seconds / 3_600:,.1f} h"


def _choices(study: Study, grid: Replay, other: Replay) -> Table:
    """Cell by cell: what a strategy (with its first search seed) selects, where that is not what the grid does."""
    table = Table(title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for name in ("backbone", "task", "method", "selected"):
        table.add_column(name, overflow="fold")
    for name in ("score", "grid's"):
        table.add_column(name, justify="right", no_wrap=True)
    from search._words import plain

    best = {choice.cell: choice for choice in grid.choices}
    for choice in other.choices:
        if choice.assignment_id == best[choice.cell].assignment_id:
            continue
        _, task, method = choice.cell
        several = [
            n for n, values in study.grids(task, method).items() if isinstance(values, tuple) and len(values) > 1
        ]
        chosen = ", ".join(f"{n} {choice.hyperparameters[n]}" for n in several if n in choice.hyperparameters)
        table.add_row(*plain(*choice.cell, chosen or "nothing", _score(choice.score), _score(choice.best)))
    table.title = f"Selected otherwise than by the grid, in {table.row_count} of {len(other.choices)} cells"
    return table
