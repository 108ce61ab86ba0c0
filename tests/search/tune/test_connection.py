"""The Ray cluster of a run, and SIGTERM, which Ray takes for itself when it starts and when it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.cluster

SCRIPT = """
import os, signal, sys, time
from search._process import interruptible, terminable
from search.tune.connection import connected
from search.study import Resources

def told(moment):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.5)
    print("survived", moment)

try:
    with terminable():
        if sys.argv[1] == "before":
            told("before")
        with interruptible() as interrupted, connected(Resources(), None):
            if sys.argv[1] == "between":
                told("between")
                assert interrupted.is_set()
        told("after")
except KeyboardInterrupt:
    print("stopped")
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("moment", "printed"), [("before", ""), ("between", "survived between\n"), ("after", "")])
def test_sigterm_is_ctrl_c_whatever_ray_makes_of_it(moment: str, printed: str) -> None:
    """At once before Ray starts and after it has ended, and between two steps of the driver meanwhile."""
    command = [sys.executable, "-c", SCRIPT, moment]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{printed}stopped\n"), done.stderr
