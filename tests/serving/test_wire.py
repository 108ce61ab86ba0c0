"""Bodies to rows and answers to JSON; what is wrong with one row stays with it."""

from __future__ import annotations

import json

import pytest

from serving import _wire
from serving.request import Answer, Refusal, Request

ROW = {"task": "a", "fields": {"text": "x"}}


def read(body: object, most_rows: int = 3) -> _wire.Asked:
    return _wire.read(body if isinstance(body, bytes) else json.dumps(body).encode(), most_rows)


def test_one_row_and_many() -> None:
    assert read(ROW) == _wire.Asked((Request("a", {"text": "x"}),), one=True, logits=False)
    assert read({"rows": [ROW, ROW], "logits": True}) == _wire.Asked(
        (Request("a", {"text": "x"}),) * 2, one=False, logits=True
    )
    assert read({"rows": []}).rows == ()


def test_rows_that_are_none_keep_their_places() -> None:
    asked = read({"rows": [5, ROW, {"task": "b"}]})
    answers = asked.answered([Answer("a", "yes")])
    assert [type(answer) for answer in answers] == [Refusal, Answer, Refusal]
    assert answers[0].reason == 'a row must be an object with "task" and "fields", but is a number'
    assert answers[2].reason == '"fields" of a row must be an object of texts by column, but is missing or null'
    assert asked.requests == [Request("a", {"text": "x"})]


@pytest.mark.parametrize(
    ("body", "status", "rule"),
    [
        (b"", 400, "wrong_json"),
        (b"{", 400, "wrong_json"),
        (b"\xff\xfe", 400, "wrong_json"),
        (b'{"task": NaN}', 400, "wrong_json"),
        (b"[" * 100_000, 400, "wrong_json"),
        (b'{"task": "\\ud800", "fields": {}}', 400, "wrong_json"),
        ([ROW], 422, "wrong_body"),
        ({}, 422, "wrong_body"),
        ("text", 422, "wrong_body"),
        ({"rows": ROW}, 422, "wrong_body"),
        ({"rows": [ROW], "logits": 1}, 422, "wrong_body"),
        ({"rows": [ROW] * 4}, 413, "too_many_rows"),
    ],
)
def test_bodies_that_are_refused_as_a_whole(body: object, status: int, rule: str) -> None:
    with pytest.raises(_wire.FaultError) as caught:
        read(body)
    assert (caught.value.status, caught.value.rule) == (status, rule)
    assert len(caught.value.reason) < 300


def test_answers_as_json() -> None:
    said = Answer("a", "yes", {"no": 0.25, "yes": 0.75}, None, (0.0, 1.1), cut=True)
    assert _wire.written(said, logits=False) == {
        "task": "a", "label": "yes", "scores": {"no": 0.25, "yes": 0.75}, "cut": True,
    }  # fmt: skip
    assert _wire.written(said, logits=True)["logits"] == [0.0, 1.1]
    assert _wire.written(Answer("s", value=3.5), logits=False) == {"task": "s", "value": 3.5, "cut": False}


@pytest.mark.parametrize(("rule", "status"), [("unknown_task", 404), ("empty_text", 422), ("wrong_row", 422)])
def test_a_single_row_that_is_refused_has_its_status(rule: str, status: int) -> None:
    refusal = Refusal("a", rule, "because")
    assert _wire.status(refusal) == status
    assert _wire.written(refusal, logits=True) == {"task": "a", "error": {"rule": rule, "reason": "because"}}
