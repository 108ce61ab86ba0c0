"""How searches share a Ray cluster: each keeps a line in the cluster's key-value store, and reads those of the others.

No process stands between them, and none has to be asked: a driver that dies leaves a line that does not change any
more. Studies that take GPUs share those; studies that take none share the CPUs.
"""

from __future__ import annotations

import json
import math
import os
import socket
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace

from ray.experimental import internal_kv

from search._words import Say
from search.study import Resources

NAMESPACE = b"aot-search"
PREFIX = b"driver/"

BEAT_SECONDS = 2.0  # between two updates of a driver's line
OLD_SECONDS = 30.0  # a line that does not change for so long is that of a driver that died


@dataclass(frozen=True)
class Line:
    """A driver: the study it runs and where it is; what a pack takes, how many it could have in training, and has.

    ``beat`` changes whenever the driver writes its line: whether one is alive is never told by the clock of another
    machine. ``at_work``: it has made sure that it is the only one of its study.
    """

    driver: str
    study: str
    host: str
    pid: int
    since: float
    gpu: float = 0.0
    cpu: float = 1.0
    wanted: int = 1
    running: int = 0
    beat: int = 0
    at_work: bool = False

    @property
    def amount(self) -> float:
        """GPUs of a pack, or CPUs where it takes none."""
        return self.gpu or self.cpu


class Sharing:
    """A driver's line, and what the others leave to it. Needs a connection to the cluster."""

    def __init__(self, study: str, resources: Resources) -> None:
        place = (socket.gethostname(), os.getpid(), time.time())
        self._line = Line(uuid.uuid4().hex, study, *place, resources.gpus, resources.cpu)
        self._others: list[Line] = []
        self._beats: dict[str, tuple[int, float]] = {}  # of each driver, and when it was first seen, by this clock
        self._places = 0
        self._last = -math.inf

    def other_driver(self, say: Say = lambda words: None) -> Line | None:
        """Another driver of the same study, by which this one must give way; else this one is at work from now on.

        Of two that begin together the earlier one goes on, by ``since``; who is at work already stays in any case. Each
        writes its line before it reads the others', so that one of two sees the other. A line that does not change for
        ``OLD_SECONDS``, or whose process is gone from this machine, is that of a driver that died.
        """
        self._write()
        doubtful = {line.driver: line.beat for line in self._same()}
        end, told = time.monotonic() + OLD_SECONDS, False
        while doubtful and time.monotonic() < end:
            time.sleep(BEAT_SECONDS / 2)
            self._write()
            lines = self._same()
            alive = [line for line in lines if doubtful.get(line.driver) != line.beat]
            for line in alive:
                if line.at_work or (line.since, line.driver) < (self._line.since, self._line.driver):
                    return line
            silent = [line for line in lines if line not in alive]
            doubtful = {line.driver: line.beat for line in silent}
            if silent and not told and time.monotonic() > end - OLD_SECONDS + 2 * BEAT_SECONDS:
                told = True
                where = f"process {silent[0].pid} on {silent[0].host}"
                say(f"{where} ran this study and is silent; waiting up to {OLD_SECONDS:g} s to see whether it is alive")
        self._line = replace(self._line, at_work=True)
        self._write()
        return None

    def _same(self) -> list[Line]:
        return [line for line in self._read() if line.study == self._line.study]

    def limit(self, places: int, wanted: int, running: int) -> int:
        """How many packs this study may have in training of the ``places`` there are.

        ``wanted``: how many it could have; ``running``: how many it has. A study that finds no place at all wants
        none: others are not to wait for it.
        """
        self._places = places
        if time.monotonic() - self._last >= BEAT_SECONDS:
            self._last = time.monotonic()
            self._line = replace(self._line, wanted=wanted if places else 0, running=running)
            self._write()
            # Without those that no node has room for, and a driver of this study before this one, which was killed.
            others = [line for line in self._read() if line.study != self._line.study and line.wanted]
            self._others = [line for line in others if bool(line.gpu) == bool(self._line.gpu)]
        return max(1, fair_share(places, wanted, [self._packs(line, line.wanted) for line in self._others]))

    @property
    def alone(self) -> bool:
        """Whether no other study was there when last looked."""
        return not self._others

    @property
    def others(self) -> Sequence[str]:
        """Names of the studies that were there when last looked."""
        return sorted({line.study for line in self._others})

    @property
    def somebody_waits(self) -> bool:
        """Whether another study had less than its part when last looked; everybody should have one pack at least."""
        part = max(1, self._places // (len(self._others) + 1))
        wants = ((self._packs(line, line.running), self._packs(line, line.wanted)) for line in self._others)
        return any(has < min(wanted, part) for has, wanted in wants)

    @property
    def crowded(self) -> bool:
        """Whether there are more studies than places, so that they have to take turns."""
        return len(self._others) >= self._places

    @property
    def full(self) -> bool:
        """Whether other studies had all places when last looked."""
        return sum(self._packs(line, line.running) for line in self._others) >= self._places

    def close(self) -> None:
        internal_kv._internal_kv_del(self._key, namespace=NAMESPACE)

    def _packs(self, line: Line, packs: int) -> int:
        """Packs of another study in the size of this one's."""
        return math.ceil(packs * line.amount / self._line.amount - 1e-9)

    @property
    def _key(self) -> bytes:
        return PREFIX + self._line.driver.encode()

    def _write(self) -> None:
        self._line = replace(self._line, beat=self._line.beat + 1)
        internal_kv._internal_kv_put(self._key, json.dumps(asdict(self._line)).encode(), namespace=NAMESPACE)

    def _read(self) -> list[Line]:
        """The lines of the other drivers that are alive, as far as this one can tell."""
        known = {field.name for field in fields(Line)}
        lines = []
        for key in internal_kv._internal_kv_list(PREFIX, namespace=NAMESPACE):
            value = internal_kv._internal_kv_get(key, namespace=NAMESPACE)
            if value is None or key == self._key:
                continue
            line = Line(**{name: said for name, said in json.loads(value).items() if name in known})
            beat, seen = self._beats.get(line.driver, (-1, 0.0))
            if beat != line.beat:
                self._beats[line.driver] = (line.beat, time.monotonic())
            if _is_gone(line) or (beat == line.beat and time.monotonic() - seen > OLD_SECONDS):
                internal_kv._internal_kv_del(key, namespace=NAMESPACE)
                continue
            lines.append(line)
        return lines


def _is_gone(line: Line) -> bool:
    """Whether a driver of this machine has ended; of another machine nobody can tell from here."""
    if line.host != socket.gethostname():
        return False
    try:
        os.kill(line.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


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
