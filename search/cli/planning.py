"""What a study will train, and what that will take."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli._shared import StudyFile, fail, faults, load, say

if TYPE_CHECKING:
    from search.estimates import Pace
    from search.journal import Cell
    from search.known import Known
    from search.plan import Plan
    from search.study import Study


def register(app: typer.Typer) -> None:
    """Add the commands to ``aot``."""
    app.command(
        "plan",
        epilog="Examples: `aot plan studies/glue_roberta_base.yaml`; "
        "`aot plan studies/demo.yaml --calibrate --price 0.05`",
    )(plan_command)


def plan_command(
    study_file: StudyFile,
    calibrate: Annotated[
        bool,
        typer.Option("--calibrate", help="Train a few steps of every cell that has no finished trial, to time it."),
    ] = False,
    devices: Annotated[
        int | None, typer.Option(min=1, help="GPUs, or CPU cores; default: one GPU, or this machine's cores.")
    ] = None,
    price: Annotated[float | None, typer.Option(min=0, help="What a device costs for an hour.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")] = False,
) -> None:
    """Show what a study will train: cells, assignments, trials, packs, what is finished, trainable parameters.

    Also how long that takes and what it costs, by the study's own trials that have ended, or by a calibration.
    """
    if price is not None and not math.isfinite(price):
        fail(f"--price must be a number of some currency, but got {price:g}")
    from search import show
    from search.asked import Asked
    from search.estimates import estimate
    from search.journal import local_folder
    from search.known import known
    from search.plan import plan, sizes

    with faults():
        study = load(study_file, offline=not calibrate)
        ended = known(study.name, study.folder, study.tracking, say)
        work = plan(study, ended, Asked(local_folder(study.folder), say))
        counts = sizes(study, work)
        found = estimate(study, work, _paces(study, work, ended, calibrate), devices, price)
    if as_json:
        parts = {"trainable_parameters": [c.to_json() for c in counts], "estimate": found.to_json() if found else None}
        typer.echo(json.dumps({**work.to_json(), **parts}, indent=2))
    else:
        show.plan(study, work, counts)
        show.estimate(found)
    if not work.pending:
        say(f"nothing is left to train; see the results with: aot report {study_file} --out report")
    elif found is None:
        say(f"no trial has ended that would tell how long it takes; find out with: aot plan {study_file} --calibrate")
    elif found.unknown:
        say(f"{found.unknown} cells have no estimate; find out with: aot plan {study_file} --calibrate")


def _paces(study: Study, work: Plan, ended: dict[str, Known], calibrate: bool) -> dict[Cell, Pace]:
    """From the study's own trials; else from a calibration or, without one, from cells that resemble them."""
    from search.estimates import from_analogy, from_trials, name_of

    paces = from_trials(work, ended)
    missing = [cell for cell in work.cells if cell.pending and name_of(cell) not in paces]
    if not missing or not (calibrate or paces):
        return paces
    from search import calibration  # trains, and needs what training needs

    if calibrate:
        paces |= calibration.calibrate(study, missing, say)
    return paces | from_analogy(work, paces, calibration.tokens_of(study))
