"""One frozen backbone, many tasks: rows of any mix of them in one batch."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from serving import _loaded
from serving._answers import answer
from serving._batches import Piece, forwards
from serving._loaded import Loaded, Rows
from serving._names import Names, Served
from serving.artifact import Artifact
from serving.mixed import Mixed, Prepared
from serving.request import Answer, Refusal, Request
from serving.row_cache import RowCache
from serving.text import Reader, Reading, Wanted
from trainables import backbones
from trainables.data import ahead
from trainables.trial import BackboneSource, Precision

__all__ = ["Engine", "Rows", "Served"]

#: What a forward pass costs beside its tokens, in tokens: a CPU reads all weights, a GPU waits for launches.
_LAUNCH = {"cpu": 64, "cuda": 1024}
#: Memory for cached rows where none is named: of a CPU in bytes, of a GPU the share of what is free.
_CPU_CACHE, _GPU_CACHE = 1 << 30, 0.5
#: An artifact that is served, and a row for it in tokens.
_Known = tuple[Loaded, Reading]
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Engine:
    """Answers requests for many tasks with one copy of a backbone.

    Rows of all AoT tasks share one forward pass of the plain backbone, to which the rows of P of the batch's distinct
    (task, token) pairs are added; of the other methods those that differ in nothing but their tensors share one by the
    member axis. Methods ``predict``, ``add`` and ``remove`` may be called by several threads at once.

    Args:
        backbone: the encoder that all artifacts were trained on.
        device: ``cpu``, ``cuda``, ``cuda:1``; ``auto``: the first GPU if there is one.
        precision: of the forward pass, ``float32`` or ``bfloat16``; heads are computed in float32.
        rows: where rows of P come from, where ``add`` is not told otherwise.
        cache_bytes: memory for cached rows of P on the device, for ``device`` and ``factors``; None: half of what is
            free there on a GPU, else 1 GiB.
        max_tokens: of a forward pass, padding counted; one sequence always fits.
        too_long: whether a text that is longer than its task takes is ``cut`` as in training, or ``refuse``.
        threads: of the library's CPU kernels; None: as they are. It holds for the whole process.

    Raises:
        ValueError: as ``backbones.load``; the device is not there.
    """

    def __init__(
        self,
        backbone: BackboneSource,
        *,
        device: str = "auto",
        precision: Precision = "float32",
        rows: Rows = "host",
        cache_bytes: int | None = None,
        max_tokens: int = 16_384,
        too_long: Literal["cut", "refuse"] = "cut",
        threads: int | None = None,
    ) -> None:
        _require("rows", rows, get_args(Rows))
        _require("precision", precision, tuple(_DTYPES))
        _require("too_long", too_long, ("cut", "refuse"))
        if threads is not None:
            torch.set_num_threads(threads)
        self.backbone = backbone
        self.device = _device(device)
        self._rows = rows
        self._max_tokens = max_tokens
        self._reader = Reader(backbone, too_long)
        encoder = _encoder(backbone, _DTYPES[precision], self.device)
        self._mixed = Mixed(encoder, _cache(encoder, self.device, cache_bytes))
        self._names = Names()
        self._numbers = itertools.count()
        self._changing = threading.Lock()  # who adds or removes
        self._computing = threading.Lock()  # who is on the device
        self._forwards = self._sequences = self._tokens = self._padding = 0

    def add(self, artifact: Artifact, name: str | None = None, rows: Rows | None = None) -> str:
        """Serve an artifact, and say under which name.

        By default the name is TASK where no other artifact of the task is served, else TASK@METHOD. TASK@METHOD is
        always good, and so is the bare TASK while it can mean one artifact alone.

        Args:
            artifact: of this engine's backbone. Merged weights are used where it has them.
            name: what requests are to call it.
            rows: where its rows of P come from, where it has them; by default as the engine's.

        Raises:
            ValueError: the artifact is of another backbone or does not fit it; the name is taken; the method has no
                rows of P.
        """
        artifact.check_backbone(self.backbone)
        if rows is not None:
            _require("rows", rows, get_args(Rows))
            if artifact.rows() is None:
                method = artifact.method_name
                raise ValueError(
                    f"rows={rows!r} belongs to methods with rows of P, and {method} has none; leave it out"
                )
        with self._changing:
            key = self._names.key(artifact, name)
            loaded = _loaded.load(next(self._numbers), artifact, self._mixed.backbone, rows or self._rows)
            with self._computing:
                self._mixed.add(loaded)
            self._names = self._names.with_one(key, loaded)
            return self._names.shown(key)

    def remove(self, name: str) -> None:
        """Serve it no longer; requests that are being answered still are. KeyError names those that are served."""
        with self._changing:
            found = self._names.find(name)
            if isinstance(found, str):
                raise KeyError(found)
            self._names = self._names.without(found)
            with self._computing:
                self._mixed.remove(found)

    def tasks(self) -> tuple[Served, ...]:
        """What is served, in the order in which it was added."""
        return self._names.served()

    def predict(self, requests: Sequence[Request]) -> list[Answer | Refusal]:
        """An answer or a refusal for each request, in their order; no request harms another."""
        found = self._read(requests)
        outputs = iter(self._outputs(list(_pieces(found))))
        return [
            one if isinstance(one, Refusal) else answer(request.task, *one, outputs)
            for request, one in zip(requests, found, strict=True)
        ]

    def facts(self) -> dict[str, Any]:
        """Counters since the start.

        ``forwards``; ``sequences``; ``tokens``, without padding; ``padding``; ``cache_hits`` and ``cache_misses``, in
        distinct (task, token) pairs of each batch; ``cache_bytes``, taken by cached rows, and ``cache_capacity_bytes``.
        """
        cache = self._mixed.cache
        with self._computing:
            return {
                "forwards": self._forwards,
                "sequences": self._sequences,
                "tokens": self._tokens,
                "padding": self._padding,
                "cache_hits": cache.hits,
                "cache_misses": cache.misses,
                "cache_bytes": cache.rows * cache.row_bytes,
                "cache_capacity_bytes": cache.capacity * cache.row_bytes,
            }

    def _read(self, requests: Sequence[Request]) -> list[_Known | Refusal]:
        """Whom each request means, and its text in tokens."""
        names = self._names  # as they are now, whoever adds or removes meanwhile
        owners = [names.find(request.task) for request in requests]
        asked = zip(requests, owners, strict=True)
        read = iter(
            self._reader.read([_wanted(request, owner) for request, owner in asked if isinstance(owner, Loaded)])
        )
        found: list[_Known | Refusal] = []
        for request, owner in zip(requests, owners, strict=True):
            if isinstance(owner, str):
                found.append(Refusal(request.task, "unknown_task", owner))
            else:
                reading = next(read)
                found.append(reading if isinstance(reading, Refusal) else (owner, reading))
        return found

    def _outputs(self, pieces: Sequence[Piece]) -> list[list[float]]:
        """The outputs of each piece's own head, by its place."""
        batches = forwards(pieces, self._max_tokens, _LAUNCH[self.device.type])
        prepared: Iterable[Prepared] = map(self._mixed.prepare, batches)
        if self.device.type == "cuda" and len(batches) > 1:
            prepared = ahead(prepared)
        computed: list[tuple[Prepared, Tensor]] = []
        for batch in prepared:
            with self._computing:
                computed.append((batch, self._mixed.outputs(batch)))
                self._forwards += 1
                self._sequences += len(batch.pieces)
                self._tokens += batch.tokens
                self._padding += batch.padding
        found: list[list[float]] = [[] for _ in pieces]
        for batch, outputs in computed:  # a GPU is waited for here, and not between the batches
            for piece, row in zip(batch.pieces, outputs.tolist(), strict=True):
                found[piece.place] = row[: len(piece.owner.bias)]
        return found


