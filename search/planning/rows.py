"""Trials with the columns of the runs file, column by column: of 50,000 trials, row by row takes seconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from search.tracking.records import TEXT_SHARES, TrialRecord
from trainables.trial import canonical

#: Columns in their order; see ``analysis/frame.py``.
_PLANNED = ("role", "planned_seeds", "planned_in_cell", "planned_tasks", "planned_in_study", "draw")
_ENDING = ("seed", "status", "score", "best_epoch", "epochs", "trainable_parameters", "seconds")
_PROTOCOL = ("max_length", "precision", "dropout", "max_epochs", "patience", "train_rows", "dev_rows")

#: A trial: its id, how it ended, and what its row says by the study as it stands, whatever the record says.
Told = tuple[str, TrialRecord, Mapping[str, Any]]


@dataclass(frozen=True)
class Rows:
    """A row per trial. ``columns``: the values of each column, in the order of the trials."""

    columns: Mapping[str, Sequence[Any]]

    def __len__(self) -> int:
        return len(self.columns["trial_id"])

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for values in zip(*self.columns.values(), strict=True):
            yield dict(zip(self.columns, values, strict=True))


def rows(study: str, trials: Sequence[Told]) -> Rows:
    """The rows of trials. ``max_epochs`` is the protocol's, as ``epochs`` is what a trial took; a hyperparameter that a
    method does not have is None."""
    records = [record for _, record, _ in trials]
    columns: dict[str, Sequence[Any]] = {
        "study": [study] * len(trials),
        "benchmark": [record.benchmark for record in records],
        "backbone": [record.cell.backbone for record in records],
        "task": [record.cell.task for record in records],
        "method": [record.cell.method for record in records],
        "assignment_id": [record.assignment_id for record in records],
        "trial_id": [trial_id for trial_id, _, _ in trials],
        **{name: [getattr(record, name) for record in records] for name in ("seed", "status", "score", "best_epoch")},
        **{
            name: [getattr(record, name) for record in records]
            for name in ("epochs", "trainable_parameters", "seconds")
        },
        **_hyperparameters(records),
        **{name: [record.search.get(name, "") for record in records] for name in ("strategy", "promotion")},
        **{name: [None] * len(trials) for name in _PLANNED},
        **{name: _of_protocol(name, records) for name in _PROTOCOL},
        **{name: [record.text.get(name) for record in records] for name in TEXT_SHARES},
        "metric": [None] * len(trials),
        **{name: [getattr(record, name) for record in records] for name in ("majority", "pack_size", "device")},
        "commit": [record.git_commit for record in records],
        "result_version": [record.result_version for record in records],
        "versions": _versions(records),
        **{name: [None] * len(trials) for name in ("backbone_hash", "data_hash")},
        "ended": _times([record.ended for record in records]),
        **{name: [getattr(record, name) for record in records] for name in ("run_id", "reason")},
    }
    names = dict.fromkeys(name for _, _, more in trials for name in more)
    for name in names:
        own = columns.get(name, [None] * len(trials))
        columns[name] = [more.get(name, value) for (_, _, more), value in zip(trials, own, strict=True)]
    return Rows(columns)


def _hyperparameters(records: Sequence[TrialRecord]) -> dict[str, list[Any]]:
    own = [record.hyperparameters for record in records]
    return {f"hp.{name}": [one.get(name) for one in own] for name in dict.fromkeys(name for one in own for name in one)}


def _of_protocol(name: str, records: Sequence[TrialRecord]) -> list[Any]:
    written = "epochs" if name == "max_epochs" else name
    return [record.protocol.get(written) for record in records]


def _versions(records: Sequence[TrialRecord]) -> list[str]:
    """Canonical JSON; most trials share their versions."""
    own = [tuple(record.versions.items()) for record in records]
    known = {versions: canonical(dict(versions)) if versions else "" for versions in set(own)}
    return [known[versions] for versions in own]


def _times(seconds: Sequence[int | None]) -> list[str]:
    """UTC, in ISO 8601; empty where nobody knows."""
    written = np.datetime_as_string(np.array([second or 0 for second in seconds], dtype="datetime64[s]")).tolist()
    return ["" if second is None else f"{text}+00:00" for second, text in zip(seconds, written, strict=True)]
