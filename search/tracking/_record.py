"""What is known of a trial that ended, whether the journal or MLflow says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from search.tracking.journal import Entry
from trainables.trial import CellKey

Curve = tuple[tuple[int, float, float, float], ...]  # epoch, score, train_loss, seconds

#: Shares of the text that the backbone does not see, of 0 to 1: sequences that are cut, and tokens that are unknown.
TEXT_SHARES = ("train_cut", "dev_cut", "train_unknown", "dev_unknown")

#: Characters of a reason that MLflow keeps.
MOST_OF_A_REASON = 4_000


@dataclass(frozen=True)
class TrialRecord:
    """How a trial ended, by the journal or by MLflow. ``entry_digest`` names its line in the journal.

    ``seconds`` are the trial's own, of a pack those of the whole divided by its members. ``history`` holds what it
    reached in each epoch; it is empty where MLflow was not asked for it. What follows it is as in ``Entry``; ``ended``
    in whole seconds since 1970, ``reason`` as much of it as MLflow keeps. ``run_id``: of the run that MLflow has of it.
    """

    status: str
    entry_digest: str
    cell: CellKey
    assignment_id: str
    seed: int
    hyperparameters: Mapping[str, Any]
    score: float | None = None
    seconds: float = 0.0
    epochs: int = 0
    trainable_parameters: int | None = None
    history: Curve = field(default=(), repr=False)
    benchmark: str = ""
    best_epoch: int | None = None
    protocol: Mapping[str, Any] = field(default_factory=dict)
    search: Mapping[str, str] = field(default_factory=dict)
    text: Mapping[str, float] = field(default_factory=dict)
    pack_size: int | None = None
    device: str = ""
    git_commit: str = ""
    result_version: int | None = None
    majority: float | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    ended: int | None = None
    run_id: str = ""

    @classmethod
    def of(cls, entry: Entry) -> TrialRecord:
        """What a line of the journal says."""
        return cls(
            entry.status, entry.digest, entry.cell, entry.assignment_id, entry.seed, entry.hyperparameters,
            entry.score, entry.seconds, len(entry.history), entry.trainable_parameters, entry.history,
            entry.benchmark, entry.best_epoch, entry.protocol, entry.search, entry.text,
            entry.pack_size, entry.device, entry.git_commit, entry.result_version,
            entry.majority,
            entry.versions, entry.reason[:MOST_OF_A_REASON], int(entry.time),
        )  # fmt: skip
