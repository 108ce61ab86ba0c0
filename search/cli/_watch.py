"""A report that follows a search: made again whenever there is something new, until Ctrl-C."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from search._words import duration, trials
from search.cli._shared import INTERRUPTED, say
from search.cli._sources import Runs, gather, state


def until_interrupted(
    studies: Sequence[Path], files: Sequence[Path], seconds: float, write: Callable[[Runs], Path]
) -> None:
    """Look every so many ``seconds`` whether the runs have changed, and ``write`` their report where they have.

    Runs are read only where a file of theirs has changed, and written only where the trials have. A line is said for
    each report, and the path of its page printed once. Ctrl-C ends the command with 130, after the report that is being
    written.
    """
    looked: object = None
    last: Runs | None = None
    page: Path | None = None
    try:
        while True:
            now = state(studies, files)
            if now is None or now != looked:
                runs = gather(studies, files, tell=_nothing, empty=True)
                if runs.frame.empty and last is None:
                    say("no trial has a result yet")
                elif not runs.frame.empty and not runs.same_as(last):
                    started = time.monotonic()
                    with _whole():
                        written = write(runs)
                    if page is None:
                        typer.echo(written)
                    page = written
                    new = len(runs.frame) - (len(last.frame) if last is not None else 0)
                    took = duration(time.monotonic() - started)
                    say(f"{time.strftime('%H:%M:%S')}  {trials(len(runs.frame))} ({new:+,}), written in {took}")
                last, looked = runs, now
            time.sleep(seconds)
    except KeyboardInterrupt:
        say("stopped; the last report is whole" if page else "stopped before there was a report")
        raise typer.Exit(INTERRUPTED) from None


def _nothing(words: str) -> None:
    """What is said of every look at the runs: the report holds it as well."""


@contextmanager
def _whole() -> Iterator[None]:
    """Ctrl-C waits for what is done here; a second one does not."""
    pressed = False

    def wait(number: int, frame: Any) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, before)
        say("the report is being written to its end; Ctrl-C again breaks it off")

    before = signal.signal(signal.SIGINT, wait)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt
