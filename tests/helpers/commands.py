"""The commands that ask a cluster, as tests call them."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from search.cli import app

VARIABLES = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH",
             "MLFLOW_TRACKING_URI", "AOT_STORAGE")  # fmt: skip

runner = CliRunner()


def forget_clusters(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """No variable and no token of whoever runs the tests."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))


def refused(*arguments: str | Path) -> str:
    """A command that must fail: its words, which are one line, on stderr."""
    done = runner.invoke(app, list(map(str, arguments)))
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    return done.stderr
