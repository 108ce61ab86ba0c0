"""What packs train on where a study says ``gpu: auto``: decided once, when the run is connected to its cluster."""

from __future__ import annotations

import threading
from typing import Any

import ray

from search._nodes import gpus_found
from search._words import Say, amount
from search.study import Resources
from search.tune.connection import nodes, places
from trainables import devices

POLL_SECONDS = 0.5


def decide(resources: Resources, interrupted: threading.Event, say: Say, *, here: bool) -> Resources:
    """One GPU for a pack where a node has one beside the CPUs of a pack, else none. Needs a connection.

    ``here``: the cluster is this machine alone; PyTorch must be able to use its GPUs. A cluster without room for any
    pack is waited for: its first node with room decides. Raises KeyboardInterrupt when ``interrupted`` meanwhile.
    """
    if resources.gpu != "auto":
        return resources
    if not here and not places(resources):
        _wait_for_room(resources, interrupted, say)
    with_one = resources.decided(gpus_there=True)
    names = devices.gpus() if here else []
    if here and places(with_one) and not names:
        say("Ray sees a GPU here that PyTorch cannot use: packs train on CPU cores")
        return resources.decided(gpus_there=False)
    say(gpus_found(nodes(), resources.cpu, "here" if here else "on the cluster", names))
    return resources.decided(gpus_there=bool(places(with_one)))


def _wait_for_room(resources: Resources, interrupted: threading.Event, say: Say) -> None:
    """Until there is a node for a pack. A task asks for the CPUs of one, so that an autoscaler brings it."""
    say(
        f"no node of the cluster has room for a pack ({amount(resources.cpu, 0)}) yet; "
        "the first one that has tells whether packs take a GPU"
    )
    asked: Any = ray.remote(num_cpus=resources.cpu)(_nothing).remote()
    while not places(resources):
        if interrupted.wait(POLL_SECONDS):
            ray.cancel(asked)
            raise KeyboardInterrupt


def _nothing() -> None:
    """The task of ``_wait_for_room``."""
