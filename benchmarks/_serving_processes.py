"""Each way has a process of its own that stays, so that ways can take turns without starting again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from benchmarks._serving_rounds import Outcome
from benchmarks._serving_sizes import Bench, Point, Way
from benchmarks._training_plain import Process

WORKER = "benchmarks._serving_worker"
ENDED = "its process has ended"
COMPILING_SECONDS = 120  # the most for a turn in which something is compiled, which other ways wait for
#: How far apart logits of the same weights may be, in standard deviations of the logits.
APART = {"float32": 1e-3, "bfloat16": 0.1}


class Processes:
    """Answers batches of a case, which ``case`` holds. What runs at the end of the bench's time is given up."""

    def __init__(self, bench: Bench, case: Path, folder: Path) -> None:
        self._bench, self._case, self._folder = bench, case, folder
        self._processes: dict[Way, Process] = {}

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for way in list(self._processes):
            self._end(way)

    def start(self, ways: Sequence[Way], at_once: int) -> dict[Way, str]:
        """Start their processes, so many at once, and let them load; what failed, and why."""
        failed: dict[Way, str] = {}
        for group in (ways[i : i + at_once] for i in range(0, len(ways), at_once)):
            for way in group:
                self._processes[way] = Process(way, self._bench.device, self._bench.threads, self._folder, WORKER)
            for way in group:
                try:
                    self._processes[way].start_up(self._bench.until)
                    self._ask(way, {"load": str(self._case), "cache_bytes": self._bench.size.cache_bytes})
                except (RuntimeError, BrokenPipeError) as error:
                    failed[way] = self._failed(way, error)
        return failed

    def answers(self, way: Way, point: Point, number: int = 0) -> dict[str, Any]:
        """The ``logits`` of a batch and the memory of the process in ``mib``, or the ``error`` why there are none."""
        if way not in self._processes:
            return {"error": ENDED}
        try:
            return self._ask(way, {"answers": [point.tasks, point.rows, point.mix], "number": number})
        except (RuntimeError, BrokenPipeError) as error:
            return {"error": self._failed(way, error)}

    def run(self, way: Way, point: Point) -> Outcome:
        """One turn of a way; what fails is told in the outcome."""
        if way not in self._processes:
            return Outcome(error=ENDED)
        size = self._bench.size
        command = {"time": [point.tasks, point.rows, point.mix], "warm": size.warm, "calls": size.calls}
        try:
            answer = self._ask(way, command)
        except (RuntimeError, BrokenPipeError) as error:
            return Outcome(error=self._failed(way, error))
        answer |= {name: tuple(answer[name]) for name in ("seconds", "text")}
        return Outcome(**answer)

    def _ask(self, way: Way, command: dict[str, Any]) -> dict[str, Any]:
        until = self._bench.until
        until = min(until, time.time() + COMPILING_SECONDS) if way.compiled else until
        self._processes[way].ask(command)
        answer = self._processes[way].answer(until)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def _failed(self, way: Way, error: Exception) -> str:
        if not str(error).startswith("MemoryError"):  # which a process survives that asked for room beforehand
            self._end(way)
        return str(error)

    def _end(self, way: Way) -> None:
        self._processes.pop(way).close()


def check(
    processes: Processes, ways: Sequence[Way], points: Sequence[Point], precision: str
) -> tuple[list[dict[str, Any]], dict[tuple[Way, int], dict[str, float]]]:
    """Compare the logits of ways that have the same weights, LoRA's and those with rows of P, with the first of them.

    Returns a row per way and point: ``difference``, the largest of a batch, ``deviation`` of the logits that are
    compared with, ``same_labels``, a share, and ``error``, which is empty where they are equal as far as ``APART``;
    ``with``: the way that it was compared with, empty where it gave no logits. And the memory of each way's process by
    its tasks, in MiB: ``points`` have ever more of them.
    """
    rows, memory = [], {}
    for point in points:
        first: dict[bool, tuple[Way, np.ndarray]] = {}
        for way in ways:
            answer = processes.answers(way, point)
            if "mib" in answer:
                memory[way, point.tasks] = answer["mib"]
            if way.side == "plain":
                continue
            row = {"tasks": point.tasks, "batch": point.rows, "way": str(way), "side": way.side, "with": ""}
            rows.append(row | {"error": answer.get("error", "")})
            if "logits" in answer:
                found = np.array(answer["logits"])
                known, reference = first.setdefault(way.rows is None, (way, found))
                rows[-1] |= {"with": str(known), **compared(found, reference, precision)}
    return rows, memory


def compared(found: np.ndarray, reference: np.ndarray, precision: str) -> dict[str, Any]:
    """How far two sets of logits ``(b, outputs)`` are apart, and a sentence where that is too far."""
    difference, deviation = float(np.abs(found - reference).max()), float(reference.std())
    far = not difference <= APART[precision] * deviation
    told = f"logits differ by up to {difference:.2g}, more than {APART[precision]} of their deviation {deviation:.2g}"
    same = float((found.argmax(-1) == reference.argmax(-1)).mean())
    return {
        "difference": difference, "deviation": deviation, "same_labels": same, "error": told if far else ""
    }  # fmt: skip
