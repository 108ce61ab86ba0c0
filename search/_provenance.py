"""Where this code lies and which it is: told with every result, and sent along with a job."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMMIT_NAME = "COMMIT"  # in the code that a job takes along; see search/jobs/_upload.py


@cache
def versions() -> dict[str, str]:
    """Versions of what determines results; without importing any of it."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in ("torch", "transformers", "ray", "aot-search"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


@cache
def git_commit() -> str:
    """The commit of this code; empty where it is neither a checkout nor an upload from one."""
    if (ROOT / COMMIT_NAME).exists():
        return (ROOT / COMMIT_NAME).read_text().strip()
    try:
        command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:  # no git on this machine
        return ""
    return asked.stdout.strip() if asked.returncode == 0 else ""
