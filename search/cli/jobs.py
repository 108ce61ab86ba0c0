"""Studies on a cluster: submitted, watched, stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from common.words import shown
from search.cli._shared import FAILED, INTERRUPTED, Confirm, StudyFile, faults, load, say

if TYPE_CHECKING:
    from search.jobs.submit import Cluster, Job

Address = Annotated[
    str | None,
    typer.Option(
        help="The head's dashboard, http://HOST:PORT; default: RAY_API_SERVER_ADDRESS or RAY_ADDRESS, "
        "else http://127.0.0.1:8265."
    ),
]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="A job's id, as `aot submit` printed it; see `aot list`.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]


def register(app: typer.Typer) -> None:
    """Add the commands to ``aot``."""
    app.command(
        epilog="Examples: `aot submit studies/demo.yaml`; `aot submit studies/demo.yaml --follow "
        "--address http://127.0.0.1:8265`; the same command again trains what is missing"
    )(submit)
    app.command(epilog="Example: `aot status aot-demo-20261123-1405-ab12`")(status)
    app.command(epilog="Examples: `aot logs aot-demo-20261123-1405-ab12`; `aot logs -f aot-demo-20261123-1405-ab12`")(
        logs
    )
    app.command(epilog="Example: `aot stop aot-demo-20261123-1405-ab12`; submit the study again to go on")(stop)
    app.command("list", epilog="Examples: `aot list`; `aot list --json --address http://127.0.0.1:8265`")(list_jobs)


def submit(
    study_file: StudyFile,
    address: Address = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show the log until the job is over.")] = False,
    confirm: Confirm = None,
) -> None:
    """Send a study to a Ray cluster and start it there; prints the job's id.

    The code goes with it (`search`, `trainables`, `analysis`, `common`), and small files that the study names beside
    itself.
    """
    from search.jobs import submit as jobs

    with _faults():
        study = load(study_file, bind=False)  # its mistakes are told before the cluster is asked
        cluster = jobs.connect(address)
        job = jobs.submit(cluster, study, study_file, say, confirm)
    typer.echo(job.id)
    if follow:
        _follow(cluster, job.id)
    else:
        say(f"it is on its way; watch it with: aot logs -f {job.id}{cluster.option}")


def status(job: JobId, address: Address = None, as_json: AsJson = False) -> None:
    """Show how a job is: pending, running, succeeded, failed or stopped."""
    from search.jobs import submit as jobs

    with _faults():
        cluster = jobs.connect(address)
        found = jobs.find(cluster, job)
    if as_json:
        typer.echo(shown(json.dumps(found.to_json(), indent=2)))
    else:
        typer.echo(found.status)
        say(_next(found, cluster))


def logs(
    job: JobId,
    address: Address = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the job is over; Ctrl-C ends it.")
    ] = False,
) -> None:
    """Print what a job has printed on the cluster."""
    from search.jobs import submit as jobs

    with _faults():
        cluster = jobs.connect(address)
        printed = "" if follow else jobs.logs(cluster, job)
    typer.echo(shown(printed), nl=False)
    if not follow and not printed:
        say(f"it has printed nothing yet; wait for it with: aot logs -f {job}{cluster.option}")
    if follow:
        _follow(cluster, job)


def stop(job: JobId, address: Address = None) -> None:
    """Stop a job; what is finished is kept, and submitting the study again goes on."""
    from search.jobs import submit as jobs

    with _faults():
        cluster = jobs.connect(address)
        before = jobs.find(cluster, job)
        found = before if before.over else jobs.stop(cluster, job)
    typer.echo(found.status)
    if before.over:
        say(f"it was over before; {_next(found, cluster)}")
    elif found.over:
        say(_next(found, cluster))
    else:
        say(f"it is still stopping; look again with: aot status {job}{cluster.option}")


def list_jobs(address: Address = None, as_json: AsJson = False) -> None:
    """List the studies that were submitted to a cluster, the newest first."""
    from search.jobs import submit as jobs

    with _faults():
        found = jobs.jobs(jobs.connect(address))
    if as_json:
        typer.echo(json.dumps([job.to_json() for job in found], indent=2))
        return
    if not found:
        say("no study was submitted to this cluster yet; do so with: aot submit STUDY")
        return
    rows = [("JOB", "STUDY", "STATUS", "STARTED", "TIME"), *map(_row, found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        typer.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _row(job: Job) -> tuple[str, ...]:
    started = f"{job.started:%Y-%m-%d %H:%M}" if job.started else "-"
    return job.id, job.study, job.status, started, _time(job)


def _time(job: Job) -> str:
    from search._words import duration

    if job.started is None:
        return "-"
    return duration(((job.ended or datetime.now().astimezone()) - job.started).total_seconds())


def _next(job: Job, cluster: Cluster) -> str:
    """A job's state in words, and what one would do next."""
    watch, log = (f"aot logs {words}{job.id}{cluster.option}" for words in ("-f ", ""))
    return {
        "pending": f"waiting to be started; watch it with: {watch}",
        "running": f"running for {_time(job)}; watch it with: {watch}",
        "succeeded": f"every trial is done, in {_time(job)}; see the results with: aot report STUDY "
        "(here with MLFLOW_TRACKING_URI set to the cluster's MLflow)",
        "failed": f"failed after {_time(job)} ({_short(job.reason)}); see all with {log}, then submit again",
        "stopped": f"stopped after {_time(job)}; what is finished is kept; submit the study again to go on",
    }[job.status]


def _short(reason: str) -> str:
    return (reason.splitlines() or ["for an unknown reason"])[0][:200]


def _follow(cluster: Cluster, job_id: str) -> None:
    """Print a job's log until it is over; the exit code says how it ended."""
    from search.jobs import submit as jobs

    with _faults():
        try:
            job = jobs.follow(cluster, job_id, lambda lines: typer.echo(shown(lines), nl=False))
        except KeyboardInterrupt:
            watch, end = (f"aot {words} {job_id}{cluster.option}" for words in ("logs -f", "stop"))
            say(f"the job goes on; watch it again with: {watch}; stop it with: {end}")
            raise typer.Exit(INTERRUPTED) from None
    say(_next(job, cluster))
    if job.status != "succeeded":
        raise typer.Exit(FAILED)


@contextmanager
def _faults() -> Iterator[None]:
    from search.jobs._upload import UploadError
    from search.jobs.submit import SubmitError

    with faults(SubmitError, UploadError):
        yield
