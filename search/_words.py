"""Packs and what they take, in words for people."""

from __future__ import annotations

from search.study import Resources
from trainables.trial import Pack


def named(pack: Pack) -> str:
    """``a pack of 3 trials of BACKBONE, TASK, METHOD``."""
    first = pack.trials[0]
    members = "1 trial" if len(pack.trials) == 1 else f"{len(pack.trials)} trials"
    return f"a pack of {members} of {first.backbone.name}, {first.task.name}, {first.method}"


def packs(number: int) -> str:
    """``1 pack``, ``2 packs``."""
    return "1 pack" if number == 1 else f"{number} packs"


def amount(resources: Resources) -> str:
    """What one pack takes: ``2 CPUs, 1 GPU``."""
    amounts = [(resources.cpu, "CPU")] + [(resources.gpu, "GPU")] * bool(resources.gpu)
    return ", ".join(f"{number:g} {unit}{'s' if number > 1 else ''}" for number, unit in amounts)
