"""What an entry of the journal is as a run of MLflow: its name, tags, params and metrics; ``_logged.py`` reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from search.tracking.journal import Entry


def cell_tags(entry: Entry, kind: str) -> dict[str, str]:
    where = {"benchmark": entry.benchmark, "backbone": entry.backbone, "task": entry.task, "method": entry.method}
    return {"aot.kind": kind, **{f"aot.{name}": value for name, value in where.items()}}


def trial_tags(entry: Entry) -> dict[str, str]:
    own = {"trial_id": entry.trial_id, "assignment_id": entry.assignment_id}
    own |= entry.search  # strategy, promotion, role
    return {**cell_tags(entry, "trial"), **{f"aot.{name}": value for name, value in own.items()}}


def trial_name(entry: Entry) -> str:
    """Method, seed, and the assignment in as few signs as tell it: MLflow cuts a name off, so the rate comes first."""
    own = dict(entry.hyperparameters)
    values = {"lr": own.pop("learning_rate", None), **own}
    told = [f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items() if v is not None]
    return f"{entry.method} · seed {entry.seed} · {', '.join(told)}"[:250]


def details(entry: Entry) -> dict[str, Any]:
    """What a report needs and nobody filters by: one tag instead of many."""
    own = {
        "commit": entry.git_commit, "device": entry.device, "pack_size": entry.pack_size,
        "result_version": entry.result_version, "weights": entry.weights, "versions": dict(entry.versions),
    }  # fmt: skip
    return {name: value for name, value in own.items() if value not in (None, "")}


def milliseconds(seconds: float) -> int:
    return int(seconds * 1_000)


def metrics(entry: Entry) -> Iterator[tuple[str, float, int, int]]:
    """(name, value, time, step). Times follow from the entry: logging it again changes nothing."""
    now = entry.time - entry.seconds
    for epoch, score, train_loss, seconds in entry.history:
        now += seconds
        yield "dev_score", score, milliseconds(now), epoch
        yield "train_loss", train_loss, milliseconds(now), epoch
    final = {
        "score": entry.score,
        "best_epoch": entry.best_epoch,
        "epochs": len(entry.history),
        "trainable_parameters": entry.trainable_parameters,
        "seconds": entry.seconds,
        "majority": entry.majority,
    }
    parts = {f"dev_{name}": value for name, value in entry.metrics.items() if name != "score"}
    for name, value in {**final, **parts, **entry.text}.items():
        if value is not None:
            yield name, float(value), milliseconds(entry.time), 0


def params(entry: Entry) -> dict[str, str]:
    """Seed, hyperparameters by their own names, ``protocol.NAME``; what is no text is written as JSON."""
    values = {"seed": entry.seed, **entry.hyperparameters, **{f"protocol.{k}": v for k, v in entry.protocol.items()}}
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in values.items()}
