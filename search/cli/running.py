"""Training on this machine, or from here on a cluster."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search._words import trials
from search.cli._shared import (
    FAILED,
    INTERRUPTED,
    Confirm,
    StudyFile,
    confirming,
    fail,
    faults,
    load,
    say,
    say_if_large,
    unpinned,
)

if TYPE_CHECKING:
    from search.tune.trainable import FailureKind
    from search.tune.tuner import Outcome


def register(app: typer.Typer) -> None:
    """Add the commands to ``aot``."""
    app.command(
        epilog="Examples: `aot run studies/demo.yaml`, and the same command again trains what is missing; "
        "`aot run studies/demo.yaml --confirm 5`"
    )(run)


def run(
    study_file: StudyFile,
    address: Annotated[
        str | None, typer.Option(help="An existing Ray cluster, such as `auto` or `HOST:6379`; else this machine.")
    ] = None,
    confirm: Confirm = None,
) -> None:
    """Train every trial of a study that is not finished yet; Ctrl-C leaves everything resumable."""
    with faults():
        study = confirming(load(study_file), confirm)  # before Ray is imported: a mistake is told within seconds
    if study.unpinned:
        fail(
            f"{unpinned(study)}, so that nobody could say later what was trained; connect to the hub, give folders "
            "(data_dir for data), or name the commit of a backbone that is in the cache with revision:"
        )
    with faults():
        from search.planning import texts

        say_if_large(study)
        for line in texts.warnings(texts.describe(study)):
            say(line)
    option = "" if confirm is None else f" --confirm {confirm}"
    again = f"aot {'submit' if _in_ray_job() else 'run'} {_named(study_file)}{option}"
    from search.errors import RunError, StudyBusyError
    from search.tune import tuner
    from search.tune.view import View

    view = View()
    with faults(StudyBusyError, RunError):
        try:
            outcome = tuner.run(study, address=address, view=view)
        except KeyboardInterrupt:
            reached = view.board.reached if view.board.total else "nothing was trained yet"
            say(f"stopped: {reached}. What is finished is kept; go on with: {again}")
            raise typer.Exit(INTERRUPTED) from None
    cut_short = f", {outcome.pruned} cut short" if outcome.pruned else ""
    say(
        f"{outcome.finished} finished, {outcome.diverged} diverged, {outcome.failed} failed{cut_short}; "
        f"{outcome.skipped} were done before"
    )
    if study.confirm:
        say(_confirmed(outcome))
    if outcome.stopped:
        say(f"the budget ends the search: {outcome.stopped}. Go on with a larger one: {again}")
    if outcome.failed:
        for kind, reasons in outcome.reasons.items():
            say(_advice(kind, reasons, again))
        say(f"the reason of each failed trial: aot ui {_named(study_file)}")
        raise typer.Exit(FAILED)
    say(f"see the results with: aot report {_named(study_file)} --out report")


def _confirmed(outcome: Outcome) -> str:
    """How many trials confirm what is selected, and where there is none."""
    words = f"{trials(outcome.confirmed)} confirmed what is selected; {outcome.confirmed_before} were done before"
    if not outcome.unconfirmed:
        return words
    cells = "1 cell is" if outcome.unconfirmed == 1 else f"{outcome.unconfirmed} cells are"
    return f"{words}; {cells} not confirmed, as the search there is not over or selected nothing"


def _advice(kind: FailureKind, reasons: Sequence[str], again: str) -> str:
    """What failed in one way, with the commonest reason, and what helps against it."""
    (reason, _), *others = Counter(reasons).most_common()
    more = f" (and {len(others)} other reason{'s' if len(others) > 1 else ''})" if others else ""
    shown = f"{reason[:300]}{more}"
    number = f"{len(reasons)} failed"
    return {
        "lasting": f"{number} and would fail again as they are: {shown}. Correct what it names, then: {again}",
        "memory": f"{number} for want of memory, alone in their packs: {shown}. Lower batch_size or max_length, or "
        f"take a larger device, then: {again}",
        "passing": f"{number} for a reason that may pass: {shown}. Train them again with: {again}",
        "death": f"{number} as their worker died again and again, often for want of memory: {shown}. Look at the "
        f"machine, or lower batch_size or max_length, then: {again}",
    }[kind]


def _named(study_file: Path) -> str:
    """The study as one would name it; a job has a copy, at a place that means nothing to who submitted it."""
    return "STUDY" if _in_ray_job() else str(study_file)


def _in_ray_job() -> bool:
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ
