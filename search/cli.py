"""The ``aot`` command. Each command is thin: parse, call, print; results go to stdout, words to stderr.

Exit codes: 0 success, 1 a trial failed, 2 a study or the command line is wrong, 130 stopped with Ctrl-C.
Whatever takes time to import is imported by the command that needs it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from pandas import DataFrame

    from search.study import Study

FAILED, WRONG, INTERRUPTED = 1, 2, 130

#: The UI shows runs; it neither reports home nor runs jobs.
UI_ENVIRONMENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}

app = typer.Typer(
    name="aot",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Compare fine-tuning methods on equal terms: one YAML file is a study, and every trial of it is trained once.",
    epilog="A first study: `aot run studies/demo.yaml`, then `aot report studies/demo.yaml --out report`",
)

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY", help="A study's YAML file; see docs/studies.md.")]


class EstimatorName(StrEnum):
    """Estimators of Expected Validation Performance."""

    v = "v"
    u = "u"


def main() -> None:
    """Entry point of ``aot``."""
    app()


@app.command("plan", epilog="Example: `aot plan studies/glue_roberta_base.yaml`")
def plan_command(
    study_file: StudyFile,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")] = False,
) -> None:
    """Show what a study will train: cells, assignments, trials, packs, what is finished, trainable parameters."""
    from search import show
    from search.plan import plan, sizes
    from search.tracking import finished

    with _faults():
        study = _load(study_file, offline=True)
        work = plan(study, finished(study.name, study.folder, study.tracking, _say))
        counts = sizes(study, work)
    if as_json:
        typer.echo(json.dumps({**work.to_json(), "trainable_parameters": [c.to_json() for c in counts]}, indent=2))
    else:
        show.plan(study, work, counts)


@app.command(epilog="Example: `aot run studies/demo.yaml`; the same command again trains what is missing")
def run(
    study_file: StudyFile,
    address: Annotated[
        str | None, typer.Option(help="An existing Ray cluster, such as `auto` or `HOST:6379`; else this machine.")
    ] = None,
) -> None:
    """Train every trial of a study that is not finished yet; Ctrl-C leaves everything resumable."""
    with _faults():
        study = _load(study_file)  # before Ray is imported: a mistake is told within seconds
    from search import tuner
    from search.journal import StudyBusyError
    from search.view import View

    with _faults(StudyBusyError, tuner.RunError):
        try:
            outcome = tuner.run(study, address=address, view=View())
        except KeyboardInterrupt:
            _say(f"stopped; what is finished is kept. Go on with: aot run {study_file}")
            raise typer.Exit(INTERRUPTED) from None
    _say(
        f"{outcome.finished} finished, {outcome.diverged} diverged, {outcome.failed} failed; "
        f"{outcome.skipped} were done before"
    )
    if outcome.failed:
        _say(f"failed trials run again with: aot run {study_file}; their reasons: aot ui {study_file}")
        raise typer.Exit(FAILED)
    _say(f"see the results with: aot report {study_file} --out report")


@app.command(epilog="Example: `aot ui studies/demo.yaml`, then open http://127.0.0.1:5000")
def ui(
    study_file: Annotated[Path | None, typer.Argument(metavar="[STUDY]", help="Show the store of this study.")] = None,
    tracking: Annotated[str | None, typer.Option(help="Show this MLflow URI; default: runs/mlflow.db here.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 5000,
) -> None:
    """Open the MLflow UI on the runs of a study, for this machine alone; Ctrl-C ends it."""
    import os

    with _faults():
        if study_file is not None and tracking is not None:
            _fail("give a STUDY or --tracking, not both: a study has its own tracking URI")
        uri = tracking or (_load(study_file, bind=False).tracking if study_file else f"sqlite:///{_here()}")
    database = uri.removeprefix("sqlite:///")
    if uri.startswith(("http://", "https://")):
        _say("the store is a server with a page of its own:")
        typer.echo(uri)
        return
    if database != uri and not Path(database).exists():
        _fail(f"there are no runs yet in {database}; make some with: aot run STUDY")
    _say(f"MLflow on http://127.0.0.1:{port} shows {uri}; Ctrl-C ends it")
    # The URI goes through the environment: it may hold a password, which others could read in a list of processes.
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    os.execve(sys.executable, command, {**os.environ, **UI_ENVIRONMENT, "MLFLOW_BACKEND_STORE_URI": uri})


@app.command(epilog="Example: `aot export studies/demo.yaml --out runs.csv`")
def export(
    study_file: StudyFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="A .csv or .parquet file.")],
) -> None:
    """Write the runs of a study to a file, one row per trial: what `aot report --runs` reads."""
    from analysis import frame

    with _faults(frame.FrameError):
        runs = _runs(study_file)
        frame.write(runs, out)
    _say(f"{len(runs)} trials written to")
    typer.echo(out)


@app.command(epilog="Examples: `aot report studies/demo.yaml --out report`; `aot report --runs runs.csv --paper`")
def report(
    study_file: Annotated[Path | None, typer.Argument(metavar="[STUDY]", help="Report the runs of this study.")] = None,
    runs: Annotated[Path | None, typer.Option(help="Report a file of runs instead: .csv or .parquet.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder that takes the report.")] = Path("report"),
    paper: Annotated[bool, typer.Option("--paper", help="Set the paper's published numbers beside ours.")] = False,
    estimator: Annotated[
        EstimatorName, typer.Option(help="EVP's estimator: v, with replacement (Dodge 2019); u, without (Tang 2020).")
    ] = EstimatorName.v,
) -> None:
    """Write the report: medians over seeds, macro scores, EVP curves, scores against parameters."""
    if (study_file is None) == (runs is None):
        _fail("give a STUDY or --runs FILE, one of them")
    from analysis import frame
    from analysis.report import write_report

    with _faults(frame.FrameError):
        table = frame.read(runs) if runs is not None else _runs(study_file)
        page = write_report(table, out, paper=paper, estimator=estimator.value)
    _say("the report is written; open")
    typer.echo(page)


def _load(path: Path, *, bind: bool = True, offline: bool = False) -> Study:
    from search.study import load

    return load(path, bind=bind, offline=offline)


def _runs(path: Path | None) -> DataFrame:
    from analysis import frame

    assert path is not None

    study = _load(path, bind=False)
    return frame.from_mlflow(study.tracking, study.name)


def _here() -> Path:
    return Path("runs").absolute() / "mlflow.db"


def _say(words: str) -> None:
    typer.echo(words, err=True)


def _fail(words: str) -> NoReturn:
    _say(words)
    raise typer.Exit(WRONG)


@contextmanager
def _faults(*expected: type[Exception]) -> Iterator[None]:
    """Errors that say themselves what to do: their words and exit code 2, without a traceback."""
    from search.study import StudyError

    faults: tuple[type[Exception], ...] = (StudyError, *expected)
    try:
        yield
    except faults as error:
        _fail(str(error))


if __name__ == "__main__":
    main()
