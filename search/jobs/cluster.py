"""The way to a Ray cluster: its dashboard's address, the token that it wants, and what goes wrong on the way."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import requests
from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

from common.uris import masked
from search._nodes import Node
from search._process import environment

DEFAULT_ADDRESS = "http://127.0.0.1:8265"

_CONNECT_SECONDS, _FIRST_SECONDS = 5, 15
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
    with told(url):
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
    with told(url), environment({"RAY_API_SERVER_ADDRESS": url}):
        client = JobSubmissionClient(url, headers=headers)
    return Cluster(url, answer.json()["ray_version"], client, f" --address {url}" if address else "", headers)


def nodes(cluster: Cluster) -> list[Node]:
    """What each node that is there now has."""
    with told(cluster.url):
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
def told(url: str) -> Iterator[None]:
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
