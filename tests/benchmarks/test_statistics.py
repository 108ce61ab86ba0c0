"""Every file of rates yields some, of everything that it names; with few repeats, so no rate itself is a test."""

from __future__ import annotations

import importlib
import math
import pkgutil

import pytest

import benchmarks
from benchmarks._rates import Rate, Size

NAMES = [module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name.startswith("_rates_")]


def test_there_are_rates() -> None:
    assert {"_rates_evp", "_rates_inference", "_rates_paper", "_rates_tests", "_rates_tried"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_file_yields_rates(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(f"benchmarks.{name}")
    if hasattr(module, "_TRUTH"):
        monkeypatch.setattr(module, "_TRUTH", 50)  # what a truth is reckoned from
    found = module.rates(2, 0)
    assert len(found) > 5
    shares = [rate for rate in found if isinstance(rate, Rate)]
    assert all(isinstance(rate, Rate | Size) for rate in found)
    assert all(0 <= rate.measured <= 1 and rate.repeats >= 1 for rate in shares)
    assert all(math.isfinite(rate.measured) and math.isfinite(rate.error) for rate in found)
    assert len({(rate.what, rate.design) for rate in found}) == len(found), "a line is told from every other"
