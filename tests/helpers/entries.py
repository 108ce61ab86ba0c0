"""Trials with results, and a line of the journal."""

from __future__ import annotations

from dataclasses import replace

from search.tracking.journal import Entry
from trainables import tasks
from trainables.trial import BackboneSource, Epoch, Protocol, Result, Trial

HYPERPARAMETERS = {"learning_rate": 1e-3, "batch_size": 16, "a": None, "deep": True, "kind": "x"}


def trial(seed: int = 0, learning_rate: float = 1e-3) -> Trial:
    source = BackboneSource("tiny", "tiny")
    values = {**HYPERPARAMETERS, "learning_rate": learning_rate}
    return Trial(source, tasks.get("glue/rte"), "bitfit", values, seed, Protocol(epochs=3, patience=2))


def result(of: Trial, score: float | None = 60.0, status: str = "finished", reason: str = "") -> Result:
    history = tuple(Epoch(n, score - 3 + n, 1 / n, 2.0) for n in (1, 2, 3)) if score else ()
    best = 3 if score else None
    size, parts = 100 if score else None, {"accuracy": 0.5}
    return Result(of.id, status, score, best, history, size, reason, None, parts, pack_size=4, device="cpu")


def entry(seed: int = 0) -> Entry:
    return replace(Entry.of("stub", trial(seed), result(trial(seed)), {"ray": "2"}, "abc"), time=1e9)


def problems(said: list[str]) -> list[str]:
    """What was said, but for a slow machine's word of patience."""
    return [line for line in said if "is taking in the last results" not in line]
