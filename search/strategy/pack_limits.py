"""How large a pack may be where a larger one ran out of memory: remembered for the shape, also by later runs.

What is written down is the largest size that may fit; a pack of more members is split before it is trained. It is split
along its plan (``Pack.split``), so that every run makes the same parts of it, and finds their checkpoints.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common import lines
from search._words import Say, named
from search.study import Resources
from trainables.trial import Pack, digest

FILE_NAME = "pack_limits.jsonl"


class PackLimits:
    """A file with a line per limit; needs the study's lock to be held.

    A limit of a shape (cell, and the sizes of the tensors) holds for packs on the same part of a GPU, one of a single
    pack for that pack alone. Without a file, which may be deleted, larger packs are tried again.
    """

    def __init__(self, folder: Path, resources: Resources, say: Say) -> None:
        self.path = folder / FILE_NAME
        self._gpu, self._say = str(resources.gpus), say
        self._most: dict[str, int] = {}
        self._earlier: set[str] = set()  # of another run, and not yet told of
        for key, most in lines.read(self.path, _limit, self._damaged):
            self._most[key] = min(most, self._most.get(key, most))
            self._earlier.add(key)

    def remember(self, pack: Pack, reason: str, *, whole_shape: bool) -> None:
        """``pack`` was too large: half of its members from now on, in packs like it or, without ``whole_shape``, in its
        own parts alone. OSError where the disk takes no line."""
        key = self._shape(pack) if whole_shape else pack.group
        most = (len(pack.trials) + 1) // 2
        if most < self._most.get(key, len(pack.trials)):
            self._most[key] = most
            self._earlier.discard(key)
            lines.append(self.path, {"key": key, "most": most, "pack": named(pack), "reason": reason})

    def hold(self, pack: Pack, most: int) -> None:
        """No more members than that in packs like this one, in this run: their device says so, and will again."""
        key = self._shape(pack)
        self._most[key] = min(most, self._most.get(key, most))

    def fitting(self, pack: Pack) -> list[Pack]:
        """``pack`` itself, or the parts of it that may fit."""
        shape = self._shape(pack)
        limits = [self._most[key] for key in (shape, pack.group) if key in self._most]
        if not limits or len(pack.planned) <= min(limits):
            return [pack]
        if shape in self._earlier:
            self._earlier.discard(shape)
            most = f"{self._most[shape]} at most"
            self._say(f"{named(pack)} is split, {most}, as larger ones did not fit into memory before ({self.path})")
        return [part for half in pack.split() for part in self.fitting(half)]

    def _shape(self, pack: Pack) -> str:
        return digest([pack.shape_id, self._gpu])

    def _damaged(self, number: int) -> None:
        self._say(f"line {number} of {self.path} is damaged and left out; a pack that is too large is split again")


def _limit(values: Any) -> tuple[str, int]:
    return str(values["key"]), max(1, int(values["most"]))
