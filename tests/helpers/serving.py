"""The HTTP side of a server over an engine in this process: all of it but Ray."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import uvicorn
from helpers.ports import free_port

from serving._http import Server, application
from serving._metrics import Metrics
from serving._queue import Batches, estimated_tokens
from serving.engine import Engine
from serving.options import Limits
from serving.request import Answer, Refusal, Request


class Direct:
    """Answers of an engine, by the queue that a replica has."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.batches = Batches(engine.predict, lambda request: estimated_tokens(request, 128), 2_048)

    async def predict(self, rows: list[Request]) -> Sequence[Answer | Refusal]:
        return await self.batches.answers(rows)

    async def tasks(self) -> dict[str, Any]:
        return {"backbone": self._engine.backbone.name, "tasks": [asdict(each) for each in self._engine.tasks()]}


@dataclass(frozen=True)
class Running:
    """A server in a thread."""

    url: str
    server: Server
    loop: asyncio.AbstractEventLoop


@contextmanager
def running(engine: Engine, limits: Limits | None = None, token: str | None = None) -> Iterator[Running]:
    """The server on a free port of this machine."""
    server = Server(Direct(engine), limits or Limits(), token, Metrics())
    port, started = free_port(), threading.Event()
    own = uvicorn.Server(uvicorn.Config(application(server), port=port, log_level="error"))
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        task = asyncio.create_task(own.serve())
        while not own.started:
            await asyncio.sleep(0.01)
        started.set()
        await task

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert started.wait(60)
        yield Running(f"http://127.0.0.1:{port}", server, loop)
    finally:
        own.should_exit = True
        thread.join()
        loop.close()
