"""Whether a report of the runs would say the same: what `aot report --watch` writes another one for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from analysis.frame import tidy
from analysis.report import write_report
from analysis.reports import Options
from search.cli._sources import Runs

ADDRESS = "http://host:5000/#/experiments/3"


def runs(**columns: object) -> pd.DataFrame:
    rows = [
        {
            "study": "s", "benchmark": "demo", "backbone": "b", "task": "demo/t", "method": method, "seed": seed,
            "assignment_id": method, "trial_id": f"{method}{seed}", "status": "finished", "score": 60.0 + seed,
            "best_epoch": 1, "epochs": 2, "trainable_parameters": 10, "seconds": 3.0, **columns,
        }
        for method in ("lora", "bitfit")
        for seed in (0, 1)
    ]  # fmt: skip
    return tidy(pd.DataFrame(rows))


def written(frame: pd.DataFrame, out: Path) -> dict[str, bytes]:
    """The files of a report with links."""
    write_report(frame, out, Options(tracking=ADDRESS))
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_the_id_of_a_run_in_mlflow_changes_no_report(tmp_path: Path) -> None:
    """It is the first time that a trial has one, or another: neither is a reason to write it again."""
    frames = [runs(), runs(run_id="a" * 32), runs(run_id="b" * 32)]
    first, *others = (Runs(frame) for frame in frames)
    assert all(first.same_as(other) for other in others)
    kept, *again = (written(frame, tmp_path / str(i)) for i, frame in enumerate(frames))
    assert all(files == kept for files in again)


KNOWN = Runs(runs(), None, ["a note"], {"s": "name: s"}, ADDRESS)


@pytest.mark.parametrize(
    "other",
    [
        replace(KNOWN, frame=runs(score=61.0)),
        replace(KNOWN, frame=runs(ended="2026-01-01T00:00:00")),
        replace(KNOWN, frame=runs().head(3)),
        replace(KNOWN, planned=pd.DataFrame({"planned": [4]})),
        replace(KNOWN, notes=[]),
        replace(KNOWN, texts={"s": "name: s # edited"}),
        replace(KNOWN, tracking=None),
    ],
    ids=("score", "ended", "fewer", "planned", "notes", "texts", "tracking"),
)
def test_whatever_else_a_report_says_does(other: Runs) -> None:
    assert not KNOWN.same_as(other)
    assert not other.same_as(KNOWN)
    assert not KNOWN.same_as(None)
    assert KNOWN.same_as(replace(KNOWN))
