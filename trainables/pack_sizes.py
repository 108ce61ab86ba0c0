"""How many trials to train together on a device: what was measured there, and what ran out of memory, in one file.

Each line is of a shape of trials on a device. The file may be deleted: then it is measured again. Nothing here needs
torch, so that a plan reads it at once.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from common import lines
from trainables.trial import Trial, digest

FILE_NAME = "pack_sizes.jsonl"
#: Members of a pack, at most, where their number is measured.
MOST_MEMBERS = 64
#: Tokens of one training step on a GPU where nothing was measured: 16 sequences of 128 tokens for 8 members.
GPU_PACK_TOKENS = 16_384


@dataclass(frozen=True)
class Device:
    """What a pack trains on: ``cpu`` or what a GPU calls itself, and the ``part`` of it: of a GPU, or CPU threads."""

    name: str
    part: float


@dataclass(frozen=True)
class Knee:
    """So many members are worth training together. ``ended``: more gain too little, or do not fit into memory;
    otherwise no more were tried."""

    members: int
    ended: bool


def tokens(trial: Trial) -> int:
    """Padded tokens of one of its training steps, at most."""
    return trial.batch_size * trial.protocol.max_length * trial.task.choices


def by_tokens(trial: Trial, *, gpu: bool) -> int:
    """Members of a pack where nothing was measured. On a CPU a larger batch is seldom faster per example."""
    return max(1, GPU_PACK_TOKENS // tokens(trial)) if gpu else 1


class PackSizes:
    """What the file in ``cache_dir`` says; lines that are damaged or of another kind are left out, as is a file that
    cannot be read. Several processes may write to it."""

    def __init__(self, cache_dir: Path) -> None:
        self.path = cache_dir / FILE_NAME
        self._knees: dict[str, Knee] = {}
        self._fitting: dict[str, int] = {}
        with suppress(OSError):
            for key, kind, value in lines.read(self.path, _line, lambda number: None):
                if kind == "fitting":
                    self._fitting[key] = min(value.members, self._fitting.get(key, value.members))
                else:
                    self._knees[key] = _surer(value, self._knees.get(key))

    def knee(self, trial: Trial, device: Device) -> Knee | None:
        """What was measured of trials like this one on such a device."""
        return self._knees.get(_key(trial, device))

    def fitting(self, trial: Trial, device: Device) -> int | None:
        """The most members that may fit into memory; None where no pack was too large."""
        return self._fitting.get(_key(trial, device))

    def members(self, trial: Trial, device: Device) -> int:
        """How many to train together, by all that is known."""
        knee, most = self.knee(trial, device), self.fitting(trial, device)
        members = by_tokens(trial, gpu=device.name != "cpu")
        if knee is not None:
            members = knee.members if knee.ended else max(knee.members, members)
        return members if most is None else min(members, most)

    def learn(self, trial: Trial, device: Device, knee: Knee, rates: Mapping[int, float]) -> None:
        """Remember what was measured. ``rates``: tokens per second, by members. OSError where the disk takes none."""
        key = _key(trial, device)
        self._knees[key] = _surer(knee, self._knees.get(key))
        shown = {str(members): round(rate, 1) for members, rate in rates.items()}
        self._append(trial, device, {"knee": knee.members, "ended": knee.ended, "tokens_per_second": shown})

    def ran_out(self, trial: Trial, device: Device, members: int) -> None:
        """So many had no room: half of them at most from now on. OSError where the disk takes no line."""
        self._append(trial, device, {"fitting": (members + 1) // 2})

    def _append(self, trial: Trial, device: Device, values: Mapping[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        about = {"trials": f"{trial.cell}", "hyperparameters": {**trial.method_config, "batch_size": trial.batch_size}}
        where = {"device": device.name, "part": device.part, "torch": _torch_version()}
        lines.append(self.path, {"key": _key(trial, device), **values, **about, **where})


def _surer(one: Knee, other: Knee | None) -> Knee:
    """Of two measurements of one shape: one that found the end, the smaller of two; else the one that tried more."""
    if other is None or one.ended != other.ended:
        return one if other is None or one.ended else other
    return min(one, other, key=lambda knee: knee.members if knee.ended else -knee.members)


def _key(trial: Trial, device: Device) -> str:
    """All that it depends on: the shape of the trials and their data, the device and the library; not how long they
    are trained."""
    shape = trial.shape_identity()
    protocol = {name: value for name, value in shape["protocol"].items() if name not in ("epochs", "patience")}
    return digest([{**shape, "protocol": protocol}, device.name, device.part, _torch_version()])


@cache
def _torch_version() -> str:
    return importlib.metadata.version("torch")


def _line(values: Any) -> tuple[str, str, Knee]:
    kind = "fitting" if "fitting" in values else "knee"
    key, members, ended = values["key"], values[kind], values.get("ended", True)
    if not (isinstance(key, str) and type(members) is int and members >= 1 and isinstance(ended, bool)):
        raise ValueError(f"must be a key and a number of members, but got {values!r}")
    return key, kind, Knee(members, ended)