def _wanted(request: Request, owner: Loaded) -> Wanted:
    return Wanted(request.task, owner.artifact.task, owner.artifact.max_length, request.fields)


def _pieces(found: Sequence[_Known | Refusal]) -> Iterable[Piece]:
    """The sequences of all rows that could be read, one after the other."""
    place = itertools.count()
    for one in found:
        if not isinstance(one, Refusal):
            owner, reading = one
            for ids, types in reading.sequences:
                yield Piece(next(place), owner, ids, types)


def _require(option: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(f"{option} must be one of {', '.join(known)}, but got {value!r}")


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(name)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:  # a name that is none, or a GPU that is not there
        raise ValueError(f"device must be one that is here, but got {name!r} ({error}); use cpu or auto") from error
    _require("device", found.type, tuple(_LAUNCH))
    return found


def _encoder(source: BackboneSource, dtype: torch.dtype, device: torch.device) -> backbones.Backbone:
    """The backbone on the device. What ``backbones.load`` keeps is for others as well, so a copy of it is moved."""
    kept = backbones.load(source, dtype)
    return kept if kept.embedding_matrix.device == device else deepcopy(kept).to(device)


def _cache(encoder: backbones.Backbone, device: torch.device, cache_bytes: int | None) -> RowCache:
    spec = encoder.spec
    if cache_bytes is None:
        cache_bytes = int(_GPU_CACHE * torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else _CPU_CACHE
    capacity = cache_bytes // (spec.layers * spec.width * torch.float16.itemsize)
    return RowCache(capacity, spec.vocabulary, spec.layers, spec.width, device)
