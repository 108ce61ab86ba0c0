"""Where packs would be trained as things stand: this machine, or a cluster that is there already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from search._nodes import Node, gpus_found, room
from search.study import Resources
from trainables import devices


@dataclass(frozen=True)
class Place:
    """``where``: ``here`` or ``on the cluster``; ``gpus``: their names, where they are known."""

    nodes: Sequence[Node]
    where: str
    gpus: Sequence[str] = ()

    def decide(self, resources: Resources) -> Resources:
        """``gpu: auto`` decided as ``aot run`` would decide it with these nodes."""
        return resources.decided(gpus_there=bool(room(self.nodes, resources.cpu, 1)))

    def words(self, resources: Resources) -> str:
        """What a study's ``resources.gpu`` comes to, for people; empty where it says so itself."""
        idle = sum(node.get("GPU", 0) for node in self.nodes)
        if resources.gpu == 0 and idle:
            return f"{idle:g} GPU{'s' if idle > 1 else ''} {self.where} will be idle: resources.gpu is 0"
        if resources.gpu != "auto":
            return ""
        if not room(self.nodes, resources.cpu, 0):
            if self.where == "here":
                return ""  # no node comes to a machine: the check of resources says what it lacks
            return f"no room for a pack {self.where} yet: the first node that has some tells whether packs take a GPU"
        return gpus_found(self.nodes, resources.cpu, self.where, self.gpus)

    def device(self, resources: Resources) -> str:
        """What packs train on, as trials and measurements name it; empty where that is not known."""
        return next(iter(self.gpus), "") if resources.gpus else "cpu"

    def devices(self, resources: Resources) -> int:
        """The GPUs that are there, for packs on GPUs, or the CPU cores; one at least, as planning needs some."""
        return max(1, int(sum(node.get("GPU" if resources.gpus else "CPU", 0) for node in self.nodes)))


def this_machine() -> Place:
    """This machine, with the GPUs that PyTorch can use."""
    gpus = devices.gpus()
    return Place([{"CPU": float(devices.cores()), "GPU": float(len(gpus))}], "here", gpus)
