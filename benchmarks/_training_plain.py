"""The plain engine: each way has processes of its own that stay, so that ways can take turns without starting again."""

from __future__ import annotations

import json
import os
import pickle
import select
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks._training_grid import Cell, Outcome, Way

ROOT = Path(__file__).parents[1]
COMPILING_SECONDS = 120  # the most for a way that has to be compiled, which other ways wait for


class LateError(RuntimeError):
    """A worker has not answered in time."""


class Process:
    """One worker, and how long its start took. ``way``: what the worker's ``module`` knows how to do."""

    def __init__(
        self, way: Any, device: str, threads: int, folder: Path, module: str = "benchmarks._training_worker"
    ) -> None:
        job = folder / f"job-{time.monotonic_ns()}.pickle"
        with open(job, "wb") as file:
            pickle.dump((way, device, threads), file)
        self._log, self._began, self._start_up = job.with_suffix(".log"), time.time(), 0.0
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        with open(self._log, "w") as words:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, str(job)],
                cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=words, text=True,
            )  # fmt: skip

    def start_up(self, until: float) -> float:
        """Wait until it is ready, if it is not; the seconds that its start took."""
        if not self._start_up:
            self._start_up = self.answer(until)["ready"] - self._began
        return self._start_up

    def ask(self, command: dict[str, Any]) -> None:
        """Send a command; ``answer`` waits for what comes back."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def answer(self, until: float) -> dict[str, Any]:
        """The answer to the oldest command. ``LateError`` at ``until`` (of time.time), RuntimeError where it died."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], max(0.0, until - time.time()))[0]:
            raise LateError("not done within the time")
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a worker died with code {self._process.wait()}:\n{self._log.read_text()[-2_000:]}")
        found: dict[str, Any] = json.loads(line)
        return found

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


class Plain:
    """Trains cells in ways. ``until``: the moment (of time.time) at which whatever runs is given up."""

    def __init__(self, device: str, threads: int, folder: Path, until: float) -> None:
        self.device, self.until = device, until
        self._threads, self._folder = threads, folder
        self._processes: dict[Way, list[Process]] = {}
        self._loading: dict[tuple[Way, str], float] = {}

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release(list(self._processes))

    def start(self, ways: Iterable[Way]) -> None:
        """Start the processes of all these ways at once, on a machine with cores enough for that."""
        for way in ways:
            if way not in self._processes:
                several = range(way.workers)
                self._processes[way] = [Process(way, self.device, self._threads, self._folder) for _ in several]

    def release(self, ways: Iterable[Way]) -> None:
        """End the processes of some ways, and free the memory that they hold."""
        for way in ways:
            for process in self._processes.pop(way, ()):
                process.close()
            self._loading = {key: seconds for key, seconds in self._loading.items() if key[0] != way}

    def run(self, cell: Cell, way: Way, packs: Sequence[Sequence[int]] | None = None, timed: bool = False) -> Outcome:
        """Train the cell, or these packs of it; what fails is told in the outcome."""
        try:
            return self._run(cell, way, packs, timed)
        except (RuntimeError, BrokenPipeError) as error:
            self.release([way])
            return Outcome(way, 0, 0.0, 0.0, {}, error=str(error))

    def _run(self, cell: Cell, way: Way, packs: Sequence[Sequence[int]] | None, timed: bool) -> Outcome:
        until = min(self.until, time.time() + COMPILING_SECONDS) if way.compiled else self.until
        start_up = self._ready(cell, way, until)
        shares = shared(cell.runs(way) if packs is None else packs, way)
        asked = time.time()
        for process, share in zip(self._processes[way], shares, strict=True):
            process.ask({"train": str(_file(cell)), "packs": share, "timed": timed})
        answers = [_sound(process.answer(until)) for process in self._processes[way]]
        ended = max(answer["ended"] for answer in answers)
        where: dict[str, float] = {}
        for answer in answers:
            for place, seconds in answer["where"].items():
                where[place] = where.get(place, 0.0) + seconds
            if timed:
                where["idle"] = where.get("idle", 0.0) + ended - answer["ended"]
        scores = {(rate, seed): score for answer in answers for rate, seed, score in answer["scores"]}
        real, padded = (sum(answer["tokens"][i] for answer in answers) for i in (0, 1))
        memory = sum(answer["memory_mib"] for answer in answers)
        return Outcome(way, len(scores), ended - asked, start_up, scores, where, (real, padded), memory)

    def _ready(self, cell: Cell, way: Way, until: float) -> float:
        """See that the processes of a way are there and have loaded the cell; the seconds that this took at first."""
        self.start([way])
        processes = self._processes[way]
        start_up = max(process.start_up(until) for process in processes)
        if (way, cell.name) not in self._loading:
            with open(_file(cell), "wb") as file:
                pickle.dump(cell, file)
            began = time.time()
            for process in processes:
                process.ask({"load": str(_file(cell))})
            for process in processes:
                _sound(process.answer(until))
            self._loading[way, cell.name] = time.time() - began
        return start_up + self._loading[way, cell.name]


def shared(packs: Sequence[Sequence[int]], way: Way) -> list[list[list[int]]]:
    """Who trains what: packs dealt to the workers in turn; of the peer single trials."""
    units = [list(pack) for pack in packs] if way.who == "ours" else [[n] for pack in packs for n in pack]
    return [units[i :: way.workers] for i in range(way.workers)]


def _file(cell: Cell) -> Path:
    return cell.folder / f"{cell.name}.cell.pickle"


def _sound(answer: dict[str, Any]) -> dict[str, Any]:
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return answer
