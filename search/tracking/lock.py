"""Who may write: a lock on a file, which the system lets go of when its holder dies."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from contextlib import suppress
from io import FileIO
from pathlib import Path

DRIVER = "driver.lock"  # the file that the driver of a study holds


class Lock:
    """An advisory lock on a file: at most one process at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: FileIO | None = None

    def acquire(self) -> bool:
        """Take the lock if it is free; says whether it was."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = open(self.path, "a+b", buffering=0)  # noqa: SIM115 - held until release
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        except OSError:  # a file system without locks
            file.close()
            raise
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        with suppress(OSError):  # a full disk: the lock is held all the same
            file.truncate(0)
            file.write(json.dumps(holder).encode())
        self._file = file
        return True

    def holder(self) -> str:
        """Who holds the lock, for people."""
        try:
            known = json.loads(self.path.read_bytes())
            return f"process {known['pid']} on {known['host']} since {known['since']}"
        except (OSError, ValueError, KeyError):
            return "another process"

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
