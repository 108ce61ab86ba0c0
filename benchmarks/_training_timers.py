"""Where the seconds of a training go: timers around functions as they are, so that the product has none in it."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

#: What the seconds of a worker are told apart into, in the order of the tables.
PLACES = (
    "start-up", "data", "forward", "backward", "optimiser", "evaluation", "checkpoint", "reporting", "other", "idle",
)  # fmt: skip


class Timers:
    """Seconds by place. Each second counts once: for the innermost timer that runs, or for the outermost ``whole`` one.

    ``wait``: called at each border where the device works on by itself, so that its time counts where it belongs.
    """

    def __init__(self, wait: Callable[[], object] = lambda: None) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(PLACES, 0.0)
        self.real_tokens = self.padded_tokens = 0
        self.on = True
        self._wait, self._running, self._whole = wait, ["other"], False
        self._since = time.perf_counter()

    def restart(self) -> None:
        """Begin anew with nothing counted."""
        self.seconds = dict.fromkeys(PLACES, 0.0)
        self.real_tokens = self.padded_tokens = 0
        self._since = time.perf_counter()

    def read(self) -> dict[str, float]:
        """What has been counted until now."""
        self._charge()
        return dict(self.seconds)

    def _charge(self) -> None:
        if self.on:
            self._wait()
        now = time.perf_counter()
        self.seconds[self._running[-1]] += now - self._since
        self._since = now

    @contextmanager
    def of(self, place: str, whole: bool = False) -> Iterator[None]:
        """Count what runs within for ``place``; of a ``whole`` one, also what other timers run within it."""
        if self._whole or not self.on:
            yield
            return
        self._charge()
        self._running.append(place)
        self._whole = whole
        try:
            yield
        finally:
            self._whole = False
            self._charge()
            self._running.pop()

    def around(self, owner: Any, name: str, place: str, whole: bool = False) -> None:
        """Let the function ``owner.name`` count for ``place`` from now on."""
        function = getattr(owner, name)

        @functools.wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            with self.of(place, whole):
                return function(*arguments, **named)

        setattr(owner, name, timed)

    def around_batches(self, owner: Any, name: str, place: str) -> None:
        """The same of a function that gives an iterator of batches, whose tokens are counted too."""
        function = getattr(owner, name)

        @functools.wraps(function)
        def timed(*arguments: Any, **named: Any) -> Iterator[Any]:
            batches = iter(function(*arguments, **named))
            while True:
                with self.of(place):
                    batch = next(batches, None)
                if batch is None:
                    return
                self.count(batch.attention_mask)
                yield batch

        setattr(owner, name, timed)

    def count(self, mask: Any) -> None:
        """The tokens of a training batch, by its attention mask on the CPU."""
        self.real_tokens += int(mask.sum())
        self.padded_tokens += mask.numel()
