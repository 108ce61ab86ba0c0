"""Clients of a server, in an open and a closed loop, and what became of each request.

In the open loop requests are sent at fixed moments, whatever became of those before, as by many people who know
nothing of each other; a latency counts from the moment at which a request was to be sent, so that neither a server
that is behind nor a client that is late makes it look shorter (G. Tene's "coordinated omission"). In the closed loop
a number of clients send their next request once they have the answer to the last.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

PERCENTILES = (50, 95, 99)
#: What a server answers where it takes no more: that is no fault of the request's.
REFUSED = (413, 429, 503)


@dataclass(frozen=True)
class Asked:
    """A request: the task that it asks, and the body."""

    task: str
    body: dict[str, Any]


@dataclass(frozen=True)
class Sent:
    """What became of a request; moments in seconds since the start of its loop.

    ``intended``: when it was to be sent. ``ended``: when its answer was there, None where there was none in time.
    ``status``: of HTTP; 0 where the connection broke or there was no answer. ``mixed_up``: another task answered.
    """

    intended: float
    began: float
    ended: float | None
    status: int
    mixed_up: bool = False

    @property
    def latency(self) -> float | None:
        return None if self.ended is None else self.ended - self.intended


def schedule(rate: float, seconds: float) -> list[float]:
    """The moments of an open loop: ``rate`` a second, from 0 on, all before ``seconds``."""
    return [i / rate for i in range(math.ceil(rate * seconds - 1e-9))]


class Client:
    """Asks a server at ``url``. To be used as an asynchronous context."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/v1/predict"
        self._began = 0.0

    async def __aenter__(self) -> Client:
        none = aiohttp.ClientTimeout(total=None)  # whoever waits says for how long
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=none)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._session.close()

    async def open_loop(self, asked: Sequence[Asked], moments: Iterable[float], patience: float) -> list[Sent]:
        """Send at the given moments, the requests in turn; those without an answer ``patience`` seconds after the last
        moment have none."""
        self._began = time.perf_counter()
        running = []
        for number, moment in enumerate(moments):
            if (wait := moment - self._now()) > 0:
                await asyncio.sleep(wait)
            running.append(asyncio.create_task(self._noted(asked[number % len(asked)], moment)))
        return await _all(running, patience)

    async def closed_loop(self, asked: Sequence[Asked], clients: int, seconds: float, patience: float) -> list[Sent]:
        """So many clients that each send their next request as soon as they can, for so long."""
        self._began = time.perf_counter()
        turns = iter(range(10**9))
        found: list[asyncio.Task[Sent]] = []

        async def one() -> None:
            while self._now() < seconds:
                task = asyncio.create_task(self._noted(asked[next(turns) % len(asked)], None))
                found.append(task)
                await task

        each = [asyncio.create_task(one()) for _ in range(clients)]
        await asyncio.wait(each, timeout=seconds + patience)
        for task in each:
            task.cancel()
        return await _all(found, 0.0)

    def _now(self) -> float:
        return time.perf_counter() - self._began

    async def _noted(self, asked: Asked, moment: float | None) -> Sent:
        began = self._now()
        intended = began if moment is None else moment
        try:
            async with self._session.post(self._url, json=asked.body) as response:
                said = await response.json()
                wrong = response.status == 200 and said.get("task") != asked.task
                return Sent(intended, began, self._now(), response.status, wrong)
        except asyncio.CancelledError:
            return Sent(intended, began, None, 0)
        except (aiohttp.ClientError, ValueError):
            return Sent(intended, began, self._now(), 0)


async def _all(running: Sequence[asyncio.Task[Sent]], patience: float) -> list[Sent]:
    """What became of every request; whoever waits longer is told that there is no answer."""
    if running:
        _, late = await asyncio.wait(running, timeout=patience)
        for task in late:
            task.cancel()
    return list(await asyncio.gather(*running))


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The least of the values that so many percent of them do not exceed (nearest rank); None of no value."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)] if ordered else None


def summary(sent: Sequence[Sent]) -> dict[str, Any]:
    """What a loop came to. Every request counts once, in ``answered``, ``refused``, ``failed`` or ``unanswered``.

    ``failed``: a status that is neither 200 nor a refusal, a broken connection, or the answer of another task.
    ``rows_per_second``: answered ones, by the time from the first moment to the last answer. ``milliseconds``: of
    those that were answered, from the intended moment; an unanswered one is longer than any of them, so percentiles
    that it would fall into are None. ``late_milliseconds``: by how much the client itself was late, 99th percentile.
    """
    answered = [s for s in sent if s.ended is not None and s.status == 200 and not s.mixed_up]
    unanswered = [s for s in sent if s.ended is None]
    refused = [s for s in sent if s.ended is not None and s.status in REFUSED]
    latencies = [s.ended - s.intended for s in answered if s.ended is not None] + [math.inf] * len(unanswered)
    ends = [s.ended for s in answered if s.ended is not None]
    span = max(ends) - min(s.intended for s in sent) if ends else 0.0
    found = {f"p{p}": percentile(latencies, p) for p in PERCENTILES}
    late = percentile([s.began - s.intended for s in sent], 99)
    return {
        "sent": len(sent),
        "answered": len(answered),
        "refused": len(refused),
        "failed": len(sent) - len(answered) - len(refused) - len(unanswered),
        "unanswered": len(unanswered),
        "rows_per_second": len(answered) / span if span else 0.0,
        "milliseconds": {name: _milliseconds(value) for name, value in found.items()},
        "late_milliseconds": _milliseconds(late),
    }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None or math.isinf(seconds) else 1_000 * seconds
