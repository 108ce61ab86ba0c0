"""Ports for servers of tests."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

#: Below the ports that the system gives to whoever asks for any (32768 and more), above those of Ray's workers: what is
#: free here stays so until the server has started, also where several processes run tests at once.
LOWEST, HIGHEST = 20_000, 32_767

_random = random.SystemRandom()


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    while True:
        port = _random.randint(LOWEST, HIGHEST)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
