"""What a study will train."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from search.cli._shared import StudyFile, faults, load, say


def register(app: typer.Typer) -> None:
    """Add the commands to ``aot``."""
    app.command("plan", epilog="Example: `aot plan studies/glue_roberta_base.yaml`")(plan_command)


def plan_command(
    study_file: StudyFile,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")] = False,
) -> None:
    """Show what a study will train: cells, assignments, trials, packs, what is finished, trainable parameters."""
    from search import show
    from search.plan import plan, sizes
    from search.tracking import finished

    with faults():
        study = load(study_file, offline=True)
        work = plan(study, finished(study.name, study.folder, study.tracking, say))
        counts = sizes(study, work)
    if as_json:
        typer.echo(json.dumps({**work.to_json(), "trainable_parameters": [c.to_json() for c in counts]}, indent=2))
    else:
        show.plan(study, work, counts)
