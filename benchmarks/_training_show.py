"""What ``benchmarks/training.py`` measured, for people and for a file."""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks._training_timers import PLACES


def device(kind: str) -> str:
    """What was trained on, by name."""
    if kind == "cuda":
        import torch

        return torch.cuda.get_device_name(0)
    return f"{len(os.sched_getaffinity(0))} cores of {_processor()}"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def version(package: str) -> str | None:
    """A package's version; None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def plain(value: Any) -> Any:
    """The same for JSON: numbers that are not finite become null."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Columns of text; the first to the left, the others to the right."""
    cells = [list(heads), *([_printed(value) for value in row] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(heads))]
    return "\n".join(
        "  ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))).rstrip()
        for line in cells
    )


def _printed(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def text(result: dict[str, Any]) -> str:
    """Everything that was measured."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    parts = [f"{result['device']}; {versions}; {result['engine']} engine; load before {result['load_before']}"]
    parts += [line for section in result["sections"] for line in _section(section)]
    parts += [line for name, rows in result["curves"].items() for line in _curve(name, rows)]
    return "\n\n".join(parts)


def _section(section: dict[str, Any]) -> Iterator[str]:
    lines = [f"## {section['name']}"]
    if section["texts_drawn"]:
        lines.append("There is no data: texts are drawn by the task's lengths, labels at random.")
    if section["random_weights"]:
        lines.append("The backbone has random weights: scores say nothing.")
    if section["peer_method"] != section["grid"]["method"]:
        lines.append(f"PEFT has no {section['grid']['method']}: the peer trains {section['peer_method']}.")
    yield "\n".join(lines)
    keys = ("median_per_hour", "worker_seconds_per_trial", "start_up_seconds", "median_per_hour_with_start_up")
    rows = [
        [
            row["way"],
            row["rounds"],
            *(row.get(key) for key in keys),
            row.get("memory_mib") or None,
            "".join(row["error"].strip().splitlines()[-1:])[:60],
        ]
        for row in section["ways"]
    ]
    heads = ("way", "rounds", "trials/h", "s per trial and worker", "start-up s", "trials/h with it", "peak MiB", "")
    yield table(heads, rows)
    yield "\n".join(_ratios(section))
    if section["where"]:
        sides = list(section["where"])
        cells = [[place, *(section["where"][side].get(place) for side in sides)] for place in PLACES]
        shares = [section["padding_share"] if side == "ours" else section["peer_padding_share"] for side in sides]
        percents = [None if share is None else 100 * share for share in shares]
        yield table(("seconds per trial", *sides), [*cells, ["padding, % of training tokens", *percents]])


def _ratios(section: dict[str, Any]) -> Iterator[str]:
    for name, words in (("ratio", "without start-up"), ("ratio_with_start_up", "with start-up")):
        numbers = [_printed(section[f"{name}{part}"]) for part in ("", "_low", "_high")]
        yield f"ratio {words}: {numbers[0]} ({numbers[1]} to {numbers[2]}), the best way of each side"
    for precision, one in section["by_precision"].items():
        if one is not None and len(section["by_precision"]) > 1:
            yield f"  {precision} against {precision}: {one['median']:.2f} ({one['low']:.2f} to {one['high']:.2f})"
    for side in ("ours", "peer"):
        found = section["scores"][side]
        yield f"scores of {side}: n {found['n']}, mean {_printed(found['mean'])}, std {_printed(found['std'])}"
    if apart := section["scores"]["difference"]:
        yield f"difference of means: {apart['mean']:+.2f} (95 % interval {apart['low']:+.2f} to {apart['high']:+.2f})"


def _curve(name: str, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    if not rows:
        yield f"## curve of {name}: no point could be measured"
        return
    yield f"## curve of {name}"
    heads = list(rows[0])
    yield table(heads, [[row[head] for head in heads] for row in rows])
