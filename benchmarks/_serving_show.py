"""What ``benchmarks/serving.py`` measured, for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks._training_show import table


def text(result: dict[str, Any]) -> str:
    """Everything that was measured."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    threads = f"{result['threads']} threads" if result["threads"] > 1 else "one thread"
    parts = [f"{result['device']}; {threads}; {versions}; load before {result['load_before']}"]
    parts += [line for section in result["sections"] for line in _section(section)]
    if result["load"]:
        parts += list(_load(result["load"]))
    return "\n\n".join(parts)


def _section(section: dict[str, Any]) -> Iterator[str]:
    lines = [f"## {section['name']}"]
    if section["texts_drawn"]:
        lines.append("There is no data: texts are drawn by the task's lengths.")
    if section["random_weights"]:
        lines.append("The backbone has random weights.")
    if section["distinct"] < section["tasks"]:
        lines.append(f"Of {section['tasks']} tasks with rows of P, {section['distinct']} have rows of their own.")
    lines.append("Batches from text to answer; 'of plain' without making tokens of text.")
    yield "\n".join(lines)
    if differ := [row for row in section["logits"] if row["error"]]:
        yield "\n".join(f"{row['way']}, {row['tasks']} tasks: {row['error']}" for row in differ)
    heads = ("tasks, rows", "way", "rounds", "ms", "of it text", "rows/s", "of plain", "low", "high", "MiB", "GPU", "")
    yield table(heads, [_cells(row) for row in section["points"]])
    if compared := section["ratios"]:
        heads = ("tasks, rows", "rows per second against", "times", "low", "high", "without text")
        yield table(heads, [_ratio(row) for row in compared])


def _at(row: dict[str, Any]) -> str:
    return f"{row['tasks']}, {row['batch']}" + (" drawn" if row["mix"] == "random" else "")


def _cells(row: dict[str, Any]) -> list[Any]:
    if not row["rounds"]:
        return [_at(row), row["way"], 0, *[None] * 8, row["error"].strip().splitlines()[-1][:60]]
    of_plain = row["of_plain_without_text"] or {}
    return [
        _at(row),
        row["way"],
        row["rounds"],
        row["milliseconds"],
        row["milliseconds_of_text"],
        row["rows_per_second"],
        *(of_plain.get(part) for part in ("median", "low", "high")),
        round(row["mib"].get("rss", 0)) or None,
        round(row["mib"].get("gpu_peak", 0)) or None,
        row["error"].strip().splitlines()[-1][:60] if row["error"] else "",
    ]


def _ratio(row: dict[str, Any]) -> list[Any]:
    words = f"{row['way']} against {row['peer_way']}"
    without = (row["ratio_without_text"] or {}).get("median")
    return [_at(row), words, *(row["ratio"][part] for part in ("median", "low", "high")), without]


def _load(load: dict[str, Any]) -> Iterator[str]:
    lines = ["## A server under load", f"{load['backbone']}, texts of {load['texts']}, one row a request."]
    lines += [f"{name}: {error}" for name, error in load["errors"].items()]
    yield "\n".join(lines)
    heads = ("server", "tasks", "loop", "sent", "answered", "refused", "failed", "unanswered")
    heads += ("rows/s", "p50 ms", "p95", "p99")
    cells = [
        [
            row["server"], row["tasks"], row["loop"], row["sent"], row["answered"], row["refused"], row["failed"],
            row["unanswered"], row["rows_per_second"], *(row["milliseconds"][p] for p in ("p50", "p95", "p99")),
        ]
        for row in load["phases"]
    ]  # fmt: skip
    yield table(heads, cells)
    heads = ("server", "MiB before", "MiB after", "start-up s")
    yield table(heads, [[s["name"], s["mib_before"], s["mib_after"], s["start_up_seconds"]] for s in load["servers"]])
