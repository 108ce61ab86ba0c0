"""What an engine is asked, and what it says: an answer, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

#: The rules that a request can break.
Rule = Literal["unknown_task", "missing_field", "empty_text", "too_long", "not_text"]


@dataclass(frozen=True)
class Request:
    """One row for one task.

    ``task``: the name that the engine gave, see ``Engine.add``. ``fields``: the columns that make the task's text, by
    their names; a number counts as its text. Others are left alone.
    """

    task: str
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """What a task says of a row.

    ``label``: the most probable one; None for a regression. ``scores``: probabilities by label, in the task's order;
    empty for a regression. ``value``: a regression's, in the units of its labels; None otherwise. ``logits``: the
    head's outputs in float32, one per label. ``cut``: whether the text was longer than the task takes, so that tokens
    were left out as in training.
    """

    task: str
    label: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    value: float | None = None
    logits: tuple[float, ...] = ()
    cut: bool = False


@dataclass(frozen=True)
class Refusal:
    """Why a row has no answer: the rule that it breaks, and a sentence with the value and the next step."""

    task: str
    rule: Rule
    reason: str
