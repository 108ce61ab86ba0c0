"""The server's HTTP side: its paths, who may use them, its limits, and a sentence for everything that goes wrong."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Protocol

from fastapi import Depends, FastAPI, Response
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette import requests
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import _wire
from serving._metrics import Metrics
from serving._wire import FaultError
from serving.options import Limits
from serving.request import Answer, Refusal, Request

#: A body that takes longer to arrive is not waited for.
BODY_SECONDS = 30
#: What a client is told to wait where the queue is full or nobody can answer.
RETRY_SECONDS = 1
#: The pages load nothing from anywhere else.
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_BEARER = HTTPBearer(auto_error=False)
_log = logging.getLogger("ray.serve")


class Backend(Protocol):
    """Whoever answers."""

    async def predict(self, rows: list[Request]) -> list[Answer | Refusal]:
        """Answers in order; ``FaultError`` where there is nobody to give them."""
        ...

    async def tasks(self) -> dict[str, Any]:
        """What is served, as ``/v1/tasks`` says it; ``FaultError`` as above."""
        ...


class Server:
    """What the paths share: who answers, the limits, the counters, and whether the server is ending."""

    def __init__(self, backend: Backend, limits: Limits, token: str | None, metrics: Metrics) -> None:
        self.backend, self.limits, self.metrics = backend, limits, metrics
        self._token = _digest(token.encode()) if token is not None else None
        self._queued = 0
        self._open = 0
        self._ending = False
        self._quiet = asyncio.Event()

    async def drain(self) -> None:
        """Take nothing more, and return when everything that was taken is answered."""
        self._ending = True
        while self._open:
            self._quiet.clear()
            await self._quiet.wait()

    async def allow(self, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]) -> None:
        """FaultError where a token is wanted and this is not it."""
        if self._token is None:
            return
        offered = given.credentials.encode("utf-8", "surrogateescape") if given else b""
        if not hmac.compare_digest(_digest(offered), self._token):
            what = "another one was given" if given else "none was given"
            raise FaultError(401, "wrong_token", f"this needs the header 'Authorization: Bearer TOKEN', but {what}")

    async def predict(self, request: requests.Request) -> Response:
        """Answers for the rows of a body."""
        if self._ending:
            raise FaultError(503, "ending", "the server is ending and takes nothing new; ask again", RETRY_SECONDS)
        self._open += 1
        try:
            return await self._predict(request)
        finally:
            self._open -= 1
            self._quiet.set()

    async def _predict(self, request: requests.Request) -> Response:
        self._check_queue(1)
        asked = _wire.read(await self._body(request), self.limits.rows)
        rows = asked.requests
        self._check_queue(len(rows))
        self._queued += len(rows)
        self.metrics.queue.set(self._queued)
        try:
            answers = asked.answered(await self._answers(rows) if rows else [])
        finally:
            self._queued -= len(rows)
            self.metrics.queue.set(self._queued)
        self.metrics.count(answers)
        said = [_wire.written(answer, logits=asked.logits) for answer in answers]
        if asked.one:
            return JSONResponse(said[0], _wire.status(answers[0]))
        return JSONResponse({"answers": said})

    async def _answers(self, rows: list[Request]) -> Sequence[Answer | Refusal]:
        seconds = self.limits.seconds
        try:
            async with asyncio.timeout(seconds):
                return await self.backend.predict(rows)
        except TimeoutError:
            reason = f"no answer within {seconds:g} seconds, which limits.seconds allows; ask for less, or later"
            raise FaultError(503, "too_slow", reason, RETRY_SECONDS) from None

    def _check_queue(self, rows: int) -> None:
        if self._queued + rows > self.limits.queue:
            reason = f"{self._queued:,} rows are waiting, and at most {self.limits.queue:,} may; ask again later"
            raise FaultError(429, "queue_full", reason, RETRY_SECONDS)

    async def _body(self, request: requests.Request) -> bytes:
        most = self.limits.bytes
        too_large = FaultError(413, "too_many_bytes", f"the body of a request has at most {most:,} bytes; send several")
        if request.headers.get("content-encoding", "identity") != "identity":
            raise FaultError(415, "compressed", "the body must not be compressed; leave out Content-Encoding")
        declared = request.headers.get("content-length", "0")
        if declared.isdecimal() and int(declared[:20]) > most:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for part in request.stream():
                    body += part
                    if len(body) > most:
                        raise too_large
        except TimeoutError:
            raise FaultError(408, "slow_body", f"the body did not arrive within {BODY_SECONDS} seconds") from None
        return bytes(body)


def application(server: Server) -> FastAPI:
    """The ASGI application of a server."""
    app = FastAPI(title="AoT Search", summary="Many tasks, one frozen backbone", docs_url=None, redoc_url=None)
    app.add_api_route("/", _page("page.html"), include_in_schema=False)
    app.add_api_route("/docs", _page("docs.html"), include_in_schema=False)
    guarded = [Depends(server.allow)]
    faults: dict[int | str, dict[str, Any]] = {
        "4XX": {"description": 'refused: {"error": {"rule", "reason"}}'},
        "5XX": {"description": "the same; with Retry-After where it may be asked again"},
    }
    body = {"requestBody": {"required": True, "content": {"application/json": {"schema": _wire.BODY_SCHEMA}}}}

    @app.post("/v1/predict", dependencies=guarded, responses=faults, openapi_extra=body)
    async def predict(request: requests.Request) -> Any:
        """Label and scores, or a value, for one row or many of any tasks; a refused row says so in its place."""
        return await server.predict(request)

    @app.get("/v1/tasks", dependencies=guarded, responses=faults)
    async def tasks() -> dict[str, Any]:
        """The tasks that are served: name, method, labels, the fields that a row must have."""
        return await server.backend.tasks()

    @app.get("/metrics", dependencies=guarded)
    async def metrics() -> Response:
        """Counters in the form of Prometheus."""
        return Response(server.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The server is there."""
        return {"status": "alive"}

    @app.get("/readyz", responses=faults)
    async def readyz() -> dict[str, str]:
        """It can answer now."""
        if server._ending:
            raise FaultError(503, "ending", "the server is ending", RETRY_SECONDS)
        await server.backend.tasks()
        return {"status": "ready"}

    app.add_exception_handler(FaultError, _told)
    app.add_exception_handler(HTTPException, _told_by_starlette)
    app.add_middleware(_Counted, metrics=server.metrics)
    return app


