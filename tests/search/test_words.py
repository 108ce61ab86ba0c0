"""What is said while much is read: a bar where somebody looks, a line where nobody does, nothing of little."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from search._words import WORTH_A_WORD, batched, progress

ROOT = Path(__file__).parents[2]


def test_of_little_nothing_is_said() -> None:
    assert list(progress(range(9), 9, "reading", pytest.fail)) == list(range(9))


def test_where_nobody_looks_a_line_is_said() -> None:
    said: list[str] = []
    values = range(WORTH_A_WORD)
    assert list(progress(values, len(values), "reading trials", said.append)) == list(values)
    assert said == [f"reading trials: {WORTH_A_WORD:,}"]


def test_on_a_terminal_a_bar_follows_on_stderr_alone() -> None:
    ours, theirs = pty.openpty()
    code = f"""
from search._words import progress
print(sum(progress(range({WORTH_A_WORD}), {WORTH_A_WORD}, "reading trials", print)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=theirs,
        check=True,
    )
    os.close(theirs)
    shown = os.read(ours, 1_000_000).decode()
    os.close(ours)
    assert done.stdout.decode().strip() == str(sum(range(WORTH_A_WORD)))
    assert "reading trials" in shown
    assert "100%" in shown


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (2, [2]), (3, [3]), (7, [3, 3, 1])])
def test_lists_of_a_size(count: int, sizes: list[int]) -> None:
    made = list(batched(iter(range(count)), 3))
    assert [len(own) for own in made] == sizes
    assert [value for own in made for value in own] == list(range(count))
