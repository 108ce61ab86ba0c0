"""The process that brings a study's journal into MLflow, line by line, and keeps at it while the server is away.

It runs beside the driver (``store.py`` starts it), because MLflow takes 25 ms of processor time per trial, which the
driver should not spend. It ends when its input does: after the last line, if the driver closed it or died.
One writer per study holds the lock, so that nothing is written twice.

    settings as one line of JSON -> stdin          stdout -> one line of JSON per message for people
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from common.uris import hidden_in, masked
from common.words import printable
from search._process import HidingStream
from search._words import Say
from search.errors import RefusedError
from search.tracking import journal
from search.tracking.lock import Lock
from search.tracking.mlflow_access import AwayError, translated
from search.tracking.mlflow_writer import Settings, Writer

LOCK_NAME = "mlflow.lock"
SUMMARY_SECONDS = 5.0  # between two updates of the cells' summaries
POLL_SECONDS = 0.2
OBJECTS_BETWEEN_COLLECTIONS = 100_000  # looking for circles is a fifth of the time that MLflow takes to import
RETRY_SECONDS = (1.0, *[2.0] * 9, 5.0, 10.0, 30.0)  # a server that is started again is back within seconds


class Loop:
    """Reads, sends and waits until the driver has closed the input and all is sent, or MLflow is away at the end."""

    def __init__(self, settings: Settings, say: Say) -> None:
        self.settings = settings
        self.say = say
        self.closing = threading.Event()
        self._writer: Writer | None = None
        self._failures = 0
        self._told: type[Exception] | None = None
        self._summarised = 0.0

    def run(self) -> int:
        """Returns the number of entries that are left in the journal alone."""
        study, tracking = self.settings.study, self.settings.tracking
        while True:
            ending = self.closing.is_set()  # before reading: what is written until then is read
            try:
                with translated(study, tracking, "EDIT"):
                    waiting = self._work(ending)
            except (AwayError, RefusedError) as error:
                if _invalid(error.__cause__) and self._writer and self._writer.todo:
                    trial_id = self._writer.refuse()
                    self.say(f"MLflow refuses trial {trial_id} ({error}); it stays in the journal alone")
                    continue
                self._tell(error)
                if ending:
                    return len(self._writer.todo) if self._writer else -1
                self.closing.wait(RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS)) - 1])
                continue
            if self._failures and not waiting:
                self.say(f"MLflow at {masked(tracking)} is back; everything in the journal is there now")
                self._failures, self._told = 0, None
            if waiting:
                continue
            if ending:
                return 0
            self.closing.wait(POLL_SECONDS)

    def _work(self, ending: bool) -> bool:
        """One entry's worth of work; says whether more is waiting."""
        if self._writer is None:
            writer = Writer(self.settings)
            writer.connect()
            self._writer = writer
        self._writer.read(lambda _: None)  # the driver has told of damaged lines
        if self._writer.todo:
            self._writer.send_one()
        if (ending and not self._writer.todo) or time.monotonic() - self._summarised > SUMMARY_SECONDS:
            self._writer.summarise()
            self._summarised = time.monotonic()
        return bool(self._writer.todo)

    def _tell(self, error: AwayError | RefusedError) -> None:
        """Once, and again where away becomes refused or the other way round."""
        self._failures += 1
        if self._told is type(error):
            return
        self._told = type(error)
        what = f"MLflow at {masked(self.settings.tracking)} cannot be written ({error})"
        self.say(f"{error if isinstance(error, RefusedError) else what}; the journal keeps every result")


def _invalid(error: BaseException | None) -> bool:
    return getattr(error, "error_code", "") == "INVALID_PARAMETER_VALUE"


def _until_closed(closing: threading.Event) -> None:
    sys.stdin.read()  # nothing more comes: this returns when the driver closes the pipe or dies
    closing.set()


def main() -> int:
    """Entry point of the process; the settings are the first line of its input."""
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a stopped Ray job sends it to all; this ends when its input does
    settings = Settings(**json.loads(sys.stdin.readline()))
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print goes to the log, not among the messages
    sys.stdout = sys.stderr = HidingStream(sys.stderr, lambda line: hidden_in(printable(line), settings.tracking))

    def say(text: str) -> None:
        try:
            print(json.dumps({"say": text}), file=out)
        except BrokenPipeError:  # the driver died; the work goes on
            print(text, file=sys.stderr)

    loop = Loop(settings, say)
    threading.Thread(target=_until_closed, args=(loop.closing,), daemon=True).start()
    lock = Lock(Path(settings.folder) / LOCK_NAME)
    while not lock.acquire():  # the writer of a driver that died is still at work
        time.sleep(POLL_SECONDS)
    unsent = Path(settings.folder) / journal.UNSENT_NAME
    with suppress(OSError):  # a full disk
        unsent.touch()
    left = loop.run()
    if left == 0:
        unsent.unlink(missing_ok=True)
    lock.release()
    return 0 if left == 0 else 3


if __name__ == "__main__":
    code = main()
    gc.freeze()  # the driver waits for the end: objects that go with the process are not looked through
    sys.exit(code)
