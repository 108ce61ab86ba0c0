"""The Ray cluster of a run: this machine's own, started and ended with the run, or one that stands already."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from search._nodes import Node, room
from search._process import environment
from search._provenance import ROOT
from search._words import amount
from search.errors import RunError
from search.study import Resources
from search.tune import local
from trainables.devices import cores, gpu_driver

#: How long the head node may take to answer at all.
CONNECT_SECONDS = 10.0


@contextmanager
def connected(resources: Resources, address: str | None, packs: int = 0, preloaded: str = "") -> Iterator[bool]:
    """A Ray cluster for the time of a run, and whether it was started for it; ``check`` has found nothing against it.

    Without ``address`` a local one is started and ended. A cluster to which this process is connected already is used
    and left as it is.

    ``packs``: about how many there are to train; ``preloaded``: the module that a local worker imports before it has
    one.
    """
    import ray

    if ray.is_initialized():
        yield False
        return
    try:
        with _keeping_sigterm():
            if address is None:
                _start(resources, packs, preloaded)
            else:
                environment = {"env_vars": worker_environment(resources)}
                ray.init(address, runtime_env=environment, logging_level=logging.ERROR, log_to_driver=False)
    except Exception as error:  # Ray raises plain ones
        ray.shutdown()
        what = f"the Ray cluster at {address} cannot be reached" if address else "Ray does not start on this machine"
        raise RunError(f"{what}: {str(error).splitlines()[0]}") from error
    try:
        if address is None and not places(resources):  # a cluster may grow, this machine does not
            gpus = amount(resources.cpu, resources.gpus)
            raise RunError(f"a pack takes {gpus}, but Ray does not see as many here; set resources.gpu to auto or 0")
        yield address is None
    finally:
        ray.shutdown()


def check(resources: Resources, address: str | None) -> None:
    """What can be told before Ray is started. Raises RunError.

    Ray would wait for a host that is not there for as long as one lets it.
    """
    if address is None and resources.cpu > cores():
        raise RunError(f"a pack takes {resources.cpu:g} CPUs, but this machine has {cores()}; lower resources.cpu")
    if address is None or address == "auto":
        return
    if address.startswith("ray://"):
        raise RunError(f"{address} is an address of Ray Client; give HOST:PORT of the head node, or use aot submit")
    try:
        parts = urlsplit(f"//{address}")
        place = (parts.hostname, parts.port)
    except ValueError:  # of the port
        place = (None, None)
    if None in place or f"{place[0]}:{place[1]}" != address.lower():
        raise RunError(f"--address must be auto, or HOST:PORT of the head node, but got {address!r}")
    try:
        socket.create_connection((str(place[0]), int(place[1] or 0)), CONNECT_SECONDS).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise RunError(f"the Ray cluster at {address} cannot be reached: {reason}; is its head node up?") from error


@contextmanager
def _keeping_sigterm() -> Iterator[None]:
    """Ray takes SIGTERM for itself, to raise SystemExit anywhere in the driver; ours ends it between two steps."""
    from ray._private import utils

    theirs = utils.set_sigterm_handler
    utils.set_sigterm_handler = lambda handler: None
    try:
        yield
    finally:
        utils.set_sigterm_handler = theirs
        if threading.current_thread() is threading.main_thread() and (handler := signal.getsignal(signal.SIGTERM)):
            signal.signal(signal.SIGTERM, handler)  # below Python, Ray has replaced it


def _start(resources: Resources, packs: int, preloaded: str) -> None:
    """A local cluster, with a worker for each of the first packs."""
    import ray

    at_once = max(1, min(packs, int(cores() / resources.cpu)))
    # On a GPU a worker must know its card before it imports PyTorch.
    modules = ("search.tune.trainable", preloaded) if preloaded and not (resources.gpu and gpu_driver()) else ()
    with environment(worker_environment(resources)):  # workers inherit them, and start faster than with a runtime_env
        try:
            local.start(at_once, modules)
        except Exception:  # Ray gives itself 30 seconds, which a busy machine may exceed
            ray.shutdown()
            local.start(at_once, modules)


def places(resources: Resources) -> int:
    """How many packs find room at once on the nodes that are there now."""
    return room(nodes(), resources.cpu, resources.gpus)


def nodes() -> list[Node]:
    """What each node that is there now has."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def worker_environment(resources: Resources) -> dict[str, str]:
    """Environment variables of the workers: the same code as here, and no more threads than they have CPUs."""
    # Where an object store is; its keys are the machines' own: Ray shows these variables to whoever may look.
    passed = ("HF_HUB_OFFLINE", "HF_HOME", "AOT_DATA_DIR", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION")
    return {
        "OMP_NUM_THREADS": str(resources.threads),
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        "PL_DISABLE_FORK": "1",  # as Tune has it
        **{name: os.environ[name] for name in passed if name in os.environ},
    }
