"""A server of another package as a command of ours: on a port that is free, ended by Ctrl-C without a traceback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import typer

from search.cli._shared import FAILED, INTERRUPTED, fail, say

HOST = "127.0.0.1"
DEFAULT_PORT, LAST_PORT = 5000, 65535

#: What a server has to end by itself, once it is asked to.
_END_SECONDS = 10
_POLL_SECONDS = 0.2


def port(asked: int | None, default: int = DEFAULT_PORT, host: str = HOST) -> int:
    """The port that was asked for; else the first free one from ``default`` on. Ends the command without one."""
    wanted = asked or default
    reason = _taken(wanted, host)
    if not reason:
        return wanted
    free = next((number for number in range(wanted + 1, LAST_PORT + 1) if not _taken(number, host)), None)
    if asked is not None or free is None:
        another = "choose another one" if free is None else f"the next free one: --port {free}"
        fail(f"port {wanted} on {host} cannot be had ({reason}); {another}")
    say(f"port {wanted} on {host} is taken; using {free}")
    return free


def _taken(number: int, host: str) -> str:
    """Why nobody can listen there; empty where one can."""
    try:
        socket.create_server((host, number), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        return os.strerror(error.errno or 0) if not isinstance(error, socket.gaierror) else "there is no such address"
    return ""


def serve(module: Sequence[str], variables: Mapping[str, str], number: int, page: Callable[[str], str] = str) -> None:
    """Run a Python module that serves on a port until Ctrl-C or SIGTERM; its address is printed once it answers.

    ``page``: the address to open, from that of the server. Ends the command: 130 when it was stopped, 1 when the server
    ended by itself.
    """
    stop = signal.signal(signal.SIGTERM, signal.default_int_handler)
    server = subprocess.Popen(
        [sys.executable, "-m", *module],
        env={**os.environ, **variables},
        stdout=2,  # its words, as ours, go to stderr
        start_new_session=True,  # Ctrl-C is for this process, which asks the server to end
    )
    try:
        while server.poll() is None and not _answers(number):
            time.sleep(_POLL_SECONDS)
        if server.poll() is None:
            say("it is there; Ctrl-C ends it:")
            typer.echo(page(f"http://{HOST}:{number}"))
            server.wait()
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    finally:
        _end(server)
        signal.signal(signal.SIGTERM, stop)
    say(f"the server ended by itself, with exit code {server.returncode}; what it printed above says why")
    raise typer.Exit(FAILED)


def _answers(number: int) -> bool:
    try:
        socket.create_connection((HOST, number), 1).close()
    except OSError:
        return False
    return True


def _end(server: subprocess.Popen[bytes]) -> None:
    """Ask the server, and what it has started, to end; whoever does not is killed."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):  # its group is gone
            os.killpg(server.pid, number)
        with suppress(subprocess.TimeoutExpired):
            server.wait(_END_SECONDS)
            return


def is_sqlite(file: Path) -> bool:
    """Whether a file is a database of SQLite, by its first bytes; an empty one may become one."""
    if not file.is_file():
        return False
    with open(file, "rb") as opened:
        return opened.read(16) in (b"", b"SQLite format 3\0")
