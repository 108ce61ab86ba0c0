"""The queue: mixed batches in the order of arrival, cut by tokens; who leaves takes his rows along."""

from __future__ import annotations

import asyncio
import threading

import pytest

from serving._queue import OWN_TOKENS, Batches, estimated_tokens
from serving.request import Answer, Request


class Slow:
    """A ``predict`` that notes its batches and goes on when it is told to; it answers with each row's number."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.may = threading.Semaphore(0)

    def __call__(self, requests: list[Request]) -> list[Answer]:
        self.batches.append([f"{request.task}{request.fields['n']}" for request in requests])
        assert self.may.acquire(timeout=60)
        return [Answer(request.task, value=request.fields["n"]) for request in requests]


def rows(task: str, *numbers: int) -> list[Request]:
    return [Request(task, {"n": number}) for number in numbers]


async def until(condition: object) -> None:
    while not condition():  # type: ignore[operator]
        await asyncio.sleep(0.001)


def test_a_batch_is_what_waited_and_answers_come_home() -> None:
    async def go() -> None:
        slow = Slow()
        batches = Batches(slow, lambda request: 10, 100)
        first = asyncio.create_task(batches.answers(rows("a", 1)))
        await until(lambda: slow.batches)
        others = [asyncio.create_task(batches.answers(rows(task, *n))) for task, n in (("b", (2, 3)), ("c", (4,)))]
        await until(lambda: len(batches) == 3)
        slow.may.release(2)
        assert [answer.value for answer in await first] == [1]
        assert [[answer.value for answer in await other] for other in others] == [[2, 3], [4]]
        assert slow.batches == [["a1"], ["b2", "b3", "c4"]]
        facts = batches.facts()
        assert (facts["batches"], facts["batch_rows"], facts["largest_batch_rows"]) == (2, 4, 3)
        assert facts["batch_seconds"] > 0

    asyncio.run(go())


def test_batches_are_cut_by_tokens_and_one_row_always_fits() -> None:
    async def go() -> None:
        slow = Slow()
        slow.may.release(10)
        batches = Batches(slow, lambda request: request.fields["n"], 10)
        await batches.answers(rows("a", 4, 6, 1, 99, 5, 5, 1))
        assert slow.batches == [["a4", "a6"], ["a1"], ["a99"], ["a5", "a5"], ["a1"]]

    asyncio.run(go())


def test_rows_of_whoever_left_are_not_computed() -> None:
    async def go() -> None:
        slow = Slow()
        batches = Batches(slow, lambda request: 1, 100)
        first = asyncio.create_task(batches.answers(rows("a", 1)))
        await until(lambda: slow.batches)
        leaving = asyncio.create_task(batches.answers(rows("b", 2)))
        staying = asyncio.create_task(batches.answers(rows("c", 3)))
        await until(lambda: len(batches) == 2)
        leaving.cancel()
        first.cancel()  # its batch is being computed: the answer has nobody to go to
        slow.may.release(2)
        assert [answer.value for answer in await staying] == [3]
        assert slow.batches == [["a1"], ["c3"]]
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(go())


def test_a_batch_that_fails_says_so_to_its_own_rows_alone() -> None:
    def failing(requests: list[Request]) -> list[Answer]:
        if requests[0].task == "bad":
            raise MemoryError("too much")
        return [Answer(request.task) for request in requests]

    async def go() -> None:
        batches = Batches(failing, lambda request: 1, 2)
        bad = asyncio.create_task(batches.answers(rows("bad", 1, 2)))
        good = asyncio.create_task(batches.answers(rows("good", 3)))
        with pytest.raises(MemoryError, match="too much"):
            await bad
        assert [answer.task for answer in await good] == ["good"]

    asyncio.run(go())


def test_two_batches_at_once_where_it_may() -> None:
    async def go() -> None:
        slow = Slow()
        batches = Batches(slow, lambda request: 1, 1, at_once=2)
        asked = asyncio.create_task(batches.answers(rows("a", 1, 2, 3)))
        await until(lambda: len(slow.batches) == 2)
        assert len(batches) == 1
        slow.may.release(3)
        assert [answer.value for answer in await asked] == [1, 2, 3]

    asyncio.run(go())


def test_tokens_are_estimated_by_length_and_a_task_takes_no_more_than_its_own() -> None:
    assert estimated_tokens(Request("a", {"x": "", "y": 3}), 128) == OWN_TOKENS
    assert estimated_tokens(Request("a", {"x": "s" * 30, "y": "s" * 30}), 128) == OWN_TOKENS + 20
    assert estimated_tokens(Request("a", {"x": "s" * 10_000}), 128) == 128
