"""A process that serves in one way, so that its memory is its own.

    python -m benchmarks._serving_worker JOB.pickle

The job is ``(way, device, threads)``. Commands come as lines of JSON, and each is answered by one, both over pipes:

* ``{"load": CASE.pickle, "cache_bytes": 1}``: have the backbone at hand;
* ``{"answers": [TASKS, ROWS, MIX], "number": 0}``: answer a batch; the logits of its rows, and the memory that it took;
* ``{"time": [TASKS, ROWS, MIX], "warm": 2, "calls": 4}``: how long batches take, of which the first are not counted.
"""

from __future__ import annotations

import pickle
import time
from typing import Any

from benchmarks._serving_sizes import Point
from benchmarks._worker import serve


class Worker:
    """One way on one device."""

    def __init__(self, way: Any, device: str) -> None:
        from benchmarks._serving_text import Clock

        self.way, self.device, self.clock = way, device, Clock()
        self.case: Any = None
        self.side: Any = None
        self.imported = 0.0

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """Do what a command says."""
        if "load" in command:
            with open(command["load"], "rb") as file:
                self.case = pickle.load(file)
            self.side = self._side(command["cache_bytes"])
            return {"loaded": True}
        point = Point(*command.get("time", command.get("answers")))
        self.side.load(point.tasks)
        if "answers" in command:
            return self._answered(point, command["number"])
        return self._timed(point, command["warm"], command["calls"])

    def _side(self, cache_bytes: int) -> Any:
        if self.way.side == "peer":
            from benchmarks import _serving_peer as peer

            self.imported = memory()["rss"]
            kind = {"peft": peer.Peft, "models": peer.Models}[self.way.form]
            return kind(self.case, self.way, self.device, self.clock)
        from benchmarks import _serving_ours as ours

        self.imported = memory()["rss"]
        if self.way.side == "ours":
            return ours.Served(self.case, self.way, self.device, self.clock, cache_bytes)
        return ours.Plain(self.case, self.way, self.device, self.clock)

    def _answered(self, point: Point, number: int) -> dict[str, Any]:
        import torch

        on_gpu = self.device == "cuda"
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        said = self.side.answer(self.case.batch(point, number))
        peak = torch.cuda.max_memory_allocated() / 2**20 if on_gpu else 0.0
        now = memory()
        taken = {"rss": now["rss"], "files": now["files"], "imported": self.imported, "gpu_peak": peak}
        return {"logits": [logits for *_, logits in said], "mib": taken}

    def _timed(self, point: Point, warm: int, calls: int) -> dict[str, Any]:
        import torch

        wait = torch.cuda.synchronize if self.device == "cuda" else lambda: None
        for number in range(warm):
            self.side.answer(self.case.batch(point, number))
        seconds, text = [], []
        for number in range(warm, warm + calls):
            rows = self.case.batch(point, number)
            wait()
            self.clock.seconds, began = 0.0, time.perf_counter()
            self.side.answer(rows)
            wait()
            seconds.append(time.perf_counter() - began)
            text.append(self.clock.seconds)
        return {"seconds": seconds, "text": text, "facts": self.side.facts()}


def memory() -> dict[str, float]:
    """MiB that this process has in memory, and those of them that are pages of files, which can be dropped."""
    with open("/proc/self/status", encoding="ascii") as file:
        lines = dict(line.split(":", 1) for line in file)
    names = {"rss": "VmRSS", "files": "RssFile"}
    return {name: int(lines[key].split()[0]) / 1024 for name, key in names.items()}


if __name__ == "__main__":
    serve(Worker)
