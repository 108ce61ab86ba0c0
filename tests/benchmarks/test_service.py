"""The benchmark of the search runs and says what it measured; no number of it is a test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.cluster


def measured(tmp_path: Path, *arguments: str) -> dict:
    """The JSON of one small run."""
    out = tmp_path / "service.json"
    command = [sys.executable, "benchmarks/service.py", "--trials", "16", "--json", str(out), *arguments]
    asked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stderr
    assert "processor milliseconds per trial" in asked.stdout
    return json.loads(out.read_text())


@pytest.mark.timeout(600)
def test_both_drivers_are_measured_in_full(tmp_path: Path) -> None:
    found = measured(tmp_path, "--peer-trials", "4")
    assert (found["trials"], found["pack"], found["peer_trials"]) == (16, 8, 4)
    assert found["every_epoch"]
    for key in ("driver_ms_per_trial", "peer_ms_per_trial", "mlflow_ms_per_trial", "peak_mib", "peer_peak_mib"):
        assert found[key] > 0, key
    assert found["sum_ms_per_trial"] == pytest.approx(
        found["driver_ms_per_trial"] + found["mlflow_ms_per_trial"], abs=0.02
    )


@pytest.mark.timeout(600)
def test_the_peer_can_be_left_out_and_short_epochs_merged(tmp_path: Path) -> None:
    found = measured(tmp_path, "--peer-trials", "0", "--merge-short", "--pack", "1")
    assert (found["pack"], found["every_epoch"]) == (1, False)
    assert found["peer_ms_per_trial"] is None
    assert found["driver_ms_per_trial"] > 0
