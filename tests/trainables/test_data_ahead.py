"""Items that are made in a thread of their own."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.data import ahead
from trainables.data.ahead import AHEAD


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("ahead")]


@given(st.lists(st.integers()))
@settings(deadline=None)
def test_the_same_items_in_the_same_order(items: list[int]) -> None:
    assert list(ahead(iter(items))) == items
    assert not threads()


def test_items_are_made_in_one_other_thread_and_no_more_than_a_few_ahead() -> None:
    made: list[int] = []
    makers: set[int] = set()

    def items() -> Iterator[int]:
        for item in range(20):
            makers.add(threading.get_ident())
            made.append(item)
            yield item

    for used, _ in enumerate(ahead(items()), 1):
        assert len(made) <= used + AHEAD
    assert len(makers) == 1
    assert threading.get_ident() not in makers


def test_the_next_item_is_made_while_one_is_in_use() -> None:
    second = threading.Event()

    def items() -> Iterator[str]:
        yield "first"
        second.set()
        yield "second"

    found = ahead(items())
    assert next(found) == "first"
    assert second.wait(30), "nothing was made ahead"
    assert list(found) == ["second"]


def test_an_error_comes_behind_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("the third cannot be made")

    found = ahead(items())
    assert [next(found), next(found)] == [1, 2]
    with pytest.raises(ValueError, match="the third cannot be made"):
        next(found)
    assert not threads()


@pytest.mark.parametrize("used", [1, 3])
def test_no_thread_stays_when_the_rest_is_not_wanted(used: int) -> None:
    found = ahead(iter(range(1_000_000)))
    for _ in range(used):
        next(found)
    assert threads()
    found.close()
    assert not threads()
