"""Errors that say what to do: a command prints them in a line, without a traceback."""

from __future__ import annotations


class RunError(RuntimeError):
    """A study cannot be run here as it stands."""


class StudyBusyError(RuntimeError):
    """Another process works on the same study."""


class RefusedError(RuntimeError):
    """MLflow, or the disk, does not let this user read or write the study; it says who has to do what about it."""
