"""What a study will train, and what that will take."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli._shared import WRONG, Confirm, StudyFile, confirming, fail, faults, load, say, say_if_large, unpinned

if TYPE_CHECKING:
    from search.planning.estimates import EpochTime, Estimate
    from search.planning.place import Place
    from search.planning.plan import Plan
    from search.study import Study
    from search.tracking.records import TrialRecord
    from trainables.trial import CellKey


def register(app: typer.Typer) -> None:
    """Add the commands to ``aot``."""
    app.command(
        "plan",
        epilog="Examples: `aot plan studies/glue_roberta_base.yaml --confirm 5`; "
        "`aot plan studies/demo.yaml --calibrate --price 0.05`",
    )(plan_command)


def plan_command(
    study_file: StudyFile,
    calibrate: Annotated[
        bool,
        typer.Option("--calibrate", help="Train a few steps of every cell that has no finished trial, to time it."),
    ] = False,
    devices: Annotated[
        int | None, typer.Option(min=1, help="GPUs, or CPU cores; default: those that are there, or one GPU.")
    ] = None,
    price: Annotated[float | None, typer.Option(min=0, help="What a device costs for an hour.")] = None,
    confirm: Confirm = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")] = False,
) -> None:
    """Show what a study will train: cells, assignments, trials, packs, what is finished, trainable parameters.

    Also how long that takes and what it costs, by the study's own trials that have ended, or by a calibration; and
    whether resources, storage and MLflow are there. Exit code 2 where `aot run` would not
    begin: the storage cannot be written, or MLflow refuses this user.
    """
    if price is not None and not math.isfinite(price):
        fail(f"--price must be a number of some currency, but got {price:g}")
    from search.planning import checks, confirmation, memory, show, texts
    from search.planning.estimates import estimate, places
    from search.planning.kept import kept
    from search.planning.plan import plan, sizes
    from search.strategy.proposals import ProposalLog
    from search.tracking.journal import local_folder

    with faults():
        written = confirming(load(study_file, offline=not calibrate), confirm)
        if written.unpinned:
            say(f"{unpinned(written)}: trials of other runs are not recognised here, and aot run will need them")
        say_if_large(written)
        place = _place()
        words = place.words(written.resources)
        study = written.model_copy(update={"resources": place.decide(written.resources)})
        checked = [checks.resources(study, place.nodes, place.where), checks.storage(study), checks.tracking(study)]
        records = _records(study, away=not checked[-1].ok)
        planned = plan(study, records, ProposalLog(local_folder(study.folder), say), place.device(study.resources))
        counts, described = sizes(study, planned), texts.describe(study)
        answers = kept(study, planned, described)
        epoch_times = _epoch_times(study, planned, records, calibrate)
        there = devices or place.devices(study.resources)
        found = estimate(study, planned, epoch_times, there, price)
        later = confirmation.estimate(study, planned, records, epoch_times, places(study.resources, there), price)
    if as_json:
        parts = {
            "trainable_parameters": [c.to_json() for c in counts],
            "estimate": found.to_json() if found else None,
            "confirmation_estimate": later.to_json() if later else None,
            "tasks": [facts.to_json() for facts in described],
            "kept_predictions": answers.to_json() if answers else None,
            "resources": {"cpu": study.resources.cpu, "gpu": study.resources.gpu, "words": words},
            "checks": [check.to_json() for check in checked],
        }
        typer.echo(json.dumps({**planned.to_json(), **parts}, indent=2))
    else:
        show.print_tasks(described)
        show.print_plan(study, planned, counts, answers.words if answers else "")
        show.print_estimate(found)
        show.print_confirmation(later)
    problems = [f"{check.what}: {check.words}" for check in checked if not check.ok]
    for line in filter(None, [*texts.warnings(described), *memory.too_large(study, counts), words, *problems]):
        say(line)
    _say_what_next(study_file, planned, found)
    if any(check.refused for check in checked):
        raise typer.Exit(WRONG)


def _say_what_next(study_file: Path, planned: Plan, found: Estimate | None) -> None:
    if not planned.pending and not planned.confirmation_counts["pending"]:
        say(f"nothing is left to train; see the results with: aot report {study_file} --out report")
    elif found is None:
        say(f"no trial has ended that would tell how long it takes; find out with: aot plan {study_file} --calibrate")
    elif found.unknown:
        say(f"{found.unknown} cells have no estimate; find out with: aot plan {study_file} --calibrate")


def _place() -> Place:
    """The cluster whose dashboard Ray's variables name, where it answers; else this machine."""
    from search.planning.place import Place, this_machine

    if not any(os.environ.get(name, "").startswith("http") for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")):
        return this_machine()
    from search.jobs import submit as jobs  # needs Ray

    try:
        return Place(jobs.nodes(jobs.connect()), "on the cluster")
    except jobs.SubmitError as error:
        say(f"{error}; this is planned for this machine")
        return this_machine()


def _records(study: Study, *, away: bool) -> dict[str, TrialRecord]:
    """What earlier runs came to; a server that is away is not waited for a second time."""
    from search.tracking.journal import local_folder
    from search.tracking.records import in_journal, read_records

    if away and not study.tracking.startswith("sqlite:"):
        return in_journal(local_folder(study.folder), say)
    return read_records(study.name, study.folder, study.tracking, say)


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
