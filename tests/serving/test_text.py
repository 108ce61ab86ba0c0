"""Requests become the token ids of training, and a bad one a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving.request import Refusal
from serving.text import Reader, Reading, Wanted
from trainables import backbones, tasks
from trainables.data.encoding import encode
from trainables.tasks._read import RawSplit, read
from trainables.tasks._source import find
from trainables.tasks._text import rendered

NAMES = [name for name in tasks.names() if name.startswith(("glue/", "superglue/"))]
ROWS = 40


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_every_task_is_read_as_in_training(family: str, real_data: str, source) -> None:
    """Rows of all tasks in one call; lengths at which many texts are cut, on either side and in either segment."""
    wanted, expected = [], []
    for name in NAMES:
        task = tasks.get(name)
        table = read(find(Path(real_data), task.source), "dev", (*task.columns, task.label))
        columns = {column: values[:ROWS] for column, values in table.columns.items()}
        texts = rendered(task, RawSplit(table.place, columns, table.names))
        arrays, _ = encode(texts, backbones.tokenizer(source(family)), 48, task.truncation)
        parts = [np.split(arrays[part], arrays["offsets"][1:-1]) for part in ("ids", "types")]
        sequences = list(zip(*parts, strict=True))
        for i in range(ROWS):
            wanted.append(Wanted(name, task, 48, {**{c: columns[c][i] for c in task.columns}, "idx": i}))
            expected.append(sequences[i * task.choices : (i + 1) * task.choices])
    cut = 0
    for found, sequences in zip(Reader(source(family)).read(wanted), expected, strict=True):
        assert isinstance(found, Reading)
        assert len(found.sequences) == len(sequences)
        cut += found.cut
        for (ids, types), (own_ids, own_types) in zip(found.sequences, sequences, strict=True):
            assert np.array_equal(ids, own_ids)
            assert np.array_equal(types, own_types)
    assert 0 < cut < len(wanted)


def read_one(source: Any, task: str, fields: dict[str, Any], length: int = 20, **options: Any) -> Reading | Refusal:
    (found,) = Reader(source, **options).read([Wanted("it", tasks.get(task), length, fields)])
    return found


RTE = {"sentence1": "the cat sat", "sentence2": "a dog"}
WSC = {
    "text": "the dog ran and it sat",
    "span1_text": "the dog",
    "span1_index": 0,
    "span2_text": "it",
    "span2_index": 4,
}


@pytest.mark.parametrize(
    ("task", "fields", "rule", "words"),
    [
        ("glue/rte", {"sentence1": "a"}, "missing_field", "'sentence2', but got sentence1; give sentence1, sentence2"),
        ("glue/rte", {}, "missing_field", "but got none"),
        ("glue/rte", RTE | {"sentence2": None}, "missing_field", "sentence2"),
        ("glue/rte", RTE | {"sentence2": float("nan")}, "missing_field", "sentence2"),
        ("glue/rte", RTE | {"sentence2": " \n"}, "empty_text", "'sentence2' of it is empty"),
        ("glue/rte", RTE | {"sentence2": ["a"]}, "not_text", "is a list"),
        ("glue/rte", RTE | {"sentence2": "a \ud800"}, "not_text", "surrogate"),
        ("glue/rte", RTE | {"sentence2": 10**5000}, "not_text", "sentence1, sentence2 as the task's data"),
        ("superglue/copa", {"premise": "a", "choice1": "b", "choice2": "c", "question": "why"}, "not_text", "KeyError"),
        ("superglue/wsc", WSC | {"span1_index": "first"}, "not_text", "span1_index"),
    ],
)
def test_a_bad_row_says_which_rule_it_breaks(task: str, fields: dict[str, Any], rule: str, words: str, source) -> None:
    found = read_one(source("bert"), task, fields)
    assert isinstance(found, Refusal)
    assert (found.task, found.rule) == ("it", rule)
    assert words in found.reason


def test_a_bad_row_does_not_harm_its_neighbours(source) -> None:
    reader, task = Reader(source("bert")), tasks.get("glue/rte")
    good, bad = Wanted("it", task, 20, RTE), Wanted("it", task, 20, {})
    alone, *rest = reader.read([good, bad, good])
    assert isinstance(rest[0], Refusal)
    for found in (alone, rest[1]):
        assert isinstance(found, Reading)
        assert len(found.sequences[0][0]) == 8


def test_numbers_count_as_their_text_and_a_position_as_its_number(source) -> None:
    as_number, as_text = (read_one(source("bert"), "glue/cola", {"sentence": value}) for value in (42, "42"))
    for found, other in ((as_number, as_text), (read_one(source("bert"), "superglue/wsc", WSC), None)):
        assert isinstance(found, Reading)
        if other is None:  # of a file of texts, the index of a span is one too
            other = read_one(source("bert"), "superglue/wsc", WSC | {"span1_index": "0", "span2_index": "4"})
        assert isinstance(other, Reading)
        assert np.array_equal(found.sequences[0][0], other.sequences[0][0])


def test_too_long_is_cut_or_refused(source) -> None:
    fields = RTE | {"sentence1": "the cat sat on the mat and the dog ran"}
    found = read_one(source("bert"), "glue/rte", fields, 9)
    assert isinstance(found, Reading)
    assert found.cut
    assert len(found.sequences[0][0]) == 9
    assert not read_one(source("bert"), "glue/rte", fields, 15, too_long="refuse").cut
    refused = read_one(source("bert"), "glue/rte", fields, 14, too_long="refuse")
    assert isinstance(refused, Refusal)
    assert refused.rule == "too_long"
    assert "at most 14 tokens, but this one has 15" in refused.reason


def test_a_text_may_be_empty_where_training_had_such(source) -> None:
    fields = {"paragraph": "the cat", "question": "why", "answer": ""}
    assert isinstance(read_one(source("bert"), "superglue/multirc", fields), Reading)


def test_the_tokenizer_of_others_is_left_alone(source) -> None:
    """MiniLM's file pads and cuts; whoever uses the shared tokenizer may set either."""
    shared = backbones.tokenizer(source("bert")).backend_tokenizer
    reader = Reader(source("bert"))
    shared.enable_truncation(4)
    try:
        (found,) = reader.read([Wanted("it", tasks.get("glue/rte"), 20, RTE)])
    finally:
        shared.no_truncation()
    assert isinstance(found, Reading)
    assert len(found.sequences[0][0]) == 8
