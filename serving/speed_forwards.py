"""The forward passes that are measured: the engine's, and that of the plain model.

Tokens go in and logits come out. An engine's tokeniser and its answers in words are the same for every method, and no
part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from common.speed import Point
from serving import _loaded
from serving._batches import Piece
from serving._copies import Copied, Copies
from serving._loaded import Loaded
from serving.mixed import Mixed
from serving.row_cache import RowCache
from serving.speed_inputs import OUTPUTS, RandomArtifact, RandomRows, Texts, host_memory, random_rows, row_bytes
from serving.speed_settings import Settings
from serving.speed_timing import WARM_UP, Evaluation
from trainables import backbones, head, methods
from trainables.backbones import Seams
from trainables.batch import Batch
from trainables.trial import BackboneSource

if TYPE_CHECKING:
    from serving.speed_machine import Machine

#: Random rows of P on the disk, where those of all tasks are more: bytes, at least of two tasks, and the part of the
#: host's memory that they may take, as they are to stay in the page cache.
ROWS_BYTES, ROWS_PART = 8 << 30, 0.4
#: Of the device's memory what a cache of rows takes at most, and the tasks whose whole P it has room for otherwise.
CACHE_PART, CACHE_TASKS = 0.25, 8
#: Tokens of each task that a cache has seen before it is measured, and how many of them at a time.
SEEN, AT_ONCE = 1 << 15, 1 << 11


class Stream:
    """Evaluations one after the other. On a GPU the next batch is made ready in a thread while one is computed, as in
    an engine under load, and an evaluation ends when both are done."""

    def __init__(self, prepare: Callable[[int], Any], compute: Callable[[Any], Tensor], ahead: bool) -> None:
        self._prepare, self._compute = prepare, compute
        self._thread = ThreadPoolExecutor(1) if ahead else None
        self._next: tuple[int, Future[Any]] | None = None

    def __call__(self, index: int) -> Tensor:
        """The logits of the batch ``index``."""
        if self._thread is None:
            return self._compute(self._prepare(index))
        if self._next is None or self._next[0] != index:
            self._next = index, self._thread.submit(self._prepare, index)
        now = self._next[1].result()
        self._next = index + 1, self._thread.submit(self._prepare, index + 1)
        found = self._compute(now)
        self._next[1].result()
        return found

    def close(self) -> None:
        """End its thread."""
        if self._thread is not None:
            self._thread.shutdown()


class Bench:
    """One backbone with random weights on the device, and whatever line is measured on it.

    ``facts``: its sizes, the bytes of the cache, and what one more task takes by the method's form.
    """

    def __init__(self, source: BackboneSource, points: Sequence[Point], settings: Settings, machine: Machine) -> None:
        self._settings, self._machine = settings, machine
        self._backbone = backbones.unpretrained(source, machine.dtype, machine.device)
        self._plain = Plain(self._backbone)
        self._rows = self._random_rows(points)
        whole = self._backbone.spec.vocabulary * row_bytes(self._backbone.spec)
        most = min(CACHE_TASKS * whole, int(CACHE_PART * machine.memory))
        self._cache_bytes = most if settings.cache_gb is None else int(settings.cache_gb * 1e9)
        self._line: tuple[str, str, int, str] | None = None
        self._mixed: Mixed | None = None
        self._owners: list[Loaded] = []

    @property
    def facts(self) -> dict[str, Any]:
        spec = self._backbone.spec
        facts = {"parameters": spec.parameters, "layers": spec.layers, "width": spec.width}
        share = {} if self._rows is None else {"share_of_rows_of_its_own": round(self._rows.distinct, 4)}
        return {**facts, **share, "vocabulary": spec.vocabulary, "cache_bytes": self._cache_bytes}

    def bytes_per_task(self, point: Point) -> int:
        """What one more task takes, by the form of a point's method: its rows of P in half precision, its model in the
        precision of the device where weights are merged, else its own numbers in float32. Without its head."""
        spec, kind = self._backbone.spec, methods.get(point.method)
        if point.rows in ("host", "device"):
            return spec.vocabulary * row_bytes(spec)
        if kind.max_members == 1 or (point.variant == "fused" and not point.rows):
            return spec.parameters * self._machine.dtype.itemsize
        tensors = kind(kind.Config(), spec).initial(self._backbone, torch.Generator().manual_seed(0))
        return sum(4 * tensor.numel() for tensor in tensors.values())

    @contextmanager
    def ready(self, point: Point) -> Iterator[tuple[Evaluation, Evaluation]]:
        """Evaluations of the plain model and of the point's line, of the same batches."""
        mixed, owners = self._served(point)
        texts = Texts(self._backbone.spec, point.batch, point.length)
        last = self._settings.evaluations_at(point.batch)
        ids = {index: texts.ids(index) for index in range(-WARM_UP, last + 1)}
        ahead = self._machine.device.type == "cuda"
        plain = Stream(lambda index: self._plain.prepare(ids[index]), self._plain.outputs, ahead)
        method = Stream(lambda index: mixed.prepare(_pieces(ids[index], index, owners)), mixed.outputs, ahead)
        try:
            yield plain, method
        finally:
            plain.close()
            method.close()

    def _served(self, point: Point) -> tuple[Mixed, list[Loaded]]:
        """What serves a point's tasks; that of the last line once more, or a new one."""
        line = point.method, point.variant, point.tasks, point.rows
        if self._line != line or self._mixed is None:
            self._line, self._mixed, self._owners = None, None, []
            self._give_back()
            spec = self._backbone.spec
            capacity = max(1, self._cache_bytes // row_bytes(spec)) if point.rows in ("device", "factors") else 1
            cache = RowCache(capacity, spec.vocabulary, spec.layers, spec.width, self._machine.device)
            self._mixed = Mixed(self._backbone, cache)
            self._owners = self._loaded(point)
            for owner in self._owners:
                self._mixed.add(owner)
            if point.rows in ("device", "factors"):
                _fill(self._mixed, self._owners)
            self._line = line
        return self._mixed, self._owners

    def _give_back(self) -> None:
        """The memory of the last line, before more is taken."""
        if self._machine.device.type == "cuda":
            torch.cuda.empty_cache()

    def _loaded(self, point: Point) -> list[Loaded]:
        """A random artifact of each task, as an engine holds it."""
        found: list[Loaded] = []
        last: RandomArtifact | None = None
        for task in range(point.tasks):
            rows = self._rows.tasks[task] if self._rows is not None and point.rows in ("host", "device") else None
            if point.rows == "factors":
                rows = torch.empty(0)  # of which nobody reads
            fused = point.variant == "fused" and not point.rows
            last = RandomArtifact(point.method, self._backbone, rows, fused, last)
            artifact: Any = last
            found.append(_loaded.load(task, artifact, self._backbone, point.rows or "host"))  # type: ignore[arg-type]
        return found

    def _random_rows(self, points: Sequence[Point]) -> RandomRows | None:
        """Rows of P for as many tasks as the lines with fused rows have; None where there is no such line."""
        tasks = max((point.tasks for point in points if point.rows in ("host", "device")), default=0)
        if not tasks:
            return None
        most = 0 if self._settings.quick else min(ROWS_BYTES, int(ROWS_PART * host_memory()))
        return random_rows(self._backbone.spec, tasks, most, self._settings.scratch)


class Plain:
    """The plain model, with nothing of an engine: ids, the backbone, one head."""

    def __init__(self, backbone: backbones.Backbone) -> None:
        device = backbone.embedding_matrix.device
        self._backbone, self._copies = backbone, Copies(device)
        tensors = head.initial(OUTPUTS, backbone.spec.width, torch.Generator().manual_seed(0))
        self._weight, self._bias = (tensors[name].unsqueeze(0).to(device) for name in (head.WEIGHT, head.BIAS))

    def prepare(self, ids: np.ndarray) -> Copied:
        """A batch ``(b, n)`` on its way to the device."""
        arrays = ids, np.ones_like(ids), np.zeros_like(ids)
        return self._copies.start([torch.from_numpy(array) for array in arrays])

    @torch.inference_mode()
    def outputs(self, copied: Copied) -> Tensor:
        """Logits ``(1, b, outputs)`` in float32."""
        ids, mask, types = copied.arrived()
        batch = Batch(ids, mask, types, ids.new_zeros(1, len(ids)))  # type: ignore[arg-type, union-attr]
        first = self._backbone(batch, Seams(), first_only=True)
        return head.logits(first, batch, self._weight, self._bias, 0.0)


def _pieces(ids: np.ndarray, index: int, owners: Sequence[Loaded]) -> list[Piece]:
    """The sequences of batch ``index``, which belong to the tasks in turn, across batches as well."""
    types = np.zeros(ids.shape[1], np.int64)
    first = index * len(ids)
    return [Piece(i, owners[(first + i) % len(owners)], row, types) for i, row in enumerate(ids)]


def _fill(mixed: Mixed, owners: Sequence[Loaded]) -> None:
    """Let the cache see texts of every task, the tasks in turn, as if they had been served for a while."""
    texts = Texts(mixed.backbone.spec, 1, AT_ONCE)
    for index in range(SEEN // AT_ONCE):
        for number, owner in enumerate(owners):
            mixed.take_in(owner, np.unique(texts.ids(index * len(owners) + number)))
