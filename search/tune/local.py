"""This machine's own Ray, for one run: what a search needs of it, and its workers ready when the first pack comes.

Ray starts nine processes where a search needs five. Left out are the dashboard, the monitor of an autoscaler and that
of the logs, which nobody sees here: each imports for a second, and Ray waits for the first to start and all to end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from trainables.devices import cores

OBJECT_STORE_BYTES = 256 * 2**20
NODE_SECONDS = 30.0
_PRESTARTED = "--num_prestart_python_workers="


def start(workers: int, preloaded: Sequence[str]) -> None:
    """Start Ray here and connect to it.

    ``workers``: how many processes are started before anybody asks for one; ``preloaded``: what each imports then.
    """
    import ray  # takes a quarter of a second

    with _lean(workers):
        ray.init(
            "local",
            num_cpus=cores(),
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            logging_level=logging.ERROR,
            log_to_driver=False,
            _system_config={"preload_python_modules": list(preloaded)},
        )


@contextmanager
def running(workers: int) -> Iterator[None]:
    """Ray here, as ``start`` starts it, for a while; nothing that it says is printed."""
    import ray
    from ray._private import worker

    with _replaced(worker, print_to_stdstream=_silent):
        try:
            try:
                start(workers, ())
            except Exception:  # Ray gives itself 30 seconds, which a busy machine may exceed
                ray.shutdown()
                start(workers, ())
            yield
        finally:
            ray.shutdown()


@contextmanager
def _lean(workers: int) -> Iterator[None]:
    """Ray has no options for this. Where one of these names is no longer Ray's, ``tests/search/tune/test_local.py``
    fails."""
    from ray._private import node, services, utils

    def no_api_server(self: Any, **_: Any) -> None:
        self._webui_url = ""  # as where it runs without a dashboard

    agents_alone = "not wanted"  # the agent of a node then leaves out its own server
    with (
        _replaced(node.Node, start_monitor=_nothing, start_log_monitor=_nothing, start_api_server=no_api_server),
        _replaced(utils, get_dashboard_dependency_error=lambda: agents_alone),
        _replaced(
            services,
            start_ray_process=_with_workers(workers, services.start_ray_process),
            get_node=_when_it_is_there(services),
        ),
    ):
        yield


@contextmanager
def lean_tune(*, own: bool) -> Iterator[None]:
    """Tune imports MLflow and others to count which callbacks are theirs, for statistics that are switched off.

    ``own``: workers are those of ``start``, which inherit the driver's environment. Tune asks for some with variables
    of its own, which those that wait for work do not have: it would get new ones.
    """
    from ray.air._internal import usage
    from ray.tune.execution import class_cache

    with ExitStack() as stack:
        stack.enter_context(_replaced(usage, tag_callbacks=_nothing))
        if own:
            stack.enter_context(_replaced(class_cache, DEFAULT_ENV_VARS={}, ENV_VARS_TO_PROPAGATE=set()))
        yield


@contextmanager
def _replaced(owner: Any, **values: Any) -> Iterator[None]:
    theirs = {name: getattr(owner, name) for name in values}
    try:
        for name, value in values.items():
            setattr(owner, name, value)
        yield
    finally:
        for name, value in theirs.items():
            setattr(owner, name, value)


def _when_it_is_there(services: Any) -> Callable[..., Any]:
    """Ray looks for the new node once a second."""
    get_node = services.get_node

    def waited(gcs_address: str, node_id: str) -> Any:
        client, end = services.GcsClient(address=gcs_address), time.monotonic() + NODE_SECONDS
        while time.monotonic() < end and not client.get_all_node_info():
            time.sleep(0.02)
        return get_node(gcs_address, node_id)

    return waited


def _nothing(_: Any) -> None:
    """In place of what Ray does for others."""


def _silent(data: Any, ignore_prefix: bool) -> None:
    """In place of what puts words of Ray's processes on stdout, among those of a command."""


def _with_workers(number: int, start_process: Callable[..., Any]) -> Callable[..., Any]:
    """Ray starts a worker per core beforehand, however few are needed."""

    def started(command: list[str], *args: Any, **options: Any) -> Any:
        command = [f"{_PRESTARTED}{number}" if part.startswith(_PRESTARTED) else part for part in command]
        return start_process(command, *args, **options)

    return started
