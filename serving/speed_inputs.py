"""What is evaluated: random texts, random rows of P and random members, as inference time asks no more of them.

Token ids are drawn by Zipf's law, as words in texts are distributed: the token of rank ``r`` with a probability
proportional to ``1/r``, ranks dealt to ids at random. How many tokens of a batch are distinct depends on it, and so how
many rows of P are moved.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.seeds import seed_of
from trainables import head, methods
from trainables.backbones import Backbone, Spec
from trainables.methods import Method

SEED = 0
#: The deviation of random rows of P, and of what a method begins with as zero.
STD = 0.02
#: Of each task's head.
OUTPUTS = 2
_BLOCK = 1 << 24  # numbers that are drawn, and written again and again


class Texts:
    """Batches of token ids of one size; none has padding. The same index gives the same batch.

    Args:
        spec: the backbone's sizes; here its vocabulary and the padding's id, which never occurs.
        batch: sequences. length: tokens of each.
    """

    def __init__(self, spec: Spec, batch: int, length: int) -> None:
        self.shape = batch, length
        order = np.random.default_rng(seed_of(f"{SEED}/ranks")).permutation(spec.vocabulary)
        self._ids = order[order != spec.pad_token_id]
        weights = 1 / np.arange(1, len(self._ids) + 1)
        self._until = np.cumsum(weights) / weights.sum()

    def ids(self, index: int) -> np.ndarray:
        """Token ids ``(b, n)`` int64 of the batch ``index``."""
        draws = np.random.default_rng(seed_of(f"{SEED}/{self.shape}/{index}")).random(self.shape)
        ranks = np.searchsorted(self._until, draws, side="right").clip(max=len(self._ids) - 1)
        return self._ids[ranks]


class RandomArtifact:
    """What an engine loads of an artifact, with random numbers: all that inference time depends on.

    Args:
        name: of the method; it has its default hyperparameters.
        backbone: whose sizes it has.
        rows: the rows of P ``(v, l, d)``, for a line with fused ones.
        fused: whether the method's change is merged into the backbone's weights.
        like: one of the same method, whose numbers it has at other places of its own: faster than drawing them.
    """

    hyperparameters: Mapping[str, Any] = MappingProxyType({})

    def __init__(
        self,
        name: str,
        backbone: Backbone,
        rows: Tensor | None = None,
        fused: bool = False,
        like: RandomArtifact | None = None,
    ) -> None:
        kind: Any = methods.get(name)
        self.path, self.method_name = Path(f"random {name}"), name
        self._method: Method = kind(kind.Config(), backbone.spec)
        self._rows, self._weights = rows, None
        if like is None:
            generator = torch.Generator().manual_seed(SEED)
            own = {**self._method.initial(backbone, generator), **head.initial(OUTPUTS, backbone.spec.width, generator)}
            self._tensors = {name: _filled(value, generator) for name, value in own.items()}
        else:
            self._tensors = {name: value.roll(1) for name, value in like.tensors().items()}
        if fused:
            device = backbone.embedding_matrix.device
            params = {name: t.to(device) for name, t in self._tensors.items() if not name.startswith(head.PREFIX)}
            self._weights = self._method.fuse(params, backbone).weights

    def tensors(self) -> dict[str, Tensor]:
        """As of an artifact."""
        return dict(self._tensors)

    def rows(self) -> Tensor | None:
        """As of an artifact."""
        return self._rows

    def weights(self) -> Mapping[str, Tensor] | None:
        """As of an artifact."""
        return self._weights

    def method(self, spec: Spec) -> Method:
        """As of an artifact."""
        return self._method


def _filled(value: Tensor, generator: torch.Generator) -> Tensor:
    """What begins as zero, as a trained one might be: noughts may be computed faster."""
    return value if value.any() else STD * torch.randn(value.shape, generator=generator)


@dataclass(frozen=True)
class RandomRows:
    """Rows of P of several tasks in a memory-mapped temporary file. ``distinct``: the share of a task's rows that the
    next one does not share with it; 1 where the file holds all of each."""

    tasks: tuple[Tensor, ...]  # (v, l, d) float16 each
    distinct: float


def host_memory() -> int:
    """The bytes of this machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def row_bytes(spec: Spec) -> int:
    """The bytes of one token's rows for all layers, in half precision."""
    return 2 * spec.layers * spec.width


def random_rows(spec: Spec, tasks: int, most: int, scratch: Path | None) -> RandomRows:
    """Random rows ``(v, l, d)`` in half precision for each of ``tasks``, in a file of about ``most`` bytes at most.

    Where all rows of all tasks are more, the tasks lie in the file one behind the other with overlap: each reads
    rows ``s, s + 1, …, s + v - 1`` of it for a start ``s`` of its own. Its frequent tokens are then at other places
    than those of the others, so that what a batch reads is of distinct rows, as with distinct tasks; but all of them
    together are read from fewer bytes. At least two tasks' rows are written where there are two.

    Raises ValueError where the disk has no room. The file has no name, and is gone with the process.
    """
    size, one = spec.vocabulary, row_bytes(spec)
    room = max(most // one, 2 * size)
    step = size if tasks * size <= room else (room - size) // (tasks - 1)
    total = size + step * (tasks - 1)
    free = shutil.disk_usage(scratch or tempfile.gettempdir()).free
    if total * one > free:
        raise ValueError(
            f"random rows of P for {tasks} tasks take {total * one / 1e9:.1f} GB of disk, but "
            f"{scratch or tempfile.gettempdir()} has {free / 1e9:.1f} GB; name another folder by --scratch, or fewer "
            "--tasks"
        )
    with tempfile.TemporaryFile(dir=scratch) as file:
        _fill(file, total * one // 2)
        mapped = np.memmap(file, np.float16, "r+", shape=(total, spec.layers, spec.width))
    rows = torch.from_numpy(mapped)
    return RandomRows(tuple(rows[step * task : step * task + size] for task in range(tasks)), step / size)


def _fill(file: Any, numbers: int) -> None:
    """Write so many random numbers in half precision."""
    draws = np.random.default_rng(SEED).standard_normal(min(_BLOCK, numbers), np.float32)
    block = (STD * draws).astype(np.float16)
    for start in range(0, numbers, len(block)):
        file.write(block[: numbers - start].data)
    file.flush()
    os.fsync(file.fileno())  # else it would be written while time is measured
