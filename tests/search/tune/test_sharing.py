"""Searches on one cluster: how many packs each may have, and who is there."""

from __future__ import annotations

import itertools
import json
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.study import Resources
from search.tune import sharing
from search.tune.sharing import Line, Sharing, fair_share

CPU = Resources()


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


def look(who: Sharing, places: int, wanted: int = 100, running: int = 0) -> int:
    who._last = float("-inf")  # as if a beat had passed
    return who.limit(places, wanted, running)


@pytest.mark.usefixtures("ray_two_cpus")
class TestSharing:
    @pytest.fixture(autouse=True)
    def no_lines(self) -> None:
        """Of drivers that tests before these have killed."""
        for key in sharing.internal_kv._internal_kv_list(sharing.PREFIX, namespace=sharing.NAMESPACE):
            sharing.internal_kv._internal_kv_del(key, namespace=sharing.NAMESPACE)

    def test_two_studies_share_and_the_rest_is_free_again(self) -> None:
        one, two = Sharing("one", CPU), Sharing("two", CPU)
        assert look(one, 8) == 8
        assert one.alone
        look(two, 8)
        assert look(one, 8) == look(two, 8) == 4
        assert (one.others, two.others) == (["two"], ["one"])
        look(two, 8, wanted=1)
        assert look(one, 8) == 7
        two.close()
        assert look(one, 8) == 8
        one.close()

    def test_who_finds_no_place_leaves_them_to_the_others(self) -> None:
        """A study whose packs no node has room for waits for ever; nobody else is to wait with it."""
        large, one = Sharing("large", Resources(cpu=64)), Sharing("one", CPU)
        assert look(large, 0) == 1, "it asks all the same, so that an autoscaler sees it"
        assert look(one, 8) == 8
        assert one.alone
        look(large, 1)
        assert look(one, 8) < 8
        for each in (large, one):
            each.close()

    def test_packs_of_two_sizes(self) -> None:
        """Of eight CPUs, four for packs of one and four for packs of two; who takes GPUs does not share CPUs."""
        small, large, gpu = (Sharing(*each) for each in (("s", CPU), ("l", Resources(cpu=2)), ("g", Resources(gpu=1))))
        for _ in range(2):
            shares = look(small, 8), look(large, 4), look(gpu, 3)
        assert shares == (4, 2, 3)
        look(large, 4, wanted=1)
        assert look(small, 8) == 6
        for each in (small, large, gpu):
            each.close()

    def test_who_waits(self) -> None:
        one, two = Sharing("one", CPU), Sharing("two", CPU)
        look(two, 4)
        look(one, 4, running=4)
        assert one.somebody_waits
        assert not one.crowded
        look(two, 4, running=2)
        look(one, 4, running=2)
        assert not one.somebody_waits
        look(two, 1, running=1)
        look(one, 1)
        assert (one.full, one.crowded) == (True, True)
        look(two, 1, running=1)
        assert two.somebody_waits, "everybody should have one pack at least, in turn"
        for each in (one, two):
            each.close()

    def test_a_driver_that_died_is_forgotten_whatever_its_clock_says(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(Line("dead", "other", "elsewhere", 1, since=time.time() + 1e6, wanted=100))
        one = Sharing("one", CPU)
        assert look(one, 8) == 4
        monkeypatch.setattr(sharing, "OLD_SECONDS", 0.0)
        assert look(one, 8) == 8
        one.close()

    def test_a_driver_of_this_machine_that_died_is_forgotten_at_once(self) -> None:
        ended = subprocess.Popen(["true"])
        ended.wait()
        put(Line("dead", "other", socket.gethostname(), ended.pid, since=1.0, wanted=100))
        one = Sharing("one", CPU)
        assert look(one, 8) == 8
        one.close()

    def test_one_driver_of_a_study(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sharing, "BEAT_SECONDS", 0.02)
        monkeypatch.setattr(sharing, "OLD_SECONDS", 0.5)
        line = Line("other", "one", "elsewhere", 7, since=time.time() + 60)
        put(line)
        one, said = Sharing("one", CPU), []
        assert one.other_driver(said.append) is None, "its line does not change: it is dead"
        assert said == [
            "process 7 on elsewhere ran this study and is silent; waiting up to 0.5 s to see whether it is alive"
        ]
        assert look(one, 8) == 8, "a study does not share with a driver of its own that was killed"
        one.close()

        wait = time.sleep
        beats = itertools.count(1)
        for change, stays in ((replace(line, since=1.0), True), (line, False), (replace(line, at_work=True), True)):
            put(line)
            one = Sharing("one", CPU)
            monkeypatch.setattr(time, "sleep", lambda s, c=change: (put(replace(c, beat=next(beats))), wait(s)))
            found = one.other_driver()
            assert (found is not None and (found.pid, found.host) == (7, "elsewhere")) == stays
            one.close()
        assert Sharing("two", CPU).other_driver() is None
        remove(line)

    def test_a_driver_of_this_machine_that_is_gone_is_not_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sharing, "OLD_SECONDS", 1e9)
        ended = subprocess.Popen(["true"])
        ended.wait()
        line = Line("gone", "one", socket.gethostname(), ended.pid, since=1.0, at_work=True)
        put(line)
        one = Sharing("one", CPU)
        assert one.other_driver(pytest.fail) is None
        remove(line)
        one.close()

    def test_of_two_that_begin_together_one_goes_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Both have written before either reads."""
        monkeypatch.setattr(sharing, "BEAT_SECONDS", 0.02)
        both = [Sharing("one", CPU) for _ in range(2)]
        for each in both:
            each._write()
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(Sharing.other_driver, both)
        assert first is None, "the one that began first"
        assert second is not None
        for each in both:
            each.close()

    def test_lines_of_another_version_are_read(self) -> None:
        put(Line("new", "other", "elsewhere", 7, since=1.0, wanted=100), more="unknown")
        one = Sharing("one", CPU)
        assert look(one, 8) == 4
        remove(Line("new", "", "", 0, 0.0))
        one.close()


def put(line: Line, **more: str) -> None:
    value = json.dumps({**asdict(line), **more}).encode()
    sharing.internal_kv._internal_kv_put(sharing.PREFIX + line.driver.encode(), value, namespace=sharing.NAMESPACE)


def remove(line: Line) -> None:
    sharing.internal_kv._internal_kv_del(sharing.PREFIX + line.driver.encode(), namespace=sharing.NAMESPACE)
