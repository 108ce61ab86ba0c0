"""How long texts are cut: what stays, of which segment and on which side, for the tokenizers of every family."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from helpers.families import FAMILIES, save_tiny

from trainables import backbones
from trainables.data.encoding import encode
from trainables.data.truncation import kept
from trainables.tasks import Truncation
from trainables.tasks._text import Texts

FIRST = "the red cat sat on the old mat and the big dog ran over the house"
SECOND = "the dog was not very good but it was a new dog"
LENGTHS = (8, 9, 12, 17, 24, 61, 62, 200)


@pytest.fixture(scope="module", params=FAMILIES)
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = save_tiny(request.param, tmp_path_factory.mktemp(request.param), layers=1)
    return backbones.tokenizer(backbones.resolve(str(folder)))


def ids(tokenizer: Any, pair: tuple[str, str | None], max_length: int, truncation: Truncation) -> list[int]:
    first, second = pair
    texts = Texts([first], None if second is None else [second], np.zeros(1, np.int64))
    return encode(texts, tokenizer, max_length, truncation)[0]["ids"].tolist()


def framed(tokenizer: Any, first: list[int], second: list[int]) -> list[int]:
    """A pair between the special tokens that stand around any other."""
    other = tokenizer("a", "a", return_special_tokens_mask=True)
    begin, *between, end = np.array(other["input_ids"])[np.array(other["special_tokens_mask"]) == 1].tolist()
    return [begin, *first, *between, *second, end]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("pair", [(FIRST, None), (FIRST, SECOND), (SECOND, FIRST), (FIRST, FIRST), (FIRST, "a cat")])
def test_the_longest_first_is_what_the_library_does(tokenizer: Any, pair: tuple[str, str | None], side: str) -> None:
    before = tokenizer.truncation_side
    for length in LENGTHS:
        tokenizer.truncation_side = side
        expected = tokenizer(*pair, truncation="longest_first", max_length=length)["input_ids"]
        tokenizer.truncation_side = before
        assert ids(tokenizer, pair, length, Truncation(side)) == expected


def test_the_segment_that_gives_way_is_cut_on_the_side_and_the_other_stays_whole(tokenizer: Any) -> None:
    first, second = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (FIRST, SECOND))
    special = tokenizer.num_special_tokens_to_add(pair=True)
    length = special + len(second) + 3
    for side, part in (("left", first[-3:]), ("right", first[:3])):
        expected = framed(tokenizer, part, second)
        assert ids(tokenizer, (FIRST, SECOND), length, Truncation(side, "first")) == expected
        turned = framed(tokenizer, second, part)
        assert ids(tokenizer, (SECOND, FIRST), length, Truncation(side, "second")) == turned


def test_a_segment_that_is_too_long_by_itself_is_cut_when_nothing_of_the_other_is_left(tokenizer: Any) -> None:
    second = tokenizer(SECOND, add_special_tokens=False)["input_ids"]
    special = tokenizer.num_special_tokens_to_add(pair=True)
    for side, part in (("left", second[-4:]), ("right", second[:4])):
        expected = framed(tokenizer, [], part)
        assert ids(tokenizer, (FIRST, SECOND), special + 4, Truncation(side, "first")) == expected


@pytest.mark.parametrize(("side", "segment"), product(["left", "right"], ["longest", "first", "second"]))
def test_just_as_many_tokens_stay_as_there_is_room_for(side: str, segment: str) -> None:
    for first, second, length in product((0, 1, 5, 9), (0, 1, 6), (4, 5, 8, 9, 30)):
        segments = [None, *[0] * first, None, *[1] * second, None]
        stays = kept(segments, Truncation(side, segment), length)
        assert stays.sum() == min(length, len(segments))
        assert stays[[0, first + 1, -1]].all()
