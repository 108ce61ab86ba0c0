"""Inference times as a table: the files of ``aot speed``, several devices together but never mixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis import style
from analysis.published import match
from common.speed import COLUMNS, Measured, Point, Setup, SpeedFileError, form, read, read_setup

#: Forms of a method that stand for it where one number is asked for, the first that was measured: how many tasks can
#: be served together.
_SERVED = (("fused", "host"), ("fused", "device"), ("fused", "factors"), ("unfused", ""), ("", ""), ("fused", ""))


@dataclass(frozen=True)
class Timings:
    """``table``: a row per point, with ``COLUMNS``. ``setups``: how each device's points were measured, where a file
    beside the CSV says so. ``device`` is then the device and the precision."""

    table: pd.DataFrame
    setups: Mapping[str, Setup]

    @property
    def devices(self) -> list[str]:
        """The devices, in the order of the files."""
        return list(dict.fromkeys(self.table["device"]))


def load(paths: Sequence[Path]) -> Timings:
    """The points of these files.

    Raises SpeedFileError for a file that is none or has no point, for a point that two files have of one device, and
    where a device was measured with different settings.
    """
    rows: list[dict[str, Any]] = []
    setups: dict[str, Setup] = {}
    where: dict[tuple[Point, str], Path] = {}
    for path in paths:
        measured, setup = read(path), read_setup(path)
        if not measured:
            raise SpeedFileError(f"{path} has no point yet; measure with: aot speed --out {path}")
        for one in measured:
            device = _named(one, setup)
            before = where.setdefault((one.point, device), path)
            if before != path:
                raise SpeedFileError(f"{before} and {path} have the same point of {device}; give one of them")
            rows.append({**asdict(one.point), **asdict(one), "device": device})
            if setup is not None:
                setups[device] = setup if device not in setups else _joined(setups[device], setup, path)
    return Timings(pd.DataFrame(rows)[list(COLUMNS)], setups)


def _named(one: Measured, setup: Setup | None) -> str:
    precision = "" if setup is None else setup.settings.get("precision", "")
    return f"{one.device}, {precision}" if precision else one.device


def _joined(first: Setup, second: Setup, path: Path) -> Setup:
    if first.settings != second.settings:
        name = next(n for n in {**first.settings, **second.settings} if first.settings.get(n) != second.settings.get(n))
        raise SpeedFileError(
            f"{path} was measured with other settings than another file of the same device ({name}: "
            f"{first.settings.get(name)!r}, {second.settings.get(name)!r}); report them apart"
        )
    return Setup(first.settings, {**first.backbones, **second.backbones})


def forms(table: pd.DataFrame) -> list[tuple[str, str, str]]:
    """``method, variant, rows`` of what a table has, in the order of the report's methods; what is fused first."""
    found = set(table[["method", "variant", "rows"]].itertuples(index=False, name=None))
    places = ["fused", "", "unfused"], ["", "host", "device", "factors"]
    ordered = style.methods(method for method, _, _ in found)
    return sorted(found, key=lambda f: (ordered.index(f[0]), places[0].index(f[1]), places[1].index(f[2])))


def as_in_the_paper(table: pd.DataFrame) -> pd.DataFrame:
    """The points that the paper measures: one task, and of fused P one place for its rows, the host's memory if it was
    measured."""
    table = table[table["tasks"] == table["tasks"].min()]
    kept = [place for place in ("host", "device", "factors") if (table["rows"] == place).any()][:1]
    return table[table["rows"].isin(["", *kept])]


def costs(timings: Timings, backbones: Sequence[str]) -> pd.DataFrame:
    """What inference takes of each method on the first device that has the backbone: ``backbone, method, slowdown,
    bytes_per_task``, by the study's names of ``backbones``.

    Each method in the form in which most tasks can be served together: with fused rows of P, else unfused.
    ``slowdown``: the geometric mean of its ratios over the batches and lengths that all methods have.
    ``bytes_per_task`` is NaN where nothing says it.
    """
    found = []
    for backbone in dict.fromkeys(backbones):
        own = timings.table[timings.table["backbone"].map(lambda name, b=backbone: same(name, b))]
        if own.empty:
            continue
        own = own[(own["device"] == own["device"].iloc[0]) & (own["tasks"] == own["tasks"].min())]
        served = {method: _served(rows) for method, rows in own.groupby("method")}
        sizes = [set(zip(rows["batch"], rows["length"], strict=True)) for rows in served.values()]
        shared = set.intersection(*sizes)
        setup = timings.setups.get(own["device"].iloc[0])
        known = {} if setup is None else setup.backbones.get(own["backbone"].iloc[0], {}).get("bytes_per_task", {})
        for method, rows in served.items():
            inside = [size in shared for size in zip(rows["batch"], rows["length"], strict=True)]
            ratio = float(np.exp(np.log(rows.loc[inside, "ratio"]).mean())) if any(inside) else np.nan
            size = known.get(form(method, rows["variant"].iloc[0], rows["rows"].iloc[0]), np.nan)
            found.append((backbone, method, ratio, float(size)))
    return pd.DataFrame(found, columns=["backbone", "method", "slowdown", "bytes_per_task"])


def _served(rows: pd.DataFrame) -> pd.DataFrame:
    """The points of a method in the form that stands for it."""
    for variant, place in _SERVED:
        own = rows[(rows["variant"] == variant) & (rows["rows"] == place)]
        if len(own):
            return own
    return rows


def same(one: str, other: str) -> bool:
    """Whether two names are of one backbone: the same, or one of the paper's however it is spelled."""
    return one == other or (match(one) is not None and match(one) == match(other))
