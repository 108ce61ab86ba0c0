"""How searches share a Ray cluster: each keeps a line in the cluster's key-value store, and reads those of the others.

No process stands between them, and none has to be asked: a driver that dies leaves a line that grows old.
"""

from __future__ import annotations

import json
import math
import os
import socket
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from ray.experimental import internal_kv

NAMESPACE = b"aot-search"
PREFIX = b"driver/"

BEAT_SECONDS = 2.0  # between two updates of a driver's line
OLD_SECONDS = 30.0  # a line that was not updated for so long is that of a driver that died


@dataclass(frozen=True)
class Line:
    """A driver: the study it runs, where it is, how many packs it could have in training, when it last said so."""

    driver: str
    study: str
    host: str
    pid: int
    wanted: int
    since: float
    time: float


class Sharing:
    """A driver's line, and what the others leave to it. Needs a connection to the cluster."""

    def __init__(self, study: str) -> None:
        self._line = Line(uuid.uuid4().hex, study, socket.gethostname(), os.getpid(), 1, time.time(), 0.0)
        self._others: list[Line] = []
        self._last = -math.inf

    def other_driver(self) -> Line | None:
        """Another driver of the same study on another machine; on this one, the study's lock speaks."""
        same = (line for line in self._read() if line.study == self._line.study and line.host != self._line.host)
        return next(same, None)

    def limit(self, places: int, wanted: int) -> int:
        """How many packs this study may have in training of the ``places`` there are, if it could have ``wanted``."""
        if time.monotonic() - self._last >= BEAT_SECONDS:
            self._last = time.monotonic()
            self._line = Line(**{**asdict(self._line), "wanted": wanted, "time": time.time()})
            internal_kv._internal_kv_put(self._key, json.dumps(asdict(self._line)).encode(), namespace=NAMESPACE)
            self._others = self._read()
        return max(1, fair_share(places, wanted, [line.wanted for line in self._others]))

    @property
    def alone(self) -> bool:
        """Whether no other study was there when last looked."""
        return not self._others

    @property
    def others(self) -> Sequence[str]:
        """Names of the studies that were there when last looked."""
        return sorted({line.study for line in self._others})

    def close(self) -> None:
        internal_kv._internal_kv_del(self._key, namespace=NAMESPACE)

    @property
    def _key(self) -> bytes:
        return PREFIX + self._line.driver.encode()

    def _read(self) -> list[Line]:
        lines = []
        for key in internal_kv._internal_kv_list(PREFIX, namespace=NAMESPACE):
            value = internal_kv._internal_kv_get(key, namespace=NAMESPACE)
            if value is None or key == self._key:
                continue
            line = Line(**json.loads(value))
            if time.time() - line.time > OLD_SECONDS:
                internal_kv._internal_kv_del(key, namespace=NAMESPACE)
            else:
                lines.append(line)
        return lines


def fair_share(places: int, wanted: int, others: Sequence[int]) -> int:
    """The max-min fair part of ``places`` for who could use ``wanted``, beside others who could use so many each.

    What others cannot use is left to the rest; a remainder is nobody's, so that it is used by whoever comes first.
    """
    left, sharing = places, sorted([*others, wanted])
    for position, demand in enumerate(sharing):
        part = left / (len(sharing) - position)
        if demand > part:
            return min(wanted, math.ceil(part))
        left -= demand
    return wanted