def _page(name: str) -> Callable[[], Awaitable[Response]]:
    page = HTMLResponse((Path(__file__).parent / name).read_text(encoding="utf-8"), headers=_PAGE_HEADERS)

    async def shown() -> Response:
        return page

    return shown


async def _told(_: requests.Request, error: Exception) -> Response:
    assert isinstance(error, FaultError)
    headers = {**error.headers, **({"WWW-Authenticate": "Bearer"} if error.status == 401 else {})}
    return JSONResponse(_wire.fault(error.rule, error.reason), error.status, headers)


async def _told_by_starlette(request: requests.Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    rule, reason = {
        404: ("unknown_path", "nothing is here; /docs lists what there is"),
        405: ("wrong_method", f"this path does not take {request.method}; /docs says what it takes"),
    }.get(error.status_code, ("refused", str(error.detail)))
    return JSONResponse(_wire.fault(rule, reason), error.status_code, error.headers)


class _Counted:
    """Counts requests by path and status; what nobody expected is a 500 with a sentence, and a line in the log."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        status, start = 499, time.perf_counter()  # 499: the client hung up

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except requests.ClientDisconnect:
            pass  # in the middle of its body: nobody is left to be answered
        except Exception as error:
            if status != 499:
                raise
            _log.exception("a request failed")
            reason = f"the server failed at this request ({type(error).__name__}); its log says why"
            await JSONResponse(_wire.fault("failed", reason), 500)(scope, receive, noted)
        finally:
            path = getattr(scope.get("route"), "path", "other")  # of unknown paths there is no end
            self._metrics.requests.labels(path, str(status)).inc()
            self._metrics.seconds.labels(path).observe(time.perf_counter() - start)
        return None


def _digest(token: bytes) -> bytes:
    """Of one length, so that comparing tells nothing about a token's own."""
    return sha256(token).digest()
