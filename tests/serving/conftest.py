"""What the tests of ``serving`` share."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from helpers.families import save_tiny

from trainables import backbones
from trainables.trial import BackboneSource

Sources = Callable[..., BackboneSource]


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """``source(family, seed=0)``: a tiny random backbone with a tokenizer, in a folder."""
    folder = tmp_path_factory.mktemp("backbones")

    @cache
    def saved(family: str, seed: int = 0) -> BackboneSource:
        return backbones.resolve(str(save_tiny(family, folder / f"{family}-{seed}", seed)))

    return saved
