"""Runs looked at: the MLflow UI, and files of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from search._words import trials
from search.cli import _outputs
from search.cli._shared import StudyFile, fail, faults, load, say

#: The UI shows runs; it neither reports home nor runs jobs.
UI_ENVIRONMENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def register(app: typer.Typer) -> None:
    """Add the commands to ``aot``."""
    app.command(epilog="Example: `aot ui studies/demo.yaml`, then open http://127.0.0.1:5000")(ui)
    app.command(epilog="Example: `aot export studies/demo.yaml --out runs.csv`")(export)


def ui(
    study_file: Annotated[Path | None, typer.Argument(metavar="[STUDY]", help="Show the store of this study.")] = None,
    tracking: Annotated[str | None, typer.Option(help="Show this MLflow URI; default: runs/mlflow.db here.")] = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port on 127.0.0.1; default: 5000, or the next that is free."),
    ] = None,
) -> None:
    """Open the MLflow UI on the runs of a study, for this machine alone; Ctrl-C ends it."""
    from common.uris import masked
    from search.cli import _server
    from search.tracking import mlflow_access, mlflow_front

    with faults():
        if study_file is not None and tracking is not None:
            fail("give a STUDY or --tracking, not both: a study has its own tracking URI")
        study = load(study_file, bind=False, offline=True) if study_file else None
        uri = tracking or (study.tracking if study else f"sqlite:///{_here()}")
    if "://" not in uri:
        fail(f"--tracking must be an MLflow URI such as sqlite:///runs/mlflow.db, but got {masked(uri)}")
    database = uri.removeprefix("sqlite:///")

    def page(server: str) -> str:
        experiment = mlflow_access.page_of(study.name, server) if study else None
        return mlflow_front.view(experiment) if experiment else masked(server)

    if uri.startswith(("http://", "https://")):
        say("the store is a server with a page of its own:")
        with faults():
            typer.echo(page(uri))
        return
    if database != uri and not Path(database).exists():
        fail(f"there are no runs yet in {database}; make some with: aot run STUDY")
    if database != uri and not _server.is_sqlite(Path(database)):
        fail(f"{database} is no SQLite database; name MLflow's, such as runs/mlflow.db")
    taken = _server.port(port)
    say(f"starting MLflow for {masked(uri)}")
    # The URI goes through the environment: it may hold a password, which others could read in a list of processes.
    command = ["mlflow", "ui", "--host", _server.HOST, "--port", str(taken), "--workers", "1"]
    _server.serve(command, {**UI_ENVIRONMENT, "MLFLOW_BACKEND_STORE_URI": uri}, taken, page)


def export(
    study_file: StudyFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="A .csv or .parquet file, or - for CSV on stdout.")],
    all_runs: Annotated[
        bool, typer.Option("--all-runs", help="Also the trials that the study as it stands does not name.")
    ] = False,
    predictions: Annotated[
        Path | None, typer.Option(help="Also copy their answers on dev, as far as they were kept, into this folder.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what is trained of every cell, for machines.")] = False,
) -> None:
    """Write the trials of a study to a file, one row each: what `aot report --runs` reads."""
    from analysis import frame
    from search.cli._runs import coverage_of

    on_stdout = str(out) == "-"
    with faults(frame.FrameError):
        if not on_stdout:
            _outputs.check_file(out, "--out", (".csv", ".parquet"))
        elif as_json:
            fail("--json prints on stdout, where --out - has the rows: give a file, or leave --json out")
        if predictions is not None:
            _outputs.check_folder(predictions, "--predictions")
        found = coverage_of(study_file, unbound=all_runs)
        taken = [found.own.columns, *([found.others.columns] if all_runs else [])]
        runs = frame.from_columns(taken, f"study {found.study!r}")
        if on_stdout:
            typer.echo(runs.to_csv(index=False).encode(), nl=False)
        else:
            frame.write(runs, out)
    if predictions is not None:
        from analysis.selection import is_scored
        from search.cli import _predictions

        copied = _predictions.copy(runs.loc[is_scored(runs), "trial_id"], study_file, predictions)
        say(f"the answers on dev of {trials(copied)} copied to {predictions}")
    if found.others and not all_runs:
        say(f"{trials(len(found.others))} of other versions of the study left out; have them too with --all-runs")
    say(f"{trials(len(runs))} written" + ("" if on_stdout else " to"))
    if not on_stdout:
        typer.echo(json.dumps({**found.to_json(), "out": str(out), "rows": len(runs)}, indent=2) if as_json else out)


def _here() -> Path:
    return Path("runs").absolute() / "mlflow.db"
