"""The driver's part in a study's storage: whether it works, before a search, and what can go, after it."""

from __future__ import annotations

from search._words import Say
from search.errors import RunError
from trainables.checkpoint import CHECKPOINTS, DAMAGED, PREDICTIONS, WEIGHTS, Storage


def check(folder: str) -> None:
    """Write there once: what every pack would fail with is told before the first. Raises RunError."""
    try:
        Storage(folder).check()
    except OSError as error:
        raise RunError(f"the study's storage does not work: {error}") from error


def sweep(folder: str, say: Say) -> None:
    """Delete the checkpoints that are left when every trial has ended.

    A worker deletes that of its pack; of a pack that was split, or made up anew for a study that grew, one stays.
    With them goes what was half written when its writer was killed. What was set aside as damaged is left for people to
    look at.
    """
    storage = Storage(folder)
    try:
        for kept in (CHECKPOINTS, WEIGHTS, PREDICTIONS):
            storage.sweep(kept)
        for name in storage.names(CHECKPOINTS):
            if not name.endswith(DAMAGED):
                storage.delete(name)
    except OSError as error:
        say(f"checkpoints that nobody needs any more stay: {error}")
