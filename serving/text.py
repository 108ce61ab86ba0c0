"""From requests to token ids: by the task's own template and cut as in training, tasks of all kinds in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from tokenizers import Tokenizer

from serving.request import Refusal, Rule
from trainables import backbones
from trainables.data import has_types, sequence
from trainables.tasks import Task, is_missing, segments_of
from trainables.trial import BackboneSource

_SHOWN = 60  # characters of an error that a sentence repeats


@dataclass(frozen=True)
class Wanted:
    """A row to be read: the fields that were sent, for a task that takes ``max_length`` tokens, called ``name``."""

    name: str
    task: Task
    max_length: int
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Reading:
    """A row in tokens.

    ``sequences``: ids, int32, and token types, uint8, ``(n,)`` each; one for each choice, and one where there are none.
    ``cut``: whether one of them lost tokens.
    """

    sequences: tuple[tuple[np.ndarray, np.ndarray], ...]
    cut: bool


class Reader:
    """The tokenizer of a backbone, for rows of any tasks; for several threads at once.

    Args:
        source: the backbone.
        too_long: whether a text that is longer than its task takes is ``cut``, or ``refuse``d.
    """

    def __init__(self, source: BackboneSource, too_long: Literal["cut", "refuse"] = "cut") -> None:
        tokenizer = backbones.tokenizer(source)
        self._types = has_types(tokenizer)
        self._refuse = too_long == "refuse"
        # Of its own: padding and truncation are settings of the tokenizer, which others change.
        self._tokenizer = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def read(self, rows: Sequence[Wanted]) -> list[Reading | Refusal]:
        """Each row in tokens, or why it has none, in their order."""
        texts = [_texts(row) for row in rows]
        flat = [text for found in texts if not isinstance(found, Refusal) for text in found]
        encodings = iter(self._tokenizer.encode_batch(flat))
        return [
            found if isinstance(found, Refusal) else self._reading(row, [next(encodings) for _ in found])
            for row, found in zip(rows, texts, strict=True)
        ]

    def _reading(self, row: Wanted, encodings: list[Any]) -> Reading | Refusal:
        longest = max(len(encoding.ids) for encoding in encodings)
        if self._refuse and longest > row.max_length:
            reason = (
                f"a text for {row.name} has at most {row.max_length} tokens, but this one has {longest}; shorten it, "
                "or let the engine cut what is too long"
            )
            return Refusal(row.name, "too_long", reason)
        found = [sequence(encoding, row.max_length, row.task.truncation) for encoding in encodings]
        typed = tuple((ids, types if self._types else np.zeros_like(types)) for ids, types, _ in found)
        return Reading(typed, any(cut for *_, cut in found))


def _texts(row: Wanted) -> list[str | tuple[str, ...]] | Refusal:
    """The texts of a row's sequences, pairs where the task has two segments."""
    for column in row.task.columns:
        if (broken := _broken(row, column)) is not None:
            return Refusal(row.name, *broken)
    columns = {column: [row.fields[column]] for column in row.task.columns}
    try:
        segments = segments_of(row.task, columns, 1)
    except Exception as error:  # a task's own function, on whatever was sent
        reason = (
            f"the text of task {row.task.name} cannot be made of these fields ({type(error).__name__}: "
            f"{str(error)[:_SHOWN]}); give {', '.join(columns)} as the task's data has them"
        )
        return Refusal(row.name, "not_text", reason)
    return [text[0] if len(text) == 1 else text for text in zip(*segments, strict=True)]


def _broken(row: Wanted, column: str) -> tuple[Rule, str] | None:
    """The rule that a field breaks, and how; the rules are those of training."""
    value = row.fields.get(column)
    if is_missing(value):
        given = ", ".join(map(str, row.fields)) or "none"
        needed = ", ".join(row.task.columns)
        return "missing_field", f"{row.name} needs the field {column!r}, but got {given}; give {needed}"
    if not isinstance(value, str | int | float):
        kind = type(value).__name__
        return "not_text", f"field {column!r} of {row.name} must be a text, but is a {kind}; send a string"
    if isinstance(value, str):
        if not row.task.blanks and not value.strip():
            return "empty_text", f"field {column!r} of {row.name} is empty; give it a text"
        if not _encodes(value):
            return "not_text", f"field {column!r} of {row.name} has half a surrogate pair; send valid Unicode"
    return None


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
