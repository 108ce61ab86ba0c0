"""The driver's process: environment variables for a while, and being stopped between two steps."""

from __future__ import annotations

import io
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

from common.words import shown


@contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """Environment variables for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class HidingStream(io.TextIOBase):
    """A stream of text that is written to another one line by line, each as ``hide`` gives it back.

    What libraries print goes through it on its way to a file: they know URIs, and not which of them are secret.
    """

    def __init__(self, stream: TextIO, hide: Callable[[str], str]) -> None:
        self._stream, self._hide, self._begun = stream, hide, ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        self._stream.writelines(f"{self._hide(line)}\n" for line in lines)
        return len(text)

    def flush(self) -> None:
        self._stream.write(self._hide(self._begun))
        self._begun = ""
        self._stream.flush()


@contextmanager
def quiet(path: Path) -> Iterator[None]:
    """What Ray prints on standard output goes to a file; the view says in one line what matters of it."""
    tune_log = logging.getLogger("ray.tune")
    before = tune_log.level
    tune_log.setLevel(logging.CRITICAL)
    try:
        with open(path, "a", encoding="utf-8") as log, redirect_stdout(HidingStream(log, shown)):
            yield
    finally:
        tune_log.setLevel(before)


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets, for a driver that looks at it between two steps; a second one interrupts
    at once, and what nobody has looked at interrupts at the end.
    """
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}

    def on_interrupt(signum: int, frame: Any) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    for signum in before:
        signal.signal(signum, on_interrupt)
    try:
        yield event
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
    if event.is_set():
        raise KeyboardInterrupt


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM is Ctrl-C: a KeyboardInterrupt wherever the run is, while it plans, ends Ray or waits for MLflow."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
