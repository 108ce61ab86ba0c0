"""Results in a study's journal, as a driver writes them, without one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.study import Study
from search.tracking.journal import Entry, Journal, local_folder
from trainables.trial import Epoch, Result, Trial


def result(trial: Trial, score: float | None = None, **changes: Any) -> Result:
    """A finished trial with a score by its id; one without a ``score`` of another status has none."""
    reached = 50 + int(trial.id[:4], 16) % 4_000 / 100 if score is None else score
    history = tuple(Epoch(n, reached - 3 + n, 1 / n, 2.0) for n in (1, 2, 3))
    made = Result(trial.id, "finished", reached, 3, history, 100, pack_size=2, device="cpu")
    failed = {"score": None, "best_epoch": None, "history": ()} if changes.get("status") == "failed" else {}
    return replace(made, **{**failed, **changes})


def write_down(study: Study, trials: Iterable[Trial], **changes: Any) -> None:
    """Results of these trials in the journal, and in it alone."""
    entries = [
        Entry.of(study.name, trial, result(trial, **changes), {"ray": "2", "aot": "1"}, "abc") for trial in trials
    ]
    book = Journal(local_folder(study.folder), pytest.fail)
    book.append(entries)
    book.close()


def journal_of(study: Study) -> Path:
    return local_folder(study.folder) / "journal.jsonl"
