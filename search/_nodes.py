"""What the nodes of a cluster, or this machine alone, have room for; pure arithmetic on what Ray says of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

#: What a node has, as Ray names it: ``CPU``, ``GPU``.
Node = Mapping[str, float]


def room(nodes: Sequence[Node], cpu: float, gpu: float) -> int:
    """How many packs find room at once, each with so many CPUs and GPUs."""
    wanted = [(kind, amount) for kind, amount in (("CPU", cpu), ("GPU", gpu)) if amount]
    return sum(min(int(node.get(kind, 0) / amount + 1e-9) for kind, amount in wanted) for node in nodes)


def gpus_found(nodes: Sequence[Node], cpu: float, where: str, names: Sequence[str] = ()) -> str:
    """What ``gpu: auto`` comes to on these nodes, in words. ``where``: ``here`` or ``on the cluster``; ``names``: of
    the GPUs, where they are known."""
    number = sum(int(node.get("GPU", 0)) for node in nodes)
    if not number:
        return f"no GPU {where}: packs train on CPU cores"
    kinds = ", ".join(name if count == 1 else f"{count} {name}" for name, count in Counter(names).items())
    found = f"{number} GPU{'s' if number > 1 else ''} {where}{f' ({kinds})' if kinds else ''}"
    if not room(nodes, cpu, 1):
        return f"{found}, but no node has {cpu:g} CPUs beside one: packs train on CPU cores"
    idle = sum(1 for node in nodes if room([node], cpu, 0) and not room([node], cpu, 1))
    without = "1 node without one trains nothing" if idle == 1 else f"{idle} nodes without one train nothing"
    return f"{found}: each pack takes one{f'; {without} (resources.gpu: 0 would use the CPUs of all)' if idle else ''}"
