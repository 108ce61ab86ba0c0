"""The benchmark of reports makes its runs, takes every step and says what it took; no number of it is a test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


def test_every_step_is_taken_and_told(tmp_path: Path) -> None:
    out = tmp_path / "reports.json"
    command = [sys.executable, "benchmarks/reports.py", "--trials", "195", "--epochs", "2", "--json", str(out)]
    asked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stderr
    found = json.loads(out.read_text())
    assert (found["trials"], found["epochs"]) == (195, 2)
    assert found["page_mb"] > 0
    names = [step["name"] for step in found["steps"]]
    assert names == [
        *("MLflow read for the first time", "read again", "first export", "second export"),
        *("export after 50 changed", "report", "mlflow.search_runs"),
    ]
    assert all(name in asked.stdout for name in names)
    assert all(step["cpu_seconds"] > 0 and step["peak_mib"] > 0 for step in found["steps"])
