"""A real Ray cluster of several nodes on this machine: each is its own ``ray start``, with token authentication."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from helpers.ports import free_port

#: Each node has an address of its own; all of 127.0.0.0/8 is this machine.
HEAD_IP = "127.0.0.1"
MEMORY = 80 * 2**20  # bytes of object store per node; Ray wants 75 MiB at least


class Nodes:
    """A head without CPUs and workers with one each. ``home`` is the home folder of all; the token lies in it.

    Ray puts its sockets below the nodes' folders, and a socket's path has 107 bytes at most: the folder is
    a short one directly below the system's, whatever the tests' own folders are called.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="aot-"))
        self.home = self.folder / "home"
        self.token = secrets.token_hex(32)
        self.token_file = self.home / ".ray" / "auth_token"
        self.token_file.parent.mkdir(parents=True)
        self.token_file.write_text(self.token)
        self.port, self.dashboard_port = free_port(), free_port()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        return f"http://{HEAD_IP}:{self.dashboard_port}"

    @property
    def environment(self) -> dict[str, str]:
        """Of the nodes, and of whoever talks to them."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        return {
            **inherited,
            "HOME": str(self.home),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "RAY_AUTH_MODE": "token",
            "RAY_USAGE_STATS_ENABLED": "0",
        }

    def start_head(self) -> None:
        options = [f"--port={self.port}", "--dashboard-host=127.0.0.1", f"--dashboard-port={self.dashboard_port}"]
        options.append(f"--ray-client-server-port={free_port()}")  # else it is the same of all heads on a machine
        self._start("head", HEAD_IP, ["--head", *options, "--num-cpus=0"])
        self._wait("head")

    def start_workers(self, number: int, gpus: int = 0) -> None:
        """Each with one CPU and so many GPUs, which need not be there."""
        names = [f"worker{index}" for index in range(1, number + 1)]
        for index, name in enumerate(names):
            self._start(
                name, f"127.0.0.{index + 2}", [f"--address={HEAD_IP}:{self.port}", "--num-cpus=1", f"--num-gpus={gpus}"]
            )
        for name in names:
            self._wait(name)

    def _start(self, name: str, ip: str, options: list[str]) -> None:
        own = [f"--node-ip-address={ip}", f"--temp-dir={self.folder / name}", f"--object-store-memory={MEMORY}"]
        ports = [f"--dashboard-agent-listen-port={free_port()}", "--min-worker-port=0", "--max-worker-port=0"]
        with open(self._log(name), "wb") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *options, *own, *ports],
                env=self.environment,
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _wait(self, name: str) -> None:
        end = time.monotonic() + 120
        while "Ray runtime started" not in (told := self._log(name).read_text()):
            for node, process in self._processes.items():  # without a head, a worker would wait for nothing
                assert process.poll() is None, self._log(node).read_text()
            assert time.monotonic() < end, told
            time.sleep(0.2)

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def kill(self, name: str) -> None:
        """A machine that is gone: the node's processes, and all that they have started, with -9."""
        process = psutil.Process(self._processes[name].pid)
        for member in [*process.children(recursive=True), process]:
            member.kill()

    def stop(self) -> None:
        """End all nodes, workers first, and whatever they have started; delete their folder."""
        for process in reversed(self._processes.values()):
            family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
            for member in family:
                if member.is_running():
                    member.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
