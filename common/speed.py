"""The file of inference times: ``aot speed`` writes it, ``aot report --speed`` draws it.

A CSV of one line per point, and beside it, under the same name, a JSON file of how it was measured.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path
from typing import Any

FORMAT = 1
VARIANTS = ("", "fused", "unfused")
ROWS = ("", "host", "device", "factors")


class SpeedFileError(ValueError):
    """A file of inference times that is not one; its words say where, which rule, and what to do."""


@dataclass(frozen=True)
class Point:
    """What is measured beside the plain model.

    ``batch`` sequences of ``length`` tokens each. ``variant``: ``fused`` or ``unfused``, empty for a method that has
    but one form. ``tasks``: how many are served; the sequences of a batch belong to them in turn. ``rows``: where those
    of P come from, ``host``, ``device`` or ``factors``, of fused AoT alone.
    """

    backbone: str
    batch: int
    length: int
    method: str
    variant: str
    tasks: int
    rows: str


@dataclass(frozen=True)
class Measured:
    """A point's time over the plain model's: the median of paired ratios, ``low`` and ``high`` the ends of its 95 %
    interval; ``milliseconds``: the median time of one evaluation of the method itself."""

    point: Point
    ratio: float
    low: float
    high: float
    milliseconds: float
    device: str


@dataclass(frozen=True)
class Setup:
    """How a file was measured. ``settings``: what all its points have in common. ``backbones``: what is known of each
    by its name, among it ``bytes_per_task``: what one more task takes, by the method's form (``form``)."""

    settings: Mapping[str, Any]
    backbones: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


COLUMNS = (*(f.name for f in fields(Point)), *(f.name for f in fields(Measured) if f.name != "point"))


def form(method: str, variant: str, rows: str) -> str:
    """A method's form in one word: ``lora-unfused``, ``aot_fc-fused-host``, ``adapters``."""
    return "-".join(filter(None, (method, variant, rows)))


def setup_path(path: Path) -> Path:
    """Where a file's setup stands: ``speed.json`` beside ``speed.csv``."""
    return path.with_suffix(".json")


def line(measured: Measured) -> str:
    """A point as a line of the CSV, with its end."""
    point, numbers = astuple(measured.point), (measured.ratio, measured.low, measured.high)
    values = (*point, *(f"{n:.5f}" for n in numbers), f"{measured.milliseconds:.4f}", measured.device)
    return ",".join(_quoted(str(value)) for value in values) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if set(text) & set(',"\n') else text


def read(path: Path) -> list[Measured]:
    """The points of a file, in its order.

    Raises SpeedFileError where there is no such file, its columns are others, a value breaks its rule, its last line
    was cut off, or a point of a device stands in it twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpeedFileError(f"{path} must be a CSV file that aot speed wrote, but cannot be read: {error}") from error
    lines = list(csv.reader(text.splitlines()))
    if not lines or tuple(lines[0]) != COLUMNS:
        found = ",".join(lines[0]) if lines else "nothing"
        raise SpeedFileError(
            f"{path} must begin with the columns {','.join(COLUMNS)}, but has {found[:200]}; give a file that aot "
            "speed wrote"
        )
    if text and not text.endswith("\n"):
        raise SpeedFileError(
            f"the last line of {path} has no end, as if it was being written; the same aot speed goes on there"
        )
    measured: list[Measured] = []
    seen: dict[tuple[Point, str], int] = {}
    for number, values in enumerate(lines[1:], start=2):
        one = _parsed(path, number, values)
        first = seen.setdefault((one.point, one.device), number)
        if first != number:
            raise SpeedFileError(
                f"{path}, line {number}: a point stands once for a device, but that of line {first} stands here again; "
                "remove one of them"
            )
        measured.append(one)
    return measured


def _parsed(path: Path, number: int, values: Sequence[str]) -> Measured:
    if len(values) != len(COLUMNS):
        raise SpeedFileError(
            f"{path}, line {number}: a line has {len(COLUMNS)} values, but this one has {len(values)}; remove it, or "
            "measure again into another file"
        )
    told = dict(zip(COLUMNS, values, strict=True))

    def wrong(name: str, rule: str) -> SpeedFileError:
        return SpeedFileError(f"{path}, line {number}: {name} must be {rule}, but is {told[name]!r}; correct the line")

    def whole(name: str) -> int:
        if not told[name].isascii() or not told[name].isdigit() or int(told[name]) < 1:
            raise wrong(name, "a whole number of at least 1")
        return int(told[name])

    def positive(name: str) -> float:
        try:
            value = float(told[name])
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value > 0):
            raise wrong(name, "a positive number")
        return value

    for name in ("backbone", "method", "device"):
        if not told[name].strip():
            raise wrong(name, "named")
    for name, known in (("variant", VARIANTS), ("rows", ROWS)):
        if told[name] not in known:
            raise wrong(name, f"empty or one of {', '.join(filter(None, known))}")
    if told["rows"] and told["variant"] != "fused":
        raise wrong("rows", "empty where the variant is not fused")
    ratio, low, high = positive("ratio"), positive("low"), positive("high")
    if not low <= ratio <= high:
        raise wrong("ratio", f"between low and high, {told['low']} and {told['high']}")
    point = Point(
        told["backbone"], whole("batch"), whole("length"), told["method"], told["variant"], whole("tasks"), told["rows"]
    )
    return Measured(point, ratio, low, high, positive("milliseconds"), told["device"])


def read_setup(path: Path) -> Setup | None:
    """The setup of the CSV ``path``; None where there is none beside it. SpeedFileError where it is damaged."""
    beside = setup_path(path)
    if not beside.exists():
        return None
    try:
        told = json.loads(beside.read_text(encoding="utf-8"))
        if told["format"] != FORMAT:
            raise ValueError(f"it is of format {told['format']!r}, and this version reads {FORMAT}")
        return Setup(dict(told["settings"]), {name: dict(facts) for name, facts in told["backbones"].items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SpeedFileError(
            f"{beside} must say how {path.name} was measured, but cannot be understood ({error}); measure again into "
            "another file"
        ) from error


def setup_text(setup: Setup) -> str:
    """A setup as its file holds it."""
    told = {"format": FORMAT, "settings": dict(setup.settings), "backbones": dict(setup.backbones)}
    return json.dumps(told, indent=1, sort_keys=True) + "\n"
