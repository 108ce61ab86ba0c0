"""The load that the benchmark of serving puts on a server: what is counted, against brute force and a real server."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from benchmarks._serving_load import Asked, Client, Sent, percentile, schedule, summary

ASKED = [Asked(f"task-{i}", {"task": f"task-{i}", "fields": {"text": str(i)}}) for i in range(3)]


@pytest.mark.parametrize("percent", [0.1, 1, 50, 95, 99, 100])
@pytest.mark.parametrize("count", [1, 2, 3, 10, 19, 20, 100, 101])
def test_percentiles_by_brute_force(count: int, percent: float) -> None:
    values = [random.Random(count).choice(range(30)) / 7 for _ in range(count)]
    enough = [v for v in values if sum(w <= v for w in values) >= percent / 100 * count - 1e-9]
    assert percentile(values, percent) == min(enough)
    assert percentile([], percent) is None


def test_the_moments_of_an_open_loop() -> None:
    assert schedule(4, 1) == [0, 0.25, 0.5, 0.75]
    assert schedule(3, 0.5) == [0, pytest.approx(1 / 3)]
    assert len(schedule(0.1, 60)) == 6  # 0.1 is no binary number: not seven
    assert all(b - a == pytest.approx(1 / 70) for a, b in itertools.pairwise(schedule(70, 3)))


def test_latency_counts_from_the_intended_moment() -> None:
    """A server stands still for a second: what was to be sent meanwhile has waited, though it was sent late."""
    sent = [Sent(i / 10, max(i / 10, 1.0), max(i / 10, 1.0) + 0.001, 200) for i in range(20)]
    found = summary(sent)
    latencies = sorted(1_000 * (max(i / 10, 1.0) + 0.001 - i / 10) for i in range(20))
    assert found["milliseconds"]["p50"] == pytest.approx(latencies[9])
    assert found["milliseconds"]["p95"] == pytest.approx(latencies[18])
    assert found["milliseconds"]["p99"] == pytest.approx(latencies[19])
    assert found["late_milliseconds"] == pytest.approx(1_000)
    assert found["rows_per_second"] == pytest.approx(20 / 1.901)


def test_every_request_counts_once() -> None:
    chance = random.Random(1)
    kinds = {
        "answered": lambda t: Sent(t, t, t + 0.01, 200),
        "refused": lambda t: Sent(t, t, t + 0.01, chance.choice([413, 429, 503])),
        "failed": lambda t: chance.choice([Sent(t, t, t, 500), Sent(t, t, t, 0), Sent(t, t, t, 200, mixed_up=True)]),
        "unanswered": lambda t: Sent(t, t, None, 0),
    }
    drawn = [chance.choice(list(kinds)) for _ in range(500)]
    found = summary([kinds[kind](i / 100) for i, kind in enumerate(drawn)])
    assert found["sent"] == 500
    assert {kind: found[kind] for kind in kinds} == {kind: drawn.count(kind) for kind in kinds}


def test_an_unanswered_request_is_slower_than_all_others() -> None:
    sent = [Sent(0, 0, 0.1, 200)] * 97 + [Sent(0, 0, None, 0)] * 3
    found = summary(sent)["milliseconds"]
    assert found["p95"] == pytest.approx(100)
    assert found["p99"] is None


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[str]:
    """A real server on loopback with one handler of ``/v1/predict``; its address."""
    app = web.Application()
    app.router.add_post("/v1/predict", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class Behaving:
    """Answers the first of every five, and does something else to the others; says how many it saw."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        task = (await request.json())["task"]
        number = len(self.seen)
        self.seen.append(task)
        if number % 5 == 1:
            return web.json_response({"error": {}}, status=429)
        if number % 5 == 2:
            assert request.transport is not None
            request.transport.close()
        if number % 5 == 3:
            return web.json_response({"task": "another"})
        if number % 5 == 4:
            await asyncio.Event().wait()
        return web.json_response({"task": task, "label": "yes"})


def test_an_open_loop_accounts_for_whatever_a_server_does() -> None:
    behaving = Behaving()

    async def asked() -> list[Sent]:
        async with served(behaving) as url, Client(url) as client:
            return await client.open_loop(ASKED, schedule(50, 0.6), patience=2)

    sent = asyncio.run(asked())
    assert [one.intended for one in sent] == schedule(50, 0.6)
    assert all(one.began >= one.intended for one in sent)
    assert behaving.seen == [ASKED[i % 3].task for i in range(30)]
    found = summary(sent)
    counts = [found[name] for name in ("sent", "answered", "refused", "failed", "unanswered")]
    assert counts == [30, 6, 6, 12, 6]


def test_an_open_loop_does_not_wait_for_answers() -> None:
    """The server answers nobody until it has all requests: a closed loop would never get there."""
    waiting = asyncio.Barrier(20)

    async def together(request: web.Request) -> web.StreamResponse:
        task = (await request.json())["task"]
        await waiting.wait()
        return web.json_response({"task": task})

    async def asked() -> list[Sent]:
        async with served(together) as url, Client(url) as client:
            return await client.open_loop(ASKED, schedule(200, 0.1), patience=20)

    found = summary(asyncio.run(asked()))
    assert (found["sent"], found["answered"]) == (20, 20)


def test_a_closed_loop_has_as_many_requests_under_way_as_clients() -> None:
    under_way, most = 0, 0

    async def counted(request: web.Request) -> web.StreamResponse:
        nonlocal under_way, most
        task = (await request.json())["task"]
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return web.json_response({"task": task})

    async def asked() -> list[Sent]:
        async with served(counted) as url, Client(url) as client:
            return await client.closed_loop(ASKED, clients=4, seconds=0.5, patience=20)

    sent = asyncio.run(asked())
    found = summary(sent)
    assert most == 4
    assert found["answered"] == found["sent"] >= 4
    assert all(one.intended == one.began for one in sent)


def test_a_closed_loop_gives_up_on_who_does_not_answer() -> None:
    async def never(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        return web.Response()

    async def asked() -> list[Sent]:
        async with served(never) as url, Client(url) as client:
            return await client.closed_loop(ASKED, clients=3, seconds=1, patience=0.2)

    found = summary(asyncio.run(asked()))
    assert [found[name] for name in ("sent", "answered", "unanswered")] == [3, 0, 3]
    assert found["milliseconds"] == {"p50": None, "p95": None, "p99": None}
