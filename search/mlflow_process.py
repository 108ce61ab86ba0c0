"""The process that brings a study's journal into MLflow, line by line, and keeps at it while the server is away.

It runs beside the driver (``search/tracking.py`` starts it), because MLflow takes 25 ms of processor time per trial,
which the driver should not spend. It ends when its input does: after the last line, if the driver closed it or died.
One writer per study holds the lock, so that nothing is written twice.

    settings as one line of JSON -> stdin          stdout -> one line of JSON per message for people
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from search import journal
from search.mlflow_writer import Settings, Writer

LOCK_NAME = "mlflow.lock"
SUMMARY_SECONDS = 5.0  # between two updates of the cells' summaries
POLL_SECONDS = 0.2
RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)


class Loop:
    """Reads, sends and waits until the driver has closed the input and all is sent, or MLflow is away at the end."""

    def __init__(self, settings: Settings, say: journal.Say) -> None:
        self.settings = settings
        self.say = say
        self.closing = threading.Event()
        self._writer: Writer | None = None
        self._failures = 0
        self._summarised = 0.0

    def run(self) -> int:
        """Returns the number of entries that are left in the journal alone."""
        from mlflow.exceptions import MlflowException
        from requests import RequestException
        from sqlalchemy.exc import SQLAlchemyError

        while True:
            ending = self.closing.is_set()  # before reading: what is written until then is read
            try:
                waiting = self._work(ending)
            except (MlflowException, RequestException, SQLAlchemyError, OSError) as error:
                if _invalid(error) and self._writer and self._writer.todo:
                    trial_id = self._writer.refuse()
                    reason = told(error, self.settings.tracking)
                    self.say(f"MLflow refuses trial {trial_id} ({reason}); it stays in the journal alone")
                    continue
                self._tell_away(error)
                if ending:
                    return len(self._writer.todo) if self._writer else -1
                self.closing.wait(RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS)) - 1])
                continue
            if self._failures and not waiting:
                self.say(f"MLflow at {masked(self.settings.tracking)} is back; everything in the journal is there now")
                self._failures = 0
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
        self._writer.read(self.say)
        if self._writer.todo:
            self._writer.send_one()
        if (ending and not self._writer.todo) or time.monotonic() - self._summarised > SUMMARY_SECONDS:
            self._writer.summarise()
            self._summarised = time.monotonic()
        return bool(self._writer.todo)

    def _tell_away(self, error: Exception) -> None:
        self._failures += 1
        if self._failures == 1:
            where, reason = masked(self.settings.tracking), told(error, self.settings.tracking)
            self.say(f"MLflow at {where} cannot be written ({reason}); the journal keeps every result")


def _invalid(error: Exception) -> bool:
    return getattr(error, "error_code", "") == "INVALID_PARAMETER_VALUE"


def told(error: Exception, uri: str) -> str:
    """An error in one line, without the password of the URI."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
    password = urlsplit(uri).password
    return text.replace(password, "***") if password else text


def masked(uri: str) -> str:
    """The URI without the password that may stand in it."""
    password = urlsplit(uri).password
    return uri.replace(f":{password}@", ":***@") if password else uri


def _until_closed(closing: threading.Event) -> None:
    sys.stdin.read()  # nothing more comes: this returns when the driver closes the pipe or dies
    closing.set()


def main() -> int:
    """Entry point of the process; the settings are the first line of its input."""
    settings = Settings(**json.loads(sys.stdin.readline()))
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print goes to the log, not among the messages

    def say(text: str) -> None:
        try:
            print(json.dumps({"say": text}), file=out)
        except BrokenPipeError:  # the driver died; the work goes on
            print(text, file=sys.stderr)

    loop = Loop(settings, say)
    threading.Thread(target=_until_closed, args=(loop.closing,), daemon=True).start()
    lock = journal.Lock(Path(settings.folder) / LOCK_NAME)
    while not lock.acquire():  # the writer of a driver that died is still at work
        time.sleep(POLL_SECONDS)
    left = loop.run()
    lock.release()
    return 0 if left == 0 else 3


if __name__ == "__main__":
    sys.exit(main())
