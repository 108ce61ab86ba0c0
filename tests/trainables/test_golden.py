"""The first steps of every method give the losses that they gave when ``RESULT_VERSION`` was last raised.

A change that fails here changes results: raise ``RESULT_VERSION`` and make the numbers anew (``helpers/golden.py``), or
find what it changed without wanting to.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers import golden, paper
from helpers.families import save_tiny

from trainables import backbones
from trainables.trial import RESULT_VERSION

KEPT = json.loads(golden.FILE.read_text(encoding="utf-8"))

#: Absolute. Losses near 1 have steps of 1e-7 in float32; other instruction sets of the CPU (AVX2, SSE4, none) moved the
#: numbers by 1.2e-7 at most, while a LoRA scaled by one per mille more moved them by 7e-5.
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, backbones.BackboneSource]:
    return {f: backbones.resolve(str(save_tiny(f, tmp_path_factory.mktemp(f)))) for f in golden.FAMILIES}


def test_the_methods_of_the_paper_have_golden_losses() -> None:
    assert KEPT["result_version"] == RESULT_VERSION
    assert set(KEPT["losses"]) >= paper.METHODS


@pytest.mark.parametrize("method", KEPT["losses"])
@pytest.mark.parametrize("family", golden.FAMILIES)
def test_the_losses_are_the_golden_ones(method: str, family: str, sources, tmp_path: Path) -> None:
    expected = KEPT["losses"][method][family]
    assert all(abs(member[0] - member[-1]) > 1e-3 for member in expected), "nothing was learnt"
    got = golden.losses(golden.pack(method, sources[family]), tmp_path)
    assert got == [pytest.approx(member, rel=0, abs=TOLERANCE) for member in expected]
