"""What ``benchmarks/serving.py`` serves: artifacts that look trained, real texts, and batches that mix them."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _training_data as sources
from benchmarks._serving_sizes import Point
from trainables.tasks import Task
from trainables.trial import BackboneSource, Precision

#: Moved that far from a method's start, each tensor as a normal number would: as if it had been trained.
_NOISE = {"lora": 0.05, "aot_fc": 0.02, "fine_tuning": 0.002}
_HEAD_STD = 0.2


@dataclass(frozen=True)
class Row:
    """The fields that a request for it has, and the text that they make."""

    fields: dict[str, str]
    first: str
    second: str | None

    @property
    def text(self) -> str | tuple[str, str]:
        """As a tokenizer takes it."""
        return self.first if self.second is None else (self.first, self.second)


@dataclass(frozen=True)
class Case:
    """One backbone, the artifacts of its tasks, and rows that any of them can be asked about.

    ``folder`` holds METHOD/NUMBER, one artifact for each task; ``distinct``: how many of a method there are, the others
    being the same under other names. ``drawn``: there was no data, texts are random words.
    """

    folder: Path
    backbone: BackboneSource
    rows: tuple[Row, ...]
    max_length: int
    precision: Precision
    distinct: dict[str, int]
    drawn: bool

    def artifact(self, method: str, task: int) -> Any:
        """The artifact of a task."""
        from serving import artifact

        return artifact.load(self.folder / method / str(task), verify=False)

    def batch(self, point: Point, number: int) -> list[tuple[int, Row]]:
        """The rows of a batch with the task that each is for, by task; the same texts whatever the tasks are."""
        chance = np.random.default_rng([point.rows, number])
        rows = chance.choice(len(self.rows), point.rows, replace=len(self.rows) < point.rows)
        if point.mix == "random":
            whose = np.sort(chance.integers(point.tasks, size=point.rows))
        else:
            at_once = min(point.tasks, point.rows)
            first = number * point.rows if point.tasks > point.rows else 0
            whose = (np.arange(point.rows) * at_once // point.rows + first) % point.tasks
        return [(int(task), self.rows[row]) for task, row in zip(whose, rows, strict=True)]

    def save(self, path: Path) -> Path:
        """Write it down for another process; ``pickle`` reads it."""
        with open(path, "wb") as file:
            pickle.dump(self, file)
        return path


@dataclass(frozen=True)
class Wanted:
    """What is to be made: of each method the hyperparameters, and how many artifacts are made and not linked."""

    backbone: str
    texts: str
    tasks: int
    configs: dict[str, dict[str, Any]]
    distinct: dict[str, int]
    max_length: int
    precision: Precision


def prepare(wanted: Wanted, folder: Path, data_dir: str | None, device: str) -> Case:
    """Write the artifacts and find the texts. ``device``: where rows of P are computed."""
    from trainables import backbones

    folder.mkdir(parents=True, exist_ok=True)
    task, drawn = sources.bound_task(wanted.texts, folder, data_dir)
    source = sources.bound_backbone(wanted.backbone, task, folder)
    for method in wanted.configs:
        _write(wanted, method, task, source, folder, device)
    rows = rows_of(task, backbones.tokenizer(source), wanted.max_length)
    distinct = {method: min(wanted.distinct[method], wanted.tasks) for method in wanted.configs}
    return Case(folder, source, rows, wanted.max_length, wanted.precision, distinct, drawn)


def rows_of(task: Task, tokenizer: Any, most: int) -> tuple[Row, ...]:
    """The dev rows of a task that no side has to cut."""
    from trainables.tasks._read import read
    from trainables.tasks._text import rendered

    table = read(task.source, "dev", (*task.columns, task.label))
    texts = rendered(task, table)
    seconds: Sequence[str | None] = texts.second or [None] * len(texts.first)
    columns = {column: table.columns[column] for column in task.columns}
    found = [
        Row({column: str(values[i]) for column, values in columns.items()}, first, second)
        for i, (first, second) in enumerate(zip(texts.first, seconds, strict=True))
    ]
    lengths = tokenizer.backend_tokenizer.encode_batch([row.text for row in found])
    return tuple(row for row, encoding in zip(found, lengths, strict=True) if len(encoding.ids) <= most)


def _write(wanted: Wanted, method: str, task: Task, source: Any, folder: Path, device: str) -> None:
    from serving import fuse
    from trainables import backbones

    made = min(wanted.distinct[method], wanted.tasks)
    encoder = backbones.load(source).to(device)
    try:
        for number in range(made):
            trial, tensors = _trained(wanted, method, _named(task, number), source, encoder, number)
            fuse.write(folder / method / str(number), trial, tensors, encoder)
    finally:
        encoder.to("cpu")  # it is kept for the next who asks
    for number in range(made, wanted.tasks):
        _link(folder / method / str(number % made), folder / method / str(number), _named(task, number).name)


def _named(task: Task, number: int) -> Task:
    return replace(task, name=f"bench/task-{number:02d}")


def _trained(wanted: Wanted, method: str, task: Task, source: Any, encoder: Any, seed: int) -> tuple[Any, Any]:
    """A trial and its tensors, moved from the start at random."""
    import torch

    from trainables import head, methods
    from trainables.trial import Protocol, Trial

    kind = methods.get(method)
    config = kind.Config(**wanted.configs[method])
    own = {"learning_rate": 1e-3, "batch_size": 16, **config.model_dump()}
    protocol = Protocol(epochs=1, patience=1, max_length=wanted.max_length, precision=wanted.precision)
    generator = torch.Generator().manual_seed(seed)

    def noise(shape: Sequence[int]) -> Any:
        return torch.randn(*shape, generator=generator)

    start = kind(config, encoder.spec).initial(encoder, generator)
    tensors = {name: value.cpu() + _NOISE[method] * noise(value.shape) for name, value in start.items()}
    weight, bias = (task.outputs, encoder.spec.width), (task.outputs,)
    tensors |= {head.WEIGHT: _HEAD_STD * noise(weight), head.BIAS: _HEAD_STD * noise(bias)}
    return Trial(source, task, method, own, seed, protocol), tensors


def _link(there: Path, here: Path, name: str) -> None:
    """The same artifact for a task of another name; its files are not copied."""
    from serving import _document, artifact

    shutil.rmtree(here, ignore_errors=True)
    shutil.copytree(there, here, copy_function=os.link)
    document = _document.read((there / artifact.FILE).read_bytes())
    renamed = document.model_copy(update={"task": document.task.model_copy(update={"name": name})})
    (here / artifact.FILE).unlink()  # it is the other's as well
    (here / artifact.FILE).write_bytes(_document.written(renamed))
