"""A process that trains for the plain engine: without Ray, without MLflow.

    python -m benchmarks._training_worker JOB.pickle

The job is ``(way, device, threads)``. Commands come as lines of JSON, and each is answered by one, both over pipes:

* ``{"load": CELL.pickle}``: have the cell's backbone and tokens at hand; on a GPU, which is slow at first, train once;
* ``{"train": CELL.pickle, "packs": [[0, 1], …], "timed": true}``: of ours packs, of the peer trials one by one.
"""

from __future__ import annotations

import pickle
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks._worker import serve


class Worker:
    """One way on one device."""

    def __init__(self, way: Any, device: str) -> None:
        import torch

        from benchmarks._training_timers import Timers

        self.way, self.device = way, device
        self._steady = 0.0  # seconds of the peer's trials, had each epoch taken as long as the last
        self.timers = Timers(torch.cuda.synchronize if device == "cuda" else lambda: None)
        if way.who == "ours":
            from benchmarks import _training_ours as side
        else:
            from benchmarks import _training_peer as side  # type: ignore[no-redef]
        self.side: Any = side
        side.install(self.timers)

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """Do what a command says."""
        import torch

        with open(command.get("load") or command["train"], "rb") as file:
            cell = pickle.load(file)
        if "load" in command:
            self.side.load(cell, self.way, self.device)
            if self.device == "cuda" and not self.way.compiled:
                self._train(cell, [[0]])
            return {"loaded": True}
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        self.timers.on = command["timed"]
        self.timers.restart()
        began, self._steady = time.time(), 0.0
        scores = self._train(cell, command["packs"])
        if self.device == "cuda":
            torch.cuda.synchronize()
        ended = began + self._steady if self.way.compiled else time.time()
        where = self.timers.read() if command["timed"] else {}
        if self.device == "cuda":
            torch.cuda.empty_cache()  # other ways have their turn on the card
        return {
            "began": began,
            "ended": ended,
            "scores": [[*key, score] for key, score in scores.items()],
            "where": where,
            "tokens": [self.timers.real_tokens, self.timers.padded_tokens],
            "memory_mib": torch.cuda.max_memory_allocated() / 2**20 if self.device == "cuda" else 0.0,
        }

    def _train(self, cell: Any, packs: list[list[int]]) -> dict[tuple[float, int], float]:
        if self.way.who == "ours":
            with tempfile.TemporaryDirectory(prefix="aot-study-") as folder:
                return self.side.train(cell, self.way, packs, self.device, Path(folder, "study"), self.timers)
        trials, scores = cell.trials("peer"), {}
        for number in (n for numbers in packs for n in numbers):
            ends = [time.time()]
            score = self.side.train(
                cell, self.way, number, self.device, self.timers, lambda score, ends=ends: ends.append(time.time())
            )
            scores[trials[number].learning_rate, trials[number].seed] = score
            self._steady += trials[number].protocol.epochs * (ends[-1] - ends[-2])
        return scores


if __name__ == "__main__":
    serve(Worker)
