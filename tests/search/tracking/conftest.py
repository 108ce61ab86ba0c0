"""A real PostgreSQL for the tests of stores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers.servers import Server, postgres


@pytest.fixture(scope="module")
def postgresql() -> Iterator[tuple[Server, str]]:
    """The server, and the URI of its database with a password in it."""
    with postgres() as server_and_uri:
        yield server_and_uri
