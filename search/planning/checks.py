"""What a run would stumble over, found before one is started and without making anything: resources, storage, MLflow.

found = [*resources(study, nodes, "here"), storage(study), tracking(study)]
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from common.uris import masked
from search._nodes import Node, room
from search._words import amount
from search.study import Study
from search.tracking.journal import local_folder
from trainables.checkpoint import CHECKPOINTS, Storage

#: How long a store or a server may take to say a word.
SECONDS = 5.0

_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


@dataclass(frozen=True)
class Check:
    """What was looked at, and what is to be said of it. ``refused``: ``aot run`` would not begin here."""

    what: Literal["resources", "storage", "tracking"]
    ok: bool
    words: str
    refused: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def resources(study: Study, nodes: Sequence[Node], where: str) -> Check:
    """Whether a pack finds room on these nodes; ``where``: ``here`` or ``on the cluster``.

    Nothing is refused: a study may be planned on a machine that does not train it.
    """
    one = study.resources
    packs = room(nodes, one.cpu, one.gpus)
    takes = f"a pack takes {amount(one.cpu, one.gpus)}"
    if packs:
        return Check("resources", True, f"{takes}; {packs} at once find room {where}")
    cpus, gpus = (max((node.get(kind, 0) for node in nodes), default=0) for kind in ("CPU", "GPU"))
    if where != "here":
        return Check("resources", False, f"{takes}, and no node {where} has room for it; it waits until one comes")
    lower = " and ".join(
        f"resources.{key}" for key, wanted, there in (("cpu", one.cpu, cpus), ("gpu", one.gpus, gpus)) if wanted > there
    )
    has = f"this machine has {amount(cpus, gpus)}{'' if gpus else ' and no GPU'}"
    return Check("resources", False, f"{takes}, but {has}; lower {lower}, or aot submit it to a cluster that has them")


def storage(study: Study) -> Check:
    """Whether the study's folder can be made and written, where it is one; whether a remote store can be read."""
    local = local_folder(study.folder)
    if wrong := _unwritable(local.absolute()):
        return Check("storage", False, f"{wrong}; correct that, or `storage` in the study", refused=True)
    if urlsplit(study.folder).scheme in ("", "file"):
        return Check("storage", True, f"{local} can be written")
    shown = masked(study.storage)
    if wrong := _unreadable(study.folder):
        return Check("storage", False, f"{shown} cannot be read from here ({wrong}); it must be where the study runs")
    return Check("storage", True, f"{shown} can be read")


def tracking(study: Study) -> Check:
    """Whether MLflow's store answers, or its file can be written. A run begins without it: the journal keeps all."""
    uri = study.tracking
    parts = urlsplit(uri)
    if parts.scheme.split("+")[0] in ("sqlite", "file"):
        path = Path(uri.partition(":///")[2].partition("?")[0] if parts.scheme != "file" else parts.path)
        wrong = _unwritable(path.absolute(), file=parts.scheme != "file")
    else:
        wrong = _silent(uri)
    if wrong:
        later = "results stay in the journal, and reports have them, until a run finds it"
        return Check("tracking", False, f"MLflow at {masked(uri)}: {wrong}; {later}")
    return Check("tracking", True, f"MLflow at {masked(uri)}")


def _unwritable(path: Path, *, file: bool = False) -> str:
    """Why a folder (or file) cannot be made or written; empty where it can. By the nearest parent that is there."""
    there = path
    while not os.path.exists(there):  # or may not be looked at
        there = there.parent
    if file and there == path:
        return "" if path.is_file() and os.access(path, os.W_OK) else f"{path} is no file that can be written"
    if not there.is_dir():
        return f"{there} is a file, and must be a folder"
    return "" if os.access(there, os.W_OK | os.X_OK) else f"the folder {there} cannot be written"


def _unreadable(uri: str) -> str:
    """Why a remote storage cannot be listed within ``SECONDS``; empty where it can."""
    answer: list[str] = []

    def ask() -> None:
        try:
            Storage(uri).names(CHECKPOINTS)
            answer.append("")
        except OSError as error:
            answer.append(str(error))

    asking = threading.Thread(target=ask, daemon=True)  # a client of a store has its own patience
    asking.start()
    asking.join(SECONDS)
    return answer[0] if answer else f"no answer in {SECONDS:g} s"


def _silent(uri: str) -> str:
    """Why a server does not answer; empty where it does, whatever it says, and where nobody can tell."""
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https"):
        import requests

        try:
            requests.get(uri, timeout=SECONDS, stream=True, allow_redirects=False).close()
        except requests.RequestException as error:
            return f"no answer ({type(error).__name__})"
        return ""
    from sqlalchemy.engine import make_url  # a password may hold a /, which others take for the host's end
    from sqlalchemy.exc import ArgumentError

    try:
        database = make_url(uri)
    except (ArgumentError, ValueError):  # ValueError: of the port
        return "it is no address of a database; write the user and password with %40 for @, %2F for /, %3A for :"
    port = database.port or _PORTS.get(database.get_backend_name())
    if not database.host or port is None:
        return ""
    try:
        socket.create_connection((database.host, port), SECONDS).close()
    except OSError as error:
        return f"no answer ({error.strerror or error})"
    return ""
