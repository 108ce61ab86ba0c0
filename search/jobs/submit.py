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
import logging
import os
import secrets
import shlex
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import ray
import requests
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobSubmissionClient, JobType

from common.uris import masked, passwords
from search._nodes import Node
from search._process import environment
from search.jobs._upload import stage
from search.study import Study, stores

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
FOLDER = "~/aot-search"

#: What a driver has between being asked to stop and being killed: to end its workers and to fill MLflow.
STOP_SECONDS = 60

_CONNECT_SECONDS, _FIRST_SECONDS, _ANSWER_SECONDS, _POLL_SECONDS = 5, 15, 60, 0.5
_ON_THE_HEAD = {
    "tracking": "set MLFLOW_TRACKING_URI on the head (passwords: ~/.mlflow/credentials there)",
    "storage": "give the nodes AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role of their own",
}
_TOKEN = "put the cluster's token into ~/.ray/auth_token, or name its file in RAY_AUTH_TOKEN_PATH"


class SubmitError(RuntimeError):
    """A cluster cannot be asked, or refuses; the message says what to do next."""


@dataclass(frozen=True)
class Cluster:
    """A cluster that answers, by its dashboard's ``url``.

    ``option``: what a command takes to ask the same one again, with a space before it; empty where it needs nothing.
    """

    url: str
    ray_version: str
    client: JobSubmissionClient
    option: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold the token


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


# --- The way to a cluster ---------------------------------------------------------------------------------------------


def connect(address: str | None = None) -> Cluster:
    """The cluster whose dashboard is at ``address``, else where Ray's variables say, else on this machine.

    Raises:
        SubmitError: nobody answers there, the token is missing or wrong, or the address is of another kind.
    """
    url, (token, origin) = _url(address), _token()
    if len(token.split()) > 1:  # as a header it would be refused, and shown
        raise SubmitError(f"the token from {origin} must be one word; {_TOKEN}")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    os.environ["NETRC"] = os.devnull  # requests, ours and Ray's, would send a password from ~/.netrc in its place
    with _told(url):
        answer = requests.get(f"{url}/api/version", headers=headers, timeout=(_CONNECT_SECONDS, _FIRST_SECONDS))
    if answer.status_code == 401 and not _enabled():
        none = "none was sent, for RAY_AUTH_MODE is not token here"
        raise SubmitError(f"the cluster at {url} wants a token, and {none}; export RAY_AUTH_MODE=token")
    if answer.status_code == 401:
        raise SubmitError(f"the cluster at {url} wants a token, and none was found here; {_TOKEN}")
    if answer.status_code == 403:
        raise SubmitError(f"the cluster at {url} refuses the token from {origin}; {_TOKEN}")
    if answer.status_code != 200 or "ray_version" not in answer.text:
        raise SubmitError(f"what answers at {url} is no Ray dashboard; give the head's, such as {DEFAULT_ADDRESS}")
    for name in ("ray", "ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk"):
        logging.getLogger(name).setLevel(logging.ERROR)  # we say ourselves what is sent
    # Ray would let its variables win over the address that was asked for, and look for a token by itself.
    with _told(url), environment({"RAY_API_SERVER_ADDRESS": url}):
        client = JobSubmissionClient(url, headers=headers)
    return Cluster(url, answer.json()["ray_version"], client, f" --address {url}" if address else "", headers)


def nodes(cluster: Cluster) -> list[Node]:
    """What each node that is there now has."""
    with _told(cluster.url):
        url, wait = f"{cluster.url}/api/v0/nodes?detail=1&limit=10000", (_CONNECT_SECONDS, _FIRST_SECONDS)
        answer = requests.get(url, headers=dict(cluster.headers), timeout=wait)
    if answer.status_code != 200:
        raise SubmitError(f"the cluster at {cluster.url} does not tell its nodes; the log of its dashboard says more")
    found = answer.json()["data"]["result"]["result"]
    return [node["resources_total"] for node in found if node["state"] == "ALIVE"]


