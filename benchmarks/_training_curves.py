"""Trials per hour of ours against the size of a pack, the tokens of a trial's step, and the number of workers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks._training_grid import Grid, Outcome, Way, prepare
from benchmarks._training_plain import Plain

Row = dict[str, Any]
Say = Callable[[str], None]

PACKS = {"cpu": (1, 2, 4, 8), "cuda": (1, 2, 4, 8, 16, 32, 64, 128)}
BATCHES = {"cpu": (2, 4, 8, 16, 32), "cuda": (4, 8, 16, 32, 64, 128)}
#: Members of the packs that the curve over tokens has beside single trials.
MEMBERS = {"cpu": 4, "cuda": 16}


class Curves:
    """Measures points until time is up; every point trains the same number of steps per trial."""

    def __init__(self, engine: Plain, grid: Grid, folder: Path, data_dir: str | None, say: Say) -> None:
        self._engine, self._folder, self._data_dir, self._say = engine, folder, data_dir, say
        self._grid = replace(grid, learning_rates=grid.learning_rates[:1], epochs=1)
        self._way = Way("ours", grid.precision)

    def pack(self) -> list[Row]:
        """Members of a pack: one pack of each size."""
        sizes = PACKS[self._engine.device]
        cell = prepare("curve-pack", self._of(max(sizes)), self._folder, self._data_dir)
        rows: list[Row] = []
        for size in sizes:
            outcome = self._engine.run(cell, self._way, [list(range(size))])
            if not self._told(rows, {"pack": size}, outcome):
                break
        return rows

    def tokens(self) -> list[Row]:
        """Tokens of one trial's step, by its batch size: single trials, and packs of ``MEMBERS``."""
        members = MEMBERS[self._engine.device]
        rows: list[Row] = []
        for batch in BATCHES[self._engine.device]:
            grid = replace(self._of(members), batch_size=batch)
            cell = prepare(f"curve-tokens-{batch}", grid, self._folder, self._data_dir)
            alone = self._engine.run(cell, self._way, [[0]])
            together = self._engine.run(cell, self._way, [list(range(members))])
            if alone.error or not self._told(rows, {"batch_size": batch}, together):
                break
            steps = -(-(grid.rows or 1) // batch)
            gain = together.per_hour / alone.per_hour
            rows[-1] |= {"tokens_per_step": round(alone.tokens[1] / steps), "members": members}
            rows[-1] |= {"alone_per_hour": alone.per_hour, "gain_of_packing": gain}
        return rows

    def devices(self, workers: int) -> list[Row]:
        """Workers at a time, each with two trials of its own."""
        cell = prepare("curve-devices", self._of(2 * workers), self._folder, self._data_dir)
        rows: list[Row] = []
        for count in range(1, workers + 1):
            way = replace(self._way, workers=count)
            packs = [[number] for number in range(2 * count)]
            if not self._told(rows, {"workers": count}, self._engine.run(cell, way, packs)):
                break
        return rows

    def _of(self, trials: int) -> Grid:
        return replace(self._grid, seeds=tuple(range(trials)))

    def _told(self, rows: list[Row], point: Row, outcome: Outcome) -> bool:
        """Take a point; says whether there can be a next one."""
        if outcome.error:
            self._say(f"  {point}: {outcome.error}")
            return False
        rows.append(point | {"per_hour": outcome.per_hour, "memory_mib": outcome.memory_mib})
        words = ", ".join(f"{name} {value}" for name, value in point.items())
        self._say(f"  {words}: {outcome.per_hour:,.0f} trials per hour")
        return time.time() < self._engine.until


def measure(name: str, curves: Curves, workers: int) -> list[Row]:
    """The curve of this name: ``pack``, ``tokens`` or ``devices``."""
    return {"pack": curves.pack, "tokens": curves.tokens, "devices": lambda: curves.devices(workers)}[name]()


def plot(found: dict[str, list[Row]], path: Path) -> None:
    """A panel per curve."""
    from matplotlib.figure import Figure

    along = {"pack": "pack", "tokens": "tokens_per_step", "devices": "workers"}
    titles = {"pack": "members of a pack", "tokens": "padded tokens of a trial's step", "devices": "workers"}
    figure = Figure(figsize=(4.5 * len(found), 3.5), layout="constrained")
    for axes, (name, rows) in zip(figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True):
        points = [row[along[name]] for row in rows]
        axes.plot(points, [row["per_hour"] for row in rows], "o-", label="in packs" if name == "tokens" else None)
        if name == "tokens":
            axes.plot(points, [row["alone_per_hour"] for row in rows], "s--", label="alone")
            axes.legend()
        axes.set(xlabel=titles[name], ylabel="trials per hour", ylim=(0, None))
        if name != "devices":
            axes.set_xscale("log", base=2)
    figure.savefig(path, dpi=150)
