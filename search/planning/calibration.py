"""How long an epoch takes, found by training a few steps: for cells of which no trial has ended yet.

Of every cell one pack is really trained (``trainables.training``), twice for two short epochs: once with more rows to
train on and once with more rows to evaluate, so that both kinds of rows have a price. The first epoch of each is not
counted. As many cells are measured at once as packs find room on this machine, since a pack that shares the memory
with others is slower than one alone.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from search._process import environment
from search._words import Say
from search.planning.estimates import EpochTime
from search.planning.plan import CellPlan
from search.planning.texts import text_facts
from search.study import Range, Resources, Study
from trainables import devices, methods
from trainables.trial import CellKey, Pack, Trial

TRAIN_STEPS = (6, 2)  # of an epoch in the two measurements
DEV_ROWS = (4, 64)
EPOCHS = 2  # of which the last counts


@dataclass(frozen=True)
class Measurement:
    """An epoch of a pack: its rows, and the seconds of training and evaluation."""

    train_rows: int
    dev_rows: int
    seconds: float


def calibrate(study: Study, cells: Sequence[CellPlan], say: Say) -> dict[CellKey, EpochTime]:
    """The epoch times of these cells of the study's plan, measured. Of one that cannot be trained ``say`` hears why."""
    threads = study.resources.threads
    most = at_once(study.resources, devices.cores())
    epoch_times: dict[CellKey, EpochTime] = {}
    variables = {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    with environment(variables), ProcessPoolExecutor(min(most, len(cells)) or 1, _spawn()) as pool:
        waiting: dict[CellKey, Future[float]] = {}
        for cell in cells:
            waiting[cell.key] = pool.submit(epoch_seconds, example(study, cell), study.cache_dir, threads)
        for number, (key, future) in enumerate(waiting.items(), 1):
            try:
                epoch_times[key] = EpochTime(future.result(), None, "calibration")
                say(f"{number}/{len(waiting)} {key}: {epoch_times[key].seconds:.2g} s per epoch of a trial")
            except (ValueError, RuntimeError, OSError, MemoryError) as error:
                say(f"{key} cannot be measured: {str(error).splitlines()[0]}")
    return epoch_times


def at_once(resources: Resources, cores: int) -> int:
    """How many packs run side by side and slow each other down: those of a GPU, or of all cores."""
    beside = max(1, cores // resources.threads)
    return min(beside, max(1, int(1 / resources.gpus + 1e-9))) if resources.gpus else beside


def _spawn() -> Any:
    return multiprocessing.get_context("spawn")  # torch's threads do not survive a fork


def epoch_seconds(pack: Pack, tokens_cache: str, threads: int) -> float:
    """Seconds of one whole epoch of one member of ``pack``, from two short measurements."""
    from trainables import data

    first = pack.trials[0]
    whole = data.load(first.task, first.backbone, first.protocol, Path(tokens_cache))
    rows = len(whole.train), len(whole.dev)
    found = []
    for steps, dev_rows in zip(TRAIN_STEPS, DEV_ROWS, strict=True):
        cut = min(rows[0], steps * first.batch_size), min(rows[1], dev_rows)
        found.append(measure(pack, cut, tokens_cache, threads))
    return scaled(found[0], found[1], rows)


def scaled(one: Measurement, other: Measurement, rows: tuple[int, int]) -> float:
    """Seconds of an epoch of ``rows`` (train, dev), where both measurements pay the same for a row of each kind."""
    determinant = one.train_rows * other.dev_rows - other.train_rows * one.dev_rows
    if determinant == 0:  # so few rows that both measurements had the same
        return (one.seconds + other.seconds) / 2 * sum(rows) / (one.train_rows + one.dev_rows)
    train = (one.seconds * other.dev_rows - other.seconds * one.dev_rows) / determinant
    dev = (other.seconds * one.train_rows - one.seconds * other.train_rows) / determinant
    if dev < 0:  # lost in the noise: evaluation costs no more than training
        train, dev = one.seconds / one.train_rows, 0.0
    return rows[0] * max(train, 0.0) + rows[1] * dev


def measure(pack: Pack, rows: tuple[int, int], tokens_cache: str, threads: int) -> Measurement:
    """Train ``pack`` on so many rows (train, dev) in a temporary storage; per member, of the last epoch."""
    from trainables import training

    train_rows, dev_rows = rows
    protocol = pack.trials[0].protocol
    short = replace(protocol, epochs=EPOCHS, patience=EPOCHS, train_rows=train_rows, dev_rows=dev_rows)
    members = tuple(replace(trial, protocol=short) for trial in pack.trials)
    with tempfile.TemporaryDirectory(prefix="aot-calibration-") as folder:
        workspace = training.Workspace(folder, tokens_cache, threads=threads)
        *_, last = training.train(Pack(members), workspace)
    return Measurement(*rows, sum(epoch.seconds for epoch in last.epochs.values()) / len(members))


def example(study: Study, cell: CellPlan) -> Pack:
    """A pack of the cell: the middle one of those decided on, else one of values from the middle of its grid."""
    if cell.packs:
        return cell.packs[len(cell.packs) // 2]
    if cell.trials:
        return Pack((cell.trials[len(cell.trials) // 2],))
    backbone = next(b for b in study.backbones if b.name == cell.key.backbone)
    task = next(t for t in study.tasks if t.name == cell.key.task)
    drawn = {name: _middle(grid) for name, grid in study.grids(task.name, cell.key.method).items()}
    config = methods.get(cell.key.method).Config
    own = config(**{name: value for name, value in drawn.items() if name in config.model_fields}).model_dump()
    values = {**own, "learning_rate": float(drawn["learning_rate"]), "batch_size": int(drawn["batch_size"])}
    return Pack((Trial(backbone, task, cell.key.method, values, study.seeds[0], study.protocol_for(task)),))


def _middle(grid: tuple[Any, ...] | Range) -> Any:
    if not isinstance(grid, Range):
        return grid[len(grid) // 2]
    value = (grid.low * grid.high) ** 0.5 if grid.log else (grid.low + grid.high) / 2
    return round(value) if grid.whole else value


def tokens_of(study: Study) -> Callable[[str, str], float | None]:
    """The tokens of an epoch, both splits, by backbone and task; ``None`` where the data is not at hand."""

    @cache
    def tokens(backbone: str, task: str) -> float | None:
        facts = text_facts(study, backbone, task)
        return None if facts is None else float(sum(split.tokens for split in facts.values()))

    return tokens