def _url(address: str | None) -> str:
    named = os.environ.get("RAY_ADDRESS", "")  # may also be an address of another kind, for ray.init
    fallbacks = (os.environ.get("RAY_API_SERVER_ADDRESS"), named if named.startswith("http") else "", DEFAULT_ADDRESS)
    address = address or next(filter(None, fallbacks))
    if "@" in address:  # before anybody takes a part of a password for a host or a port, and shows it
        raise SubmitError(f"an address holds no user or password, as {masked(address)} does; {_TOKEN}")
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError as error:
        raise SubmitError(f"{address!r} is no address ({error}); give one such as {DEFAULT_ADDRESS}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        kind = " (that is an address of Ray Client)" if parts.scheme == "ray" else ""
        rule = "jobs go to the head's dashboard, http://HOST:PORT"
        raise SubmitError(f"{rule}, but the address is {address!r}{kind}; give one such as {DEFAULT_ADDRESS}")
    return address.rstrip("/")


def _token() -> tuple[str, str]:
    """The token as Ray looks for it, and where it was; both empty where there is none, or where it is switched off."""
    if not _enabled():
        return "", ""
    if token := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return token, "the variable RAY_AUTH_TOKEN"
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named) if named else Path.home() / ".ray" / "auth_token"
    if not named and not path.exists():
        return "", ""
    try:
        return path.read_text().strip(), str(path)
    except OSError as error:
        raise SubmitError(f"the token in {path} cannot be read ({error.strerror}); {_TOKEN}") from error


def _enabled() -> bool:
    return os.environ.get("RAY_AUTH_MODE", "token").lower() == "token"


@contextmanager
def _told(url: str) -> Iterator[None]:
    """What goes wrong on the way to the cluster, as a ``SubmitError``."""
    try:
        yield
    except requests.exceptions.SSLError as error:
        raise SubmitError(f"what answers at {url} does not speak https as it should; try http://") from error
    except (ConnectionError, requests.ConnectionError, requests.Timeout, aiohttp.ClientConnectionError) as error:
        host = urlsplit(url).hostname
        hint = "is it up, and the tunnel to it (ssh -L 8265:127.0.0.1:8265 HEAD)?" if _local(host) else "is it up?"
        raise SubmitError(f"no Ray cluster answers at {url}; {hint} Another one: --address URL") from error
    except requests.RequestException as error:
        raise SubmitError(f"{url} cannot be asked ({error}); give the head's dashboard, http://HOST:PORT") from error
    except (AuthenticationError, aiohttp.WSServerHandshakeError) as error:
        raise SubmitError(f"the cluster at {url} refuses the token; {_TOKEN}") from error
    except RuntimeError as error:  # Ray's client raises plain ones, with the server's traceback
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1].rstrip(".")[:300]
        raise SubmitError(f"the cluster at {url} refuses: {reason}; the log of its dashboard says more") from error


def _local(host: str | None) -> bool:
    return host in ("127.0.0.1", "localhost", "::1")


# --- Jobs -------------------------------------------------------------------------------------------------------------


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
        with _told(cluster.url):
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
    with _told(cluster.url):
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
    with _told(cluster.url):
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

    with _told(cluster.url):
        asyncio.run(tail())
    return _until_over(cluster, job_id, _ANSWER_SECONDS)


def stop(cluster: Cluster, job_id: str) -> Job:
    """Ask the job to stop and wait until it has; gives the job as it is then, or as it was if it was over before."""
    job = find(cluster, job_id)
    if job.over:
        return job
    with _told(cluster.url):
        cluster.client.stop_job(job_id)
    return _until_over(cluster, job_id, STOP_SECONDS + _ANSWER_SECONDS)


def _until_over(cluster: Cluster, job_id: str, seconds: float) -> Job:
    end = time.monotonic() + seconds
    while not (job := find(cluster, job_id)).over and time.monotonic() < end:
        time.sleep(_POLL_SECONDS)
    return job
