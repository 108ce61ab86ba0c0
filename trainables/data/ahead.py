"""Items made in a thread of their own, a few ahead of their use."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

#: How many are made before they are asked for: one in use by a device that works on its own, one that waits for it.
AHEAD = 2

_END: Any = object()

T = TypeVar("T")


def ahead(items: Iterable[T]) -> Generator[T, None, None]:
    """The same items in the same order; what making one of them raises is raised where it is due.

    The thread ends with the items, with an error, and when the iterator is closed.
    """
    made = iter(items)
    with ThreadPoolExecutor(1, "ahead") as thread:
        waiting = deque(thread.submit(next, made, _END) for _ in range(AHEAD))
        while (item := waiting.popleft().result()) is not _END:
            waiting.append(thread.submit(next, made, _END))
            yield item
