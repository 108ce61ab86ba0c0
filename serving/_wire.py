"""What goes over the wire: the body of a request to rows, answers and faults to JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from serving.request import Answer, Refusal, Request

#: What a single row that is refused answers with; any other refusal is 422.
_STATUS = {"unknown_task": 404}

#: The body that ``POST /v1/predict`` takes, for its OpenAPI page.
ROW_SCHEMA = {
    "type": "object",
    "required": ["task", "fields"],
    "properties": {
        "task": {"type": "string", "description": "a name of /v1/tasks"},
        "fields": {"type": "object", "description": "the task's columns by name, each a text"},
    },
}
_LOGITS = {"type": "boolean", "default": False, "description": "whether answers hold the head's outputs as well"}
BODY_SCHEMA = {
    "oneOf": [
        {**ROW_SCHEMA, "title": "One row", "properties": {**ROW_SCHEMA["properties"], "logits": _LOGITS}},  # type: ignore[dict-item]
        {
            "type": "object",
            "title": "Many rows, of any tasks",
            "required": ["rows"],
            "properties": {"rows": {"type": "array", "items": ROW_SCHEMA}, "logits": _LOGITS},
        },
    ]
}


class FaultError(Exception):
    """A request that is not answered: status, rule and a sentence; ``retry``: seconds to wait where that may help."""

    def __init__(self, status: int, rule: str, reason: str, retry: int | None = None) -> None:
        super().__init__(reason)
        self.status, self.rule, self.reason, self.retry = status, rule, reason, retry

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.retry is None else {"Retry-After": str(self.retry)}


@dataclass(frozen=True)
class Asked:
    """A body: its rows in order, a refusal in place of each that is none; ``one``: it was not given as a list."""

    rows: tuple[Request | Refusal, ...]
    one: bool
    logits: bool

    @property
    def requests(self) -> list[Request]:
        """The rows that the engine is asked."""
        return [row for row in self.rows if isinstance(row, Request)]

    def answered(self, answers: Sequence[Answer | Refusal]) -> list[Answer | Refusal]:
        """What the engine said of ``requests``, in the places of all rows."""
        left = iter(answers)
        return [next(left) if isinstance(row, Request) else row for row in self.rows]


def read(body: bytes, most_rows: int) -> Asked:
    """The rows of a body.

    Raises:
        FaultError: it is no JSON, holds no rows, or more than ``most_rows``.
    """
    try:
        data = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise FaultError(400, "wrong_json", f"the body must be JSON in UTF-8, but: {error}") from None
    if not isinstance(data, dict) or not ("rows" in data or "task" in data):
        raise FaultError(
            422,
            "wrong_body",
            'the body must be an object with "task" and "fields", or with "rows", a list of such objects',
        )
    logits = data.get("logits", False)
    if not isinstance(logits, bool):
        raise FaultError(422, "wrong_body", f'"logits" must be true or false, but is {_kind(logits)}')
    if "rows" not in data:
        return Asked((_row(data),), one=True, logits=logits)
    rows = data["rows"]
    if not isinstance(rows, list):
        raise FaultError(422, "wrong_body", f'"rows" must be a list of objects, but is {_kind(rows)}')
    if len(rows) > most_rows:
        raise FaultError(
            413,
            "too_many_rows",
            f"a request has at most {most_rows:,} rows, but this one has {len(rows):,}; send several",
        )
    return Asked(tuple(map(_row, rows)), one=False, logits=logits)


def _row(data: Any) -> Request | Refusal:
    if not isinstance(data, dict):
        return _wrong("", f'a row must be an object with "task" and "fields", but is {_kind(data)}')
    task, fields = data.get("task"), data.get("fields")
    if not isinstance(task, str):
        return _wrong("", f'"task" of a row must be a name of /v1/tasks, but is {_kind(task)}')
    if not isinstance(fields, dict):
        return _wrong(task, f'"fields" of a row must be an object of texts by column, but is {_kind(fields)}')
    return Request(task, fields)


def _wrong(task: str, reason: str) -> Refusal:
    return Refusal(task, "wrong_row", reason)  # type: ignore[arg-type]


def _kind(value: Any) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), "missing or null")


def written(answer: Answer | Refusal, *, logits: bool) -> dict[str, Any]:
    """An answer as JSON holds it."""
    if isinstance(answer, Refusal):
        return {"task": answer.task, **fault(answer.rule, answer.reason)}
    said: dict[str, Any] = {"task": answer.task}
    if answer.label is None:
        said["value"] = answer.value
    else:
        said |= {"label": answer.label, "scores": dict(answer.scores)}
    if logits:
        said["logits"] = list(answer.logits)
    return {**said, "cut": answer.cut}


def fault(rule: str, reason: str) -> dict[str, Any]:
    """The one form of everything that went wrong."""
    return {"error": {"rule": rule, "reason": reason}}


def status(answer: Answer | Refusal) -> int:
    """Of a request with a single row."""
    return _STATUS.get(answer.rule, 422) if isinstance(answer, Refusal) else 200
