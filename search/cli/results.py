"""Runs looked at: the MLflow UI, files, reports."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search._words import trials
from search.cli import _outputs
from search.cli._shared import StudyFile, fail, faults, load, say

if TYPE_CHECKING:
    from pandas import DataFrame

    from analysis.reports import MethodInfo

#: The UI shows runs; it neither reports home nor runs jobs.
UI_ENVIRONMENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


class EstimatorName(StrEnum):
    """Estimators of Expected Validation Performance."""

    v = "v"
    u = "u"


def register(app: typer.Typer) -> None:
    """Add the commands to ``aot``."""
    app.command(epilog="Example: `aot ui studies/demo.yaml`, then open http://127.0.0.1:5000")(ui)
    app.command(epilog="Example: `aot export studies/demo.yaml --out runs.csv`")(export)
    app.command(epilog="Examples: `aot report studies/demo.yaml --out report`; `aot report --runs runs.csv --paper`")(
        report
    )


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
    from search.tracking import mlflow_front

    with faults():
        if study_file is not None and tracking is not None:
            fail("give a STUDY or --tracking, not both: a study has its own tracking URI")
        study = load(study_file, bind=False, offline=True) if study_file else None
        uri = tracking or (study.tracking if study else f"sqlite:///{_here()}")
    if "://" not in uri:
        fail(f"--tracking must be an MLflow URI such as sqlite:///runs/mlflow.db, but got {masked(uri)}")
    database = uri.removeprefix("sqlite:///")

    def page(server: str) -> str:
        return mlflow_front.experiment_page(server, study.name) if study else server

    if uri.startswith(("http://", "https://")):
        say("the store is a server with a page of its own:")
        typer.echo(page(uri) if masked(uri) == uri else masked(uri))
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
        runs = frame.from_rows([*found.own, *(found.others if all_runs else [])], f"study {found.study!r}")
        if on_stdout:
            typer.echo(runs.to_csv(index=False).encode(), nl=False)
        else:
            frame.write(runs, out)
    if predictions is not None:
        from search.cli import _predictions

        copied = _predictions.copy(runs["trial_id"], study_file, predictions)
        say(f"the answers on dev of {trials(copied)} copied to {predictions}")
    if found.others and not all_runs:
        say(f"{trials(len(found.others))} of other versions of the study left out; have them too with --all-runs")
    say(f"{trials(len(runs))} written" + ("" if on_stdout else " to"))
    if not on_stdout:
        typer.echo(json.dumps({**found.to_json(), "out": str(out), "rows": len(runs)}, indent=2) if as_json else out)


def report(
    study_file: Annotated[Path | None, typer.Argument(metavar="[STUDY]", help="Report the runs of this study.")] = None,
    runs: Annotated[Path | None, typer.Option(help="Report a file of runs instead: .csv or .parquet.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder that takes the report.")] = Path("report"),
    paper: Annotated[bool, typer.Option("--paper", help="Set the paper's published numbers beside ours.")] = False,
    estimator: Annotated[
        EstimatorName, typer.Option(help="EVP's estimator: u, without replacement (Tang 2020); v, with (Dodge 2019).")
    ] = EstimatorName.u,
    predictions: Annotated[
        Path | None, typer.Option(help="Answers on dev that aot export --predictions copied; a STUDY has its own.")
    ] = None,
) -> None:
    """Write the report: medians over seeds, macro scores, EVP curves, scores against parameters."""
    if (study_file is None) == (runs is None):
        fail("give a STUDY or --runs FILE, one of them")
    from analysis import frame
    from analysis.report import write_report
    from search.cli import _predictions

    _outputs.check_folder(out, "--out")
    with faults(frame.FrameError):
        table, planned, notes = (frame.read(runs), None, ()) if runs is not None else _of_study(study_file)
        try:
            infos = method_infos()
        except ValueError as error:  # of a method's file
            fail(str(error))
        kept = _predictions.reader([study_file] if study_file else [], predictions)
        page = write_report(
            table,
            out,
            paper=paper,
            estimator=estimator.value,
            methods=infos,
            planned=planned,
            notes=notes,
            predictions=kept,
        )
    _tell(table, planned)
    say("the report is written; open")
    typer.echo(page)


def _of_study(path: Path | None) -> tuple[DataFrame, DataFrame, Sequence[str]]:
    """The trials of a study, what of each cell is trained, and what else to know of them."""
    from pandas import DataFrame

    from analysis import frame
    from analysis.coverage import COLUMNS
    from search.cli._runs import coverage_of, notes

    assert path is not None
    found = coverage_of(path)
    table = frame.from_rows([*found.own, *found.others], f"study {found.study!r}")
    return table, DataFrame(found.cells, columns=list(COLUMNS)), notes(found)


def _tell(table: DataFrame, planned: DataFrame | None) -> None:
    """What a report leaves out, and what is not trained, in a line each."""
    from analysis import coverage
    from analysis.selection import split_roles

    own, others = coverage.of_study(split_roles(table)[0])
    cells, elsewhere = (planned, 0) if planned is not None else coverage.of_frame(own)
    for line in coverage.sentences(cells, elsewhere, coverage.caveats(own, others)):
        say(line)


def method_infos() -> dict[str, MethodInfo]:
    """What the methods of the folder say of themselves: the reports know none of them."""
    from analysis.reports import MethodInfo
    from trainables import methods

    kinds = {name: methods.get(name) for name in methods.names()}
    return {name: MethodInfo(kind.label, kind.sizes) for name, kind in kinds.items()}


def _here() -> Path:
    return Path("runs").absolute() / "mlflow.db"
