"""Searches on one cluster: how many packs each may have, and who is there."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search import sharing
from search.sharing import Line, Sharing, fair_share


@pytest.mark.parametrize(
    ("places", "wanted", "others", "share"),
    [
        (8, 100, [], 8),
        (8, 3, [], 3),
        (8, 100, [100], 4),
        (8, 100, [100, 100], 3),  # 8 / 3, rounded up
        (8, 100, [1], 7),
        (8, 100, [1, 100], 4),  # (8 - 1) / 2, rounded up
        (8, 2, [100], 2),
        (1, 5, [5], 1),
        (0, 5, [], 0),
    ],
)
def test_fair_shares(places: int, wanted: int, others: list[int], share: int) -> None:
    assert fair_share(places, wanted, others) == share


@given(st.integers(0, 50), st.lists(st.integers(0, 60), min_size=1, max_size=6))
def test_shares_fill_the_cluster_and_nobody_envies(places: int, wanted: list[int]) -> None:
    shares = [fair_share(places, w, [*wanted[:i], *wanted[i + 1 :]]) for i, w in enumerate(wanted)]
    assert all(share <= w for share, w in zip(shares, wanted, strict=True))
    assert min(places, sum(wanted)) <= sum(shares) < places + len(wanted) + (sum(wanted) < places) * sum(wanted)
    unsatisfied = [share for share, w in zip(shares, wanted, strict=True) if share < w]
    assert not unsatisfied or max(shares) == min(unsatisfied), "who has less than he could use has as much as anybody"


@pytest.mark.usefixtures("ray_two_cpus")
class TestSharing:
    def test_two_studies_share_and_the_rest_is_free_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sharing, "BEAT_SECONDS", 0.0)
        one, two = Sharing("one"), Sharing("two")
        assert one.limit(8, 100) == 8
        assert one.alone
        two.limit(8, 100)
        assert one.limit(8, 100) == two.limit(8, 100) == 4
        assert (one.others, two.others) == (["two"], ["one"])
        two.limit(8, 1)
        assert one.limit(8, 100) == 7
        two.close()
        assert one.limit(8, 100) == 8
        one.close()

    def test_a_driver_that_died_is_forgotten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sharing, "BEAT_SECONDS", 0.0)
        old = Line("dead", "other", "elsewhere", 1, 100, 0.0, time.time() - sharing.OLD_SECONDS - 1)
        put(old)
        one = Sharing("one")
        assert one.limit(8, 100) == 8
        put(replace(old, time=time.time()))
        assert one.limit(8, 100) == 4
        remove(old)
        one.close()

    def test_the_same_study_on_another_machine(self) -> None:
        line = Line("other", "one", "elsewhere", 7, 100, 0.0, time.time())
        put(line)
        found = Sharing("one").other_driver()
        assert found is not None
        assert (found.pid, found.host) == (7, "elsewhere")
        assert Sharing("two").other_driver() is None
        put(replace(line, host=__import__("socket").gethostname()))
        assert Sharing("one").other_driver() is None, "on this machine the study's lock speaks"
        remove(line)


def put(line: Line) -> None:
    key = sharing.PREFIX + line.driver.encode()
    sharing.internal_kv._internal_kv_put(key, json.dumps(asdict(line)).encode(), namespace=sharing.NAMESPACE)


def remove(line: Line) -> None:
    sharing.internal_kv._internal_kv_del(sharing.PREFIX + line.driver.encode(), namespace=sharing.NAMESPACE)
