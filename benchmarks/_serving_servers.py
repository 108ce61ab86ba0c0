"""Two servers under load by turns: ``aot serve`` with tasks that share a backbone, and with one model per task."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from benchmarks._serving_case import Case, Wanted, prepare
from benchmarks._serving_load import Asked, Client, Sent, schedule, summary
from benchmarks._serving_sizes import Bench

ROOT = Path(__file__).parents[1]
HOST = "127.0.0.1"
START_SECONDS, END_SECONDS = 180, 30
CLIENTS = 16  # of the closed loop
REQUESTS = 512  # that are asked in turn
PATIENCE = 5.0  # seconds after the last request, then it has no answer
FULL = 0.5  # of what the slower server answers in the closed loop: the rate of the open one

#: The servers by the method of their artifacts. Fine-tuning is a whole model for each task.
SERVERS = {"aot_fc": "AoT, rows from the host", "fine_tuning": "one model per task"}

Say = Callable[[str], None]


class ServerError(RuntimeError):
    """A server does not start."""


class Server:
    """``aot serve`` of a folder of artifacts, on a port that is free. To be used as a context."""

    def __init__(self, folder: Path, bench: Bench, log: Path) -> None:
        with socket.create_server((HOST, 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://{HOST}:{port}"
        self._log, self._began = log, time.time()
        self.start_up = 0.0
        command = ["serve", str(folder), "--port", str(port), "--device", bench.device, "--rows", "host"]
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        environment |= {"OMP_NUM_THREADS": str(bench.threads), "PYTHONPATH": str(ROOT)}
        with open(log, "w") as words:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "search.cli", *command],
                cwd=ROOT, env=environment, stdout=words, stderr=words, start_new_session=True,
            )  # fmt: skip

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        family = self._family()
        self._process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()

    def wait(self) -> None:
        """Until it is ready to answer. ``ServerError`` where it ended, or is not ready within three minutes."""
        while not self._ready():
            if self._process.poll() is not None or time.time() > self._began + START_SECONDS:
                raise ServerError(f"the server did not start:\n{self._log.read_text()[-2_000:]}")
            time.sleep(0.2)
        self.start_up = time.time() - self._began

    def _ready(self) -> bool:
        with suppress(OSError), urllib.request.urlopen(f"{self.url}/readyz", timeout=10) as answer:
            return bool(answer.status == 200)
        return False

    def memory(self) -> float:
        """MiB that it and the processes it started have in memory for themselves, without pages of files."""
        total = 0
        for process in self._family():
            with suppress(OSError), open(f"/proc/{process.pid}/status", encoding="ascii", errors="replace") as file:
                lines = dict(line.split(":", 1) for line in file)
                total += int(lines.get("RssAnon", "0 kB").split()[0])
        return total / 1024

    def _family(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            own = psutil.Process(self._process.pid)
            return [own, *own.children(recursive=True)]
        return []


def requests_of(case: Case, tasks: int) -> list[Asked]:
    """One row a request, of the first so many tasks in turn."""
    found = []
    for number in range(REQUESTS):
        task = f"bench/task-{number % tasks:02d}"
        found.append(Asked(task, {"task": task, "fields": case.rows[number % len(case.rows)].fields}))
    return found


def under_load(bench: Bench, wanted: Wanted, seconds: float, rate: float | None, say: Say) -> dict[str, Any]:
    """Put both servers under load by turns, for so many seconds altogether: one task, then all; closed, then open."""
    folder = bench.folder / "servers"
    case = prepare(wanted, folder, bench.data_dir, bench.device)
    found: dict[str, Any] = {"backbone": wanted.backbone, "texts": wanted.texts, "tasks": wanted.tasks}
    found |= {"clients": CLIENTS, "errors": {}, "phases": [], "servers": []}
    with ExitStack() as stack:
        servers = {
            method: stack.enter_context(Server(folder / method, bench, folder / f"{method}.log")) for method in SERVERS
        }
        for method in list(servers):
            try:
                servers[method].wait()
                say(f"{SERVERS[method]}: ready after {servers[method].start_up:.0f} s")
            except ServerError as error:
                found["errors"][SERVERS[method]] = str(error)
                del servers[method]
        _phases(found, servers, case, seconds, rate, say)
    return found


def _phases(
    found: dict[str, Any], servers: dict[str, Server], case: Case, seconds: float, rate: float | None, say: Say
) -> None:
    """Warm up for a ninth of the time; the rest in equal parts."""
    each = seconds / (4 * len(SERVERS) + 1)
    mixes = (1, found["tasks"])
    for server in servers.values():
        for tasks in mixes:
            asyncio.run(_closed(server, requests_of(case, tasks), each / (2 * len(servers))))
    before = {method: server.memory() for method, server in servers.items()}
    for number, tasks in enumerate(mixes):
        turns = list(servers.items())[:: -1 if number % 2 else 1]
        asked = requests_of(case, tasks)
        capacity = []
        for method, server in turns:
            row = summary(asyncio.run(_closed(server, asked, each)))
            capacity.append(row["rows_per_second"])
            _add(found, method, tasks, "closed", row, say)
        for method, server in turns:
            per_second = rate or max(1.0, FULL * min(capacity))
            row = summary(asyncio.run(_open(server, asked, per_second, each)))
            _add(found, method, tasks, "open", {**row, "asked_per_second": per_second}, say)
    for method, server in servers.items():
        own = {"name": SERVERS[method], "start_up_seconds": server.start_up}
        found["servers"].append({**own, "mib_before": before[method], "mib_after": server.memory()})


def _add(found: dict[str, Any], method: str, tasks: int, loop: str, row: dict[str, Any], say: Say) -> None:
    found["phases"].append({"server": SERVERS[method], "tasks": tasks, "loop": loop, **row})
    mix = "one task" if tasks == 1 else f"{tasks} tasks"
    say(f"  {SERVERS[method]}, {mix}, {loop} loop: {row['rows_per_second']:,.0f} rows a second")


async def _closed(server: Server, asked: Sequence[Asked], seconds: float) -> list[Sent]:
    async with Client(server.url) as client:
        return await client.closed_loop(asked, CLIENTS, seconds, PATIENCE)


async def _open(server: Server, asked: Sequence[Asked], rate: float, seconds: float) -> list[Sent]:
    async with Client(server.url) as client:
        return await client.open_loop(asked, schedule(rate, seconds), PATIENCE)
