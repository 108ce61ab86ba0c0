"""Every benchmark starts as its docstring says, as a script: one of them is called as a module of Python's is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
STARTS_DRIVERS = ("service.py",)
SCRIPTS = sorted(p.name for p in FOLDER.glob("[a-z]*.py") if f"python benchmarks/{p.name}" in p.read_text("utf-8"))


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.cluster) if n in STARTS_DRIVERS else n for n in SCRIPTS]
)
def test_it_starts_as_a_script(name: str) -> None:
    done = subprocess.run([sys.executable, str(FOLDER / name), "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout
