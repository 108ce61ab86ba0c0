"""One queue for the rows of all tasks: batches of whatever waits, cut by tokens and not by rows."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from serving.request import Answer, Refusal, Request

#: Signs of a text per token, on the low side: WordPiece takes 4 to 5 for English. The engine counts exactly.
SIGNS_PER_TOKEN = 3
#: What a task's template and the special tokens add.
OWN_TOKENS = 8

Predict = Callable[[list[Request]], list[Answer | Refusal]]


def estimated_tokens(request: Request, longest: int) -> int:
    """About how many tokens a row has, by the length of its texts; ``longest``: what a task takes at most."""
    signs = sum(len(value) for value in request.fields.values() if isinstance(value, str))
    return min(longest, OWN_TOKENS + signs // SIGNS_PER_TOKEN)


@dataclass(frozen=True)
class _Row:
    request: Request
    tokens: int
    answer: asyncio.Future[Answer | Refusal]


class Batches:
    """Rows wait while the engine works; once it is free it gets all that waits, up to ``most_tokens``.

    So a row that comes alone is answered at once, and the more there are, the larger batches become: nobody waits for a
    batch to fill. Rows come in the order in which they were asked for, whatever their tasks. To be used in one event
    loop.

    Args:
        predict: called in a thread, with ``at_once`` calls at a time at most.
        tokens: about how many tokens a row has.
        most_tokens: of a batch, its rows' tokens added up; one row always fits.
    """

    def __init__(self, predict: Predict, tokens: Callable[[Request], int], most_tokens: int, at_once: int = 1) -> None:
        self._predict, self._tokens, self._most_tokens = predict, tokens, most_tokens
        self._free = at_once
        self._waiting: deque[_Row] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._facts: dict[str, float] = dict.fromkeys(
            ("batches", "batch_rows", "batch_seconds", "largest_batch_rows"), 0
        )

    def __len__(self) -> int:
        """Rows that wait for their batch."""
        return len(self._waiting)

    def facts(self) -> dict[str, float]:
        """Counters since the start: batches, their rows, their seconds all together, and the rows of the largest."""
        return dict(self._facts)

    async def answers(self, requests: Sequence[Request]) -> list[Answer | Refusal]:
        """The answers in order; a caller that is cancelled takes its waiting rows with it."""
        loop = asyncio.get_running_loop()
        rows = [_Row(request, self._tokens(request), loop.create_future()) for request in requests]
        self._waiting += rows
        self._start()
        return list(await asyncio.gather(*(row.answer for row in rows)))

    def _start(self) -> None:
        while self._free and (batch := self._cut()):
            self._free -= 1
            task = asyncio.create_task(self._run(batch))
            self._running.add(task)  # the loop itself holds tasks weakly
            task.add_done_callback(self._running.discard)

    def _cut(self) -> list[_Row]:
        batch: list[_Row] = []
        tokens = 0
        while self._waiting:
            row = self._waiting[0]
            if not row.answer.done():  # done: nobody waits for it any more
                tokens += row.tokens
                if batch and tokens > self._most_tokens:
                    break
                batch.append(row)
            self._waiting.popleft()
        return batch

    async def _run(self, batch: list[_Row]) -> None:
        start = time.perf_counter()
        try:
            answers = await asyncio.to_thread(self._predict, [row.request for row in batch])
            for row, answer in zip(batch, answers, strict=True):
                with suppress(asyncio.InvalidStateError):
                    row.answer.set_result(answer)
        except Exception as error:
            for row in batch:
                with suppress(asyncio.InvalidStateError):
                    row.answer.set_exception(error)
        finally:
            self._facts["batches"] += 1
            self._facts["batch_rows"] += len(batch)
            self._facts["batch_seconds"] += time.perf_counter() - start
            self._facts["largest_batch_rows"] = max(self._facts["largest_batch_rows"], len(batch))
            self._free += 1
            self._start()
