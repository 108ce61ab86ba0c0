"""One frozen backbone, many tasks: rows of any mix of them in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from serving.request import Answer, Refusal, Request
from trainables.trial import BackboneSource, Precision

if TYPE_CHECKING:
    from serving.artifact import Artifact

#: Where rows of P come from: host memory, a cache on the device, or the small factors.
Rows = Literal["host", "device", "factors"]


@dataclass(frozen=True)
class Served:
    """A task that is served.

    ``name``: what requests call it. ``task``: the task's own name. ``fields``: the columns that a request must give.
    ``labels``: None for a regression. ``rows``: the form of the rows of P; None for a method without them. ``bytes``:
    what its rows or tensors take, in files that are mapped or in memory.
    """

    name: str
    task: str
    method: str
    labels: tuple[str, ...] | None
    fields: tuple[str, ...]
    score: float | None
    max_length: int
    rows: Rows | None
    bytes: int


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
        too_long: whether a text that is longer than its task takes is ``cut`` as in training, or ``refuse``\\ d.
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
        raise NotImplementedError

    def add(self, artifact: Artifact, name: str | None = None, rows: Rows | None = None) -> str:
        """Serve an artifact, and say under which name.

        By default the name is TASK where no other artifact of the task is served, else TASK@METHOD. TASK@METHOD is
        always good, and so is the bare TASK while it can mean one artifact alone.

        Raises:
            ValueError: the artifact is of another backbone; the name is taken; ``rows`` does not fit the method.
        """
        raise NotImplementedError

    def remove(self, name: str) -> None:
        """Serve it no longer; requests that are being answered still are. KeyError names those that are served."""
        raise NotImplementedError

    def tasks(self) -> tuple[Served, ...]:
        """What is served, in the order in which it was added."""
        raise NotImplementedError

    def predict(self, requests: Sequence[Request]) -> list[Answer | Refusal]:
        """An answer or a refusal for each request, in their order; no request harms another."""
        raise NotImplementedError

    def facts(self) -> dict[str, Any]:
        """Counters since the start.

        ``forwards``; ``sequences``; ``tokens``, without padding; ``padding``; ``cache_hits`` and ``cache_misses``, in
        distinct (task, token) pairs of each batch; ``cache_bytes``, taken by cached rows, and ``cache_capacity_bytes``.
        """
        raise NotImplementedError
