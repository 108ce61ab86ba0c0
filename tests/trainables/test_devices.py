"""Items that are made in a thread for a GPU: the same ones, in order, with their errors."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from trainables import devices

both = pytest.mark.parametrize("device", [torch.device("cpu"), torch.device("cuda")], ids=str)


@both
def test_the_items_are_the_same_and_in_order(device: torch.device) -> None:
    assert list(devices.ahead(iter(range(1, 100)), device)) == list(range(1, 100))
    assert list(devices.ahead(iter(()), device)) == []


@both
def test_what_an_item_raises_is_raised_in_its_place(device: torch.device) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("no second one")

    taken = devices.ahead(items(), device)
    assert next(taken) == 1
    with pytest.raises(ValueError, match="no second one"):
        next(taken)


def test_for_a_gpu_the_next_one_is_made_while_one_is_in_use() -> None:
    made, second = [], threading.Event()

    def items() -> Iterator[int]:
        for number in (1, 2, 3):
            made.append(threading.current_thread() is threading.main_thread())
            if number == 2:
                second.set()
            yield number

    taken = devices.ahead(items(), torch.device("cuda"))
    assert next(taken) == 1
    assert second.wait(60), "nobody has asked for it yet"
    assert made[0] is False
    taken.close()  # type: ignore[attr-defined]
    assert len(made) == 2, "one ahead, not all"
