"""What a run says of the trials that failed: by what went wrong, for what helps differs."""

from __future__ import annotations

from typing import get_args

import pytest

from search.cli.running import _advice
from search.tune.trainable import FailureKind, _failure
from trainables.tasks._source import DataError

AGAIN = "aot run s.yaml"


class OutOfMemoryError(RuntimeError):
    """As torch calls its own."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("rank must be at most 4"), "lasting"),
        (DataError("no column"), "lasting"),
        (FileNotFoundError("train.csv"), "lasting"),
        (RuntimeError("shapes do not fit"), "lasting"),
        (OSError("no space left"), "passing"),
        (ConnectionError("reset"), "passing"),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), "passing"),
        (MemoryError("too much"), "memory"),
        (RuntimeError("CUDA out of memory"), "memory"),
        (OutOfMemoryError("tried to allocate"), "memory"),
    ],
)
def test_kinds_of_failures(error: Exception, kind: str) -> None:
    assert _failure(error).kind == kind


@pytest.mark.parametrize("kind", get_args(FailureKind))
def test_every_kind_has_its_advice(kind: FailureKind) -> None:
    words = _advice(kind, ["ValueError: a", "ValueError: b", "ValueError: a"], AGAIN)
    assert words.startswith("3 failed")
    assert "ValueError: a (and 1 other reason)" in words
    assert words.endswith(AGAIN)


def test_who_would_fail_again_is_not_told_to_try_again() -> None:
    assert "Correct what it names, then: " in _advice("lasting", ["ValueError: a"], AGAIN)
    assert "Train them again with: " in _advice("passing", ["OSError: a"], AGAIN)
