"""What a study will train, and what that will take."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli._shared import StudyFile, fail, faults, load, say, say_if_large, unpinned

if TYPE_CHECKING:
    from search.planning.estimates import EpochTime
    from search.planning.plan import Plan
    from search.study import Study
    from search.tracking.records import TrialRecord
    from trainables.trial import CellKey


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
    from search.planning import memory, show, texts
    from search.planning.estimates import estimate
    from search.planning.plan import plan, sizes
    from search.strategy.proposals import ProposalLog
    from search.tracking.journal import local_folder
    from search.tracking.records import read_records

    with faults():
        study = load(study_file, offline=not calibrate)
        if study.unpinned:
            say(f"{unpinned(study)}: trials of other runs are not recognised here, and aot run will need them")
        say_if_large(study)
        records = read_records(study.name, study.folder, study.tracking, say)
        planned = plan(study, records, ProposalLog(local_folder(study.folder), say))
        counts = sizes(study, planned)
        described = texts.describe(study)
        found = estimate(study, planned, _epoch_times(study, planned, records, calibrate), devices, price)
    if as_json:
        parts = {"trainable_parameters": [c.to_json() for c in counts], "estimate": found.to_json() if found else None}
        parts["tasks"] = [facts.to_json() for facts in described]
        typer.echo(json.dumps({**planned.to_json(), **parts}, indent=2))
    else:
        show.print_tasks(described)
        show.print_plan(study, planned, counts)
        show.print_estimate(found)
    for line in (*texts.warnings(described), *memory.too_large(study, counts)):
        say(line)
    if not planned.pending:
        say(f"nothing is left to train; see the results with: aot report {study_file} --out report")
    elif found is None:
        say(f"no trial has ended that would tell how long it takes; find out with: aot plan {study_file} --calibrate")
    elif found.unknown:
        say(f"{found.unknown} cells have no estimate; find out with: aot plan {study_file} --calibrate")


def _epoch_times(
    study: Study, planned: Plan, records: dict[str, TrialRecord], calibrate: bool
) -> dict[CellKey, EpochTime]:
    """From the study's own trials; else from a calibration or, without one, from cells that resemble them."""
    from search.planning.estimates import from_analogy, from_trials

    epoch_times = from_trials(planned, records)
    missing = [cell for cell in planned.cells if cell.pending and cell.key not in epoch_times]
    if not missing or not (calibrate or epoch_times):
        return epoch_times
    from search.planning import calibration  # trains, and needs what training needs

    if calibrate:
        epoch_times |= calibration.calibrate(study, missing, say)
    return epoch_times | from_analogy(planned, epoch_times, calibration.tokens_of(study))
