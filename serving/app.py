"""The server on Ray Serve: one light process speaks HTTP, replicas of the engine answer behind it.

Every replica has one queue for all tasks. A request goes to one replica as a whole, and is sent again, once, where that
dies: predictions change nothing.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from fastapi import FastAPI
from ray import serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import LoggingConfig

from serving import _load, options
from serving._http import RETRY_SECONDS, Server, application
from serving._metrics import Metrics
from serving._queue import Batches, estimated_tokens
from serving._wire import FaultError
from serving.options import Limits, Service
from serving.request import Answer, Refusal, Request
from trainables.devices import cores, gpus

NAME = "aot"
#: Tokens of a batch: more makes a CPU no faster, and whoever comes next waits longer.
CPU_BATCH_TOKENS, GPU_BATCH_TOKENS = 2_048, 16_384
#: Waiting is for our own queue, which knows rows and says so when it is full. A replica that is gone is seen within a
#: second; one that is to end asks itself all the time whether everything is answered, and has two minutes for it.
_SETTINGS: dict[str, Any] = {
    "max_ongoing_requests": 10_000,
    "health_check_period_s": 1.0,
    "graceful_shutdown_wait_loop_s": 0.1,
    "graceful_shutdown_timeout_s": 120.0,
}
#: What ``readyz`` and ``tasks`` wait for a replica.
_READY_SECONDS = 5.0
_NOT_READY = "no replica of the engine answers now; ask again"

_LOGS = LoggingConfig(enable_access_log=False, log_level="WARNING")


@serve.deployment(name="engine", **_SETTINGS)
class Replica:
    """One engine and its queue; ``threads``: of its CPU kernels."""

    def __init__(self, service: Service, threads: int) -> None:
        self._engine, backbone = _load.engine(service, verify=False, threads=threads)
        self._name = serve.get_replica_context().replica_id.unique_id
        served = self._engine.tasks()
        self._tasks = {"backbone": backbone, "tasks": [asdict(each) for each in served]}
        longest = max(each.max_length for each in served)
        on_gpu = self._engine.device.type == "cuda"
        self._facts = self._engine.facts()
        self._batches = Batches(
            self._predict,
            lambda request: estimated_tokens(request, longest),
            service.options.batch_tokens or (GPU_BATCH_TOKENS if on_gpu else CPU_BATCH_TOKENS),
            at_once=2 if on_gpu else 1,  # one batch is prepared while the other is computed
        )

    async def predict(self, requests: list[Request]) -> tuple[list[Answer | Refusal], str, dict[str, Any]]:
        """Answers in order, and what this replica has counted so far."""
        answers = await self._batches.answers(requests)
        return answers, self._name, {**self._facts, **self._batches.facts()}

    def _predict(self, requests: list[Request]) -> list[Answer | Refusal]:
        answers = self._engine.predict(requests)
        self._facts = self._engine.facts()  # it waits for whoever computes, which the event loop must not
        return answers

    async def tasks(self) -> dict[str, Any]:
        """What is served."""
        return self._tasks


class _Replicas:
    """The replicas as the HTTP side sees them."""

    def __init__(self, handle: DeploymentHandle, metrics: Metrics) -> None:
        self._handle, self._metrics = handle, metrics

    async def predict(self, rows: list[Request]) -> list[Answer | Refusal]:
        try:
            return await self._once(rows)
        except RayActorError:
            self._metrics.retries.inc()
        try:
            return await self._once(rows)
        except RayActorError:
            reason = "two replicas died, one after the other, as they worked on this request; send fewer rows, or later"
            raise FaultError(503, "replica_lost", reason, RETRY_SECONDS) from None

    async def _once(self, rows: list[Request]) -> list[Answer | Refusal]:
        try:
            answers, replica, facts = await self._handle.predict.remote(rows)
        except DeploymentUnavailableError:
            raise FaultError(503, "not_ready", _NOT_READY, RETRY_SECONDS) from None
        self._metrics.heard(replica, facts)
        return answers

    async def tasks(self) -> dict[str, Any]:
        try:
            async with asyncio.timeout(_READY_SECONDS):
                return await self._handle.tasks.remote()
        except (TimeoutError, RayActorError, DeploymentUnavailableError):
            raise FaultError(503, "not_ready", _NOT_READY, RETRY_SECONDS) from None


@serve.deployment(name="http", ray_actor_options={"num_cpus": 0}, **_SETTINGS)
@serve.ingress()
class Front:
    """The HTTP side in front of the replicas; the token is read here, and goes nowhere."""

    def __init__(self, engine: DeploymentHandle, limits: Limits, token_file: str | None) -> None:
        metrics = Metrics()
        token = options.token(Path(token_file)) if token_file is not None else None
        self._server = Server(_Replicas(engine, metrics), limits, token, metrics)

    def __serve_build_asgi_app__(self) -> FastAPI:
        return application(self._server)

    async def drain(self) -> None:
        """Take nothing more; returns once all that was taken is answered."""
        await self._server.drain()


def _bound(service: Service) -> serve.Application:
    """The application for ``serve.run``."""
    chosen = service.options
    most = chosen.replicas.max
    cpus, gpu = _room(service)
    scale: dict[str, Any] = {"num_replicas": most}
    if chosen.replicas.min < most:
        scale = {
            "autoscaling_config": {
                "min_replicas": chosen.replicas.min,
                "max_replicas": most,
                "target_ongoing_requests": chosen.replicas.requests,
            }
        }
    # what the decorators make of the classes, which mypy does not see
    engine, http = cast(serve.Deployment, Replica), cast(serve.Deployment, Front)
    replica = engine.options(ray_actor_options={"num_cpus": cpus, "num_gpus": gpu}, logging_config=_LOGS, **scale)
    file = str(service.token_file) if service.token_file is not None else None
    front = http.options(logging_config=_LOGS)
    return front.bind(replica.bind(service, max(1, int(cpus))), chosen.limits, file)


def _room(service: Service) -> tuple[float, float]:
    """The cores and GPUs of one replica."""
    chosen = service.options
    share = cores() / chosen.replicas.max
    cpus = chosen.cpus or (share if share < 1 else int(share))
    if chosen.gpus is not None:
        return cpus, chosen.gpus
    return cpus, float(service.device != "cpu" and bool(gpus()))


def build(args: dict[str, Any]) -> serve.Application:
    """The application for a config file of Serve, as ``serving.app:build``; its ``args`` are those of a ``Service``.

    Raises:
        ValueError: as ``serving._load.found``; there is no token, which a cluster's address needs.
    """
    service = Service.model_validate(args)
    if service.token_file is None:
        raise ValueError(
            "a server on a cluster is reached from elsewhere: args.token_file must name a file with its token"
        )
    _load.found(service, verify=True)
    return _bound(service)


def start(service: Service, host: str, port: int) -> DeploymentHandle:
    """Serve at an address of this machine, on the Ray that this process is connected to; returns once it answers.

    Raises:
        RuntimeError: the replicas find no room here, or one does not start; it says why.
    """
    for asked, there, what in zip(_room(service), (cores(), len(gpus())), ("cores", "GPUs"), strict=True):
        least = service.options.replicas.min
        if asked * least > there:  # Ray would wait for a larger machine
            raise RuntimeError(
                f"{least} replicas take {asked * least:g} {what}, but this machine has {there}; ask for less"
            )
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    serve.start(proxy_location="HeadOnly", http_options={"host": host, "port": port}, logging_config=_LOGS)
    return serve.run(_bound(service), name=NAME)


def stop(handle: DeploymentHandle) -> None:
    """Take nothing more, answer what was taken, and end."""
    handle.drain.remote().result()
    serve.shutdown()
