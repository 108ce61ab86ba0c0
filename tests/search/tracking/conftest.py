"""Stores for the tests: on SQLite, and a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.servers import Server, postgres
from helpers.stub_study import copy_database

from search.tracking.store import Store


@pytest.fixture(scope="module")
def postgresql() -> Iterator[tuple[Server, str]]:
    """The server, and the URI of its database with a password in it."""
    with postgres() as server_and_uri:
        yield server_and_uri


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, said: list[str]) -> Callable[..., Store]:
    """Stores of one study in ``tmp_path``, on SQLite unless another URI is given."""
    copy_database(tmp_path)

    def make(uri: str = f"sqlite:///{tmp_path}/runs/mlflow.db") -> Store:
        return Store("stub", str(tmp_path / "runs" / "stub"), uri, said.append)

    return make
