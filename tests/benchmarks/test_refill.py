"""How full places are, counted: packs that go along with others against each alone."""

from __future__ import annotations

import random

import pytest

from benchmarks.refill import Run, Worker, play, stop
from search.tune import searcher


def drawn(packs: int, places: int, protocol: tuple[int, int]) -> list[list[int]]:
    source = random.Random(0)
    return [[stop(source, *protocol) for _ in range(places)] for _ in range(packs)]


def test_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two packs of two: one member of each stops after the first epoch, the other after the fourth."""
    monkeypatch.setattr(searcher, "MOST_ALONG", 1)
    assert play([[1, 4], [1, 4]], 2, 1) == (10 / 16, 8)
    monkeypatch.setattr(searcher, "MOST_ALONG", 2)
    assert play([[1, 4], [1, 4]], 2, 1) == (10 / 10, 5), "the two that are left go on together"
    worker = Worker(2, [Run([1, 4]), Run([1, 4])])
    assert [worker.epoch() for _ in range(5)] == [2] * 5


@pytest.mark.parametrize("protocol", [(100, 10), (200, 20)])
@pytest.mark.parametrize("places", [8, 32])
def test_places_are_fuller(places: int, protocol: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    packs = drawn(16, places, protocol)
    along, sooner = play(packs, places, 1)
    monkeypatch.setattr(searcher, "MOST_ALONG", 1)
    alone, later = play(packs, places, 1)
    assert along > alone + 0.07
    assert sooner < 0.93 * later


@pytest.mark.parametrize("workers", [4, 8])
def test_the_last_packs_are_left_to_idle_workers(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With two packs a worker; also where a pack fills a device, so that nothing can be gained."""
    packs = drawn(2 * workers, 8, (200, 20))
    along, along_full = (play(packs, 8, workers, full=full)[1] for full in (False, True))
    monkeypatch.setattr(searcher, "MOST_ALONG", 1)
    alone, alone_full = (play(packs, 8, workers, full=full)[1] for full in (False, True))
    assert along <= alone
    assert along_full <= 1.1 * alone_full
