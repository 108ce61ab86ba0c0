"""Studies as jobs on a Ray cluster: sent there, watched, stopped.

    cluster = connect("http://127.0.0.1:8265")
    job = submit(cluster, study, Path("study.yaml"), say)
    find(cluster, job.id), logs(cluster, job.id), stop(cluster, job.id)

The code travels with the study as a small package (Ray's ``working_dir``), so that methods and tasks added here are
known on every node. The driver runs on the head in ``~/aot-search``, which stays: the journal lies there, and a study
that is submitted again goes on where it stopped.
"""

from __future__ import annotations

import asyncio
import secrets
import shlex
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import ray
from ray.job_submission import JobDetails, JobType

from common.uris import passwords
from search.jobs._upload import stage
from search.jobs.cluster import Cluster, SubmitError, connect, nodes, told
from search.study import Study, stores

__all__ = [
    "Cluster", "Job", "SubmitError", "connect", "entrypoint", "find", "follow", "jobs", "logs", "nodes", "stop",
    "submit",
]  # fmt: skip

FOLDER = "~/aot-search"

#: What a driver has between being asked to stop and being killed: to end its workers and to fill MLflow.
STOP_SECONDS = 60

_ANSWER_SECONDS, _POLL_SECONDS = 60, 0.5
_ON_THE_HEAD = {
    "tracking": "set MLFLOW_TRACKING_URI on the head (passwords: ~/.mlflow/credentials there)",
    "storage": "give the nodes AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role of their own",
}


@dataclass(frozen=True)
class Job:
    """A study on a cluster. ``status``: pending, running, succeeded, failed (with the ``reason``) or stopped."""

    id: str
    study: str
    status: str
    started: datetime | None = None
    ended: datetime | None = None
    reason: str = ""

    @property
    def over(self) -> bool:
        return self.status not in ("pending", "running")

    def to_json(self) -> dict[str, Any]:
        started, ended = (time and time.isoformat(timespec="seconds") for time in (self.started, self.ended))
        return {"job": self.id, "study": self.study, "status": self.status, "started": started, "ended": ended,
                "reason": self.reason}  # fmt: skip


def submit(cluster: Cluster, study: Study, path: Path, say: Callable[[str], None], confirm: int | None = None) -> Job:
    """Send a study, read from ``path``, to the cluster and start it there; returns as soon as the cluster has it.

    ``confirm``: the number of fresh seeds, where it is not the study's own.

    Raises:
        UploadError: the study names files that cannot travel.
        SubmitError: this cluster cannot run it, or is running it already.
    """
    for key, uri in stores(path).items():
        if passwords(uri):
            raise SubmitError(
                f"{key} in {path} holds a password, which would lie on the cluster for all to read; "
                f"leave it out, and {_ON_THE_HEAD[key]}"
            )
    if cluster.ray_version != ray.__version__:
        raise SubmitError(
            f"the cluster at {cluster.url} runs Ray {cluster.ray_version}, and here is Ray {ray.__version__}; "
            f"make its image from this project's Dockerfile, or check out the version of this project that it has"
        )
    for job in jobs(cluster):
        if job.study == study.name and not job.over:
            stop = f"aot stop {job.id}{cluster.option}"
            raise SubmitError(f"study {study.name!r} is {job.status} as {job.id}; stop that first: {stop}")
    job_id = f"aot-{study.name}-{datetime.now():%Y%m%d-%H%M}-{secrets.token_hex(2)}"
    with tempfile.TemporaryDirectory(prefix="aot-submit-") as folder:
        there, files, size = stage(path, Path(folder))
        say(f"sending {files} files, {size / 1e6:.1f} MB, to {cluster.url}")
        with told(cluster.url):
            cluster.client.submit_job(
                entrypoint=entrypoint(there, confirm),
                submission_id=job_id,
                runtime_env={"working_dir": folder, "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)}},
                metadata={"study": study.name},
            )
    return Job(job_id, study.name, "pending")


def entrypoint(study: str, confirm: int | None = None) -> str:
    """What the head runs, from the folder of the code that was sent: the driver, in a folder that stays."""
    option = "" if confirm is None else f" --confirm {confirm}"
    run = f'python -m search.cli run "$code"/{shlex.quote(study)} --address auto{option}'
    return f'code="$PWD" && mkdir -p {FOLDER} && cd {FOLDER} && exec {run}'


def jobs(cluster: Cluster) -> list[Job]:
    """All studies that were submitted to the cluster, the newest first."""
    with told(cluster.url):
        details = cluster.client.list_jobs()
    ours = [d for d in details if d.type is JobType.SUBMISSION and "study" in (d.metadata or {})]
    return [_job(d) for d in sorted(ours, key=lambda d: d.start_time or 0, reverse=True)]


def _job(details: JobDetails) -> Job:
    status = details.status.value.lower()
    reason = _reason(details.message or "") if status == "failed" else ""
    study = (details.metadata or {})["study"]
    return Job(details.submission_id or "", study, status, _time(details.start_time), _time(details.end_time), reason)


def _reason(message: str) -> str:
    """The last line that the job printed, which says what went wrong; without one, Ray's own words."""
    words, _, log = message.partition(", last available logs")
    lines = [line.strip() for line in log.splitlines()[1:] if line.strip()]
    return lines[-1] if lines else words.strip()


def _time(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000).astimezone()


def find(cluster: Cluster, job_id: str) -> Job:
    """The job with this id. SubmitError, which names those that there are, where there is none."""
    known = jobs(cluster)
    for job in known:
        if job.id == job_id:
            return job
    there = f"known: {', '.join(job.id for job in known[:10])}" if known else "no study was submitted to it yet"
    raise SubmitError(
        f"no job {job_id!r} on the cluster at {cluster.url}; {there}; see all with: aot list{cluster.option} "
        "(a Ray that was started again has forgotten its jobs: submit the study again, it goes on)"
    )


def logs(cluster: Cluster, job_id: str) -> str:
    """What the job has printed so far."""
    find(cluster, job_id)
    with told(cluster.url):
        return cluster.client.get_job_logs(job_id)


def follow(cluster: Cluster, job_id: str, show: Callable[[str], None]) -> Job:
    """Give ``show`` what the job prints, until it is over; gives the job as it ended."""
    find(cluster, job_id)

    async def tail() -> None:
        try:
            async for lines in cluster.client.tail_job_logs(job_id):
                show(lines)
        except RuntimeError as error:  # Ray's word for a connection that ended before the job
            raise ConnectionError(str(error)) from error

    with told(cluster.url):
        asyncio.run(tail())
    return _until_over(cluster, job_id, _ANSWER_SECONDS)


def stop(cluster: Cluster, job_id: str) -> Job:
    """Ask the job to stop and wait until it has; gives the job as it is then, or as it was if it was over before."""
    job = find(cluster, job_id)
    if job.over:
        return job
    with told(cluster.url):
        cluster.client.stop_job(job_id)
    return _until_over(cluster, job_id, STOP_SECONDS + _ANSWER_SECONDS)


def _until_over(cluster: Cluster, job_id: str, seconds: float) -> Job:
    end = time.monotonic() + seconds
    while not (job := find(cluster, job_id)).over and time.monotonic() < end:
        time.sleep(_POLL_SECONDS)
    return job
