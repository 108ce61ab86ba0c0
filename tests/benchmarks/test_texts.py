"""The figures of docs/tasks.md on what is cut and on padding, made anew from the data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")


def measured(script: str, *arguments: str) -> list[list[str]]:
    """The rows of what a benchmark prints, without its first line."""
    command = [sys.executable, "-m", f"benchmarks.{script}", *arguments]
    asked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [line.split() for line in asked.stdout.splitlines()[1:]]


def test_what_is_lost_of_a_text_that_is_cut(real_data: str) -> None:
    rows = measured("truncation", real_data, "--tasks", "superglue/cb", "--lengths", "64", "--all")
    lost = {(side, segment): (cut, int(asked), int(place)) for _, _, side, segment, _, cut, _, asked, place in rows}
    assert lost["right,", "longest"] == ("73.2", 0, 34)
    assert lost["left,", "first"] == ("73.2", 0, 4), "as the task is cut"
    assert lost["left,", "second"][1] == 41


def test_what_batches_by_length_save(real_data: str) -> None:
    ((name, _, members, *shares),) = measured("padding", real_data, "--tasks", "superglue/cb", "--members", "1")
    assert (name, members) == ("superglue/cb", "1")
    by_length, in_order, shuffled, fixed, saved, *_ = (float(share) for share in shares if share not in "%/")
    assert in_order <= by_length < 5 < shuffled <= fixed
    assert f"| `{name}` | {by_length} % | {shuffled} % | {fixed} % | {saved:.0f} % |" in PAGE


def test_evaluations_of_packs_have_little_padding(real_data: str) -> None:
    rows = measured("padding", real_data, "--tasks", "superglue/cb", "--members", "8", "--evaluation")
    found = {device: (float(share), int(batches), float(full)) for _, _, _, device, share, _, batches, full, *_ in rows}
    assert all(share < 5 for share, *_ in found.values())
    share, batches, full = found["cuda"]
    assert full > 5
    assert f"{share} %, {batches} | {full} %" in PAGE
