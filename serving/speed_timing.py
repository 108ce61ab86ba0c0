"""Two ways of one computation, timed in turn in one process, so that whatever drifts meets both."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from serving.speed_statistics import LEAST_PAIRS

#: One evaluation of the batch of an index: from its token ids in the host's memory to its logits.
Evaluation = Callable[[int], object]
WARM_UP = 5


@dataclass(frozen=True)
class Pairs:
    """Milliseconds of both in each pair, ``(pairs,)``."""

    plain: np.ndarray
    method: np.ndarray

    @property
    def ratios(self) -> np.ndarray:
        """The method's time over the plain model's, pair by pair."""
        return self.method / self.plain


def in_pairs(
    plain: Evaluation,
    method: Evaluation,
    pairs: int,
    wait: Callable[[], None],
    *,
    seconds: float | None = None,
    tick: Callable[[int, int], None] = lambda done, pairs: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Pairs:
    """Time ``pairs`` pairs of evaluations, both of a pair on the same batch, each pair on a new one.

    Which of the two comes first changes from pair to pair: plain, method; method, plain; and so on. The second one
    finds the embeddings of the batch's tokens in the processor's cache, and each is the second one as often.
    ``wait`` returns when the device has nothing left to do; it is called before a clock is read. Both are evaluated
    ``WARM_UP`` times before, on batches of their own. ``seconds``: no pair is begun after so many, once there are
    ``LEAST_PAIRS``. ``tick`` hears after each pair how many of how many there are.
    """
    for index in range(-WARM_UP, 0):
        plain(index)
        method(index)
    found = np.empty((pairs, 2))
    begun = clock()
    with _without_collection():
        for index in range(pairs):
            if seconds is not None and index >= LEAST_PAIRS and clock() - begun > seconds:
                found = found[:index]
                break
            for which in (0, 1) if index % 2 == 0 else (1, 0):
                evaluate = (plain, method)[which]
                wait()
                start = clock()
                evaluate(index)
                wait()
                found[index, which] = 1e3 * (clock() - start)
            tick(index + 1, pairs)
    return Pairs(found[:, 0], found[:, 1])


@contextmanager
def _without_collection() -> Iterator[None]:
    """Python's search for circles among objects would meet one of the two by chance."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
