"""What is known of a study's trials before any is trained: from its journal, and from MLflow.

The journal counts where both know a trial. Nothing is created: where there is neither journal nor database, nothing is
known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from search._words import Say
from search.tracking import journal
from search.tracking._logged import Logged, logged
from search.tracking._record import TEXT_SHARES, TrialRecord
from search.tracking.journal import local_folder

__all__ = ["TEXT_SHARES", "Known", "Logged", "TrialRecord", "in_journal", "logged", "read_known", "read_records"]


@dataclass(frozen=True)
class Known:
    """Everything that is known of a study's trials.

    ``records``: how they ended, by trial id. ``lost``: ids of trials whose result was written down once and is nowhere
    to be found: MLflow has a run of it that was deleted or holds no result, or its line of the journal is damaged.
    ``unsent``: ids of trials whose result is in the journal alone, or newer there. ``away``: MLflow does not answer;
    then nobody knows what it holds beside the journal, and ``unsent`` is empty.
    """

    records: Mapping[str, TrialRecord]
    lost: frozenset[str] = frozenset()
    unsent: frozenset[str] = frozenset()
    away: bool = False


def read_known(study: str, folder: str, tracking: str, say: Say, *, curves: bool = False) -> Known:
    """The journal and MLflow, put together.

    ``curves``: with what each trial reached epoch by epoch, also where only MLflow knows it. A server that does not
    answer is told to ``say``. Raises RefusedError where a server does not let this user read.
    """
    damaged: set[str] = set()
    written = in_journal(local_folder(folder), say, damaged)
    sent = logged(study, tracking, say, curves=curves, written=written)
    records = _together(sent.records if sent else {}, written)
    lost = frozenset((damaged | (sent.begun if sent else set())) - records.keys())
    unsent = frozenset(i for i, record in written.items() if sent and sent.lacks(i, record))
    return Known(records, lost, unsent, sent is None)


def _together(sent: dict[str, TrialRecord], written: dict[str, TrialRecord]) -> dict[str, TrialRecord]:
    """What the journal says counts; it does not know the runs that MLflow has."""
    both = {i: replace(record, run_id=sent[i].run_id) for i, record in written.items() if i in sent}
    return sent | written | both


def read_records(study: str, folder: str, tracking: str, say: Say, *, curves: bool = False) -> dict[str, TrialRecord]:
    """Everything that is known of a study's trials that ended, by trial id; as ``read_known``."""
    return dict(read_known(study, folder, tracking, say, curves=curves).records)


def in_journal(folder: Path, say: Say, damaged: set[str] | None = None) -> dict[str, TrialRecord]:
    """The latest line of every trial, by trial id; ``damaged`` as in ``journal.read``."""
    lines = journal.read(folder / journal.FILE_NAME, say, damaged=damaged)
    return {entry.trial_id: TrialRecord.of(entry) for _, _, entry in lines}
