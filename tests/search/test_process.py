"""What libraries print on its way to a file, without what is secret in it."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.secrets import SECRET

from common.words import shown
from search._process import HidingStream, quiet

ROOT = Path(__file__).parents[2]
URI = f"postgresql://bob:{SECRET}@h/db"


def test_a_stream_hides_line_by_line_whatever_the_pieces_are() -> None:
    out = io.StringIO()
    stream = HidingStream(out, shown)
    print("to", URI[:20], end="", file=stream)
    assert not out.getvalue()
    print(URI[20:], "\nand on", file=stream, end="")
    stream.flush()
    assert out.getvalue() == "to postgresql://***@h/db \nand on"


def test_what_ray_prints_is_kept_without_secrets(tmp_path: Path) -> None:
    with quiet(tmp_path / "ray.log"):
        print("cannot reach", URI)
        assert logging.getLogger("ray.tune").level == logging.CRITICAL
    assert (tmp_path / "ray.log").read_text() == "cannot reach postgresql://***@h/db\n"


@pytest.mark.cluster
@pytest.mark.parametrize("password", [SECRET, f"{SECRET}%40more"])
def test_the_log_of_the_mlflow_writer_has_no_password(tmp_path: Path, password: str) -> None:
    """The writer ends with a traceback that has a part of the password in it."""
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / SECRET
    settings = {"folder": str(folder), "tracking": f"postgresql://bob:{password}@h/db", "study": "stub"}
    done = subprocess.run(
        [sys.executable, "-m", "search.tracking.mlflow_process"],
        input=json.dumps(settings) + "\n", cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert f"{tmp_path}/file/***" in done.stderr
    assert SECRET not in done.stderr
