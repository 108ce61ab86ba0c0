"""How a command ends: with nothing said that is not its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def test_libraries_do_not_complain_of_what_is_left(tmp_path: Path) -> None:
    pytest.importorskip("triton")
    script = "import triton._C.libtriton, sys; from search.cli import main; sys.argv = ['aot', '--version']; main()"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
