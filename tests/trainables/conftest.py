"""What the tests of ``trainables`` share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers.added import added


@pytest.fixture(scope="module")
def added_methods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The methods of ``helpers.added`` among those of the folder, for the tests of a file."""
    with added(tmp_path_factory.mktemp("methods")):
        yield
