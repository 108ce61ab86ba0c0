"""From rows to text and labels, with every cell checked."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainables.metrics import METRICS
from trainables.tasks._read import RawSplit, read
from trainables.tasks._source import DataError, Split
from trainables.tasks._task import CHOICE, PLACEHOLDER, Task


@dataclass(frozen=True)
class Texts:
    """One split as text: sequence ``i * choices + c`` is choice ``c`` of example ``i``.

    ``labels``: ``(examples,)`` int64 ids, or float32 for regression. ``second`` is ``None`` for single segments.
    """

    first: list[str]
    second: list[str] | None
    labels: np.ndarray


def render(task: Task, split: Split) -> Texts:
    """The texts and labels of one split.

    Raises:
        DataError: a column is missing, a text is missing or empty, or a label is none of the task's.
    """
    table = read(task.source, split, (*task.columns, task.label))
    for column in task.columns:
        _check_texts(table, column, blanks=task.blanks)
    segments: list[list[str]] = [[] for _ in task.text]
    fill = [_filler(template) for template in task.text]
    options = [_filler(template) for template in task.options]
    for values in zip(*(table.columns[c] for c in task.columns), strict=True):
        row = dict(zip(task.columns, values, strict=True))
        if task.derived is not None:
            row |= task.derived.function({c: row[c] for c in task.derived.columns})
        for option in options or (None,):
            if option is not None:
                row[CHOICE] = option(row)
            for segment, filler in zip(segments, fill, strict=True):
                segment.append(filler(row))
    return Texts(segments[0], segments[1] if len(segments) > 1 else None, _labels(task, table))


def _filler(template: str) -> Callable[[dict[str, Any]], str]:
    # Not str.format: a column may be called "review.text" or "0", and texts may hold braces.
    return lambda row: PLACEHOLDER.sub(lambda match: str(row[match[1]]), template)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _check_texts(table: RawSplit, column: str, *, blanks: bool) -> None:
    for number, value in enumerate(table.columns[column], start=1):
        if _is_missing(value):
            raise DataError(table.at(number, column, "the text is missing", "fill the cell or remove the row"))
        if not isinstance(value, str | int | float):
            problem = f"a text must be a string, but is a {type(value).__name__}: {str(value)[:60]}"
            raise DataError(table.at(number, column, problem, "choose a column of text, or write one"))
        if not blanks and isinstance(value, str) and not value.strip():
            raise DataError(table.at(number, column, "the text is empty", "fill the cell or remove the row"))


def _labels(task: Task, table: RawSplit) -> np.ndarray:
    values = table.columns[task.label]
    if task.labels is None:
        return np.array([_number(table, task, n, v) for n, v in enumerate(values, start=1)], dtype=np.float32)
    ids = _label_ids(task, table)
    found = np.empty(len(values), dtype=np.int64)
    for number, value in enumerate(values, start=1):
        if _is_missing(value) or value == "":
            raise DataError(table.at(number, task.label, "the label is missing", "give every row a label"))
        text = label_text(value)
        if text not in ids:
            raise DataError(table.at(number, task.label, *_unknown(task, text, value)))
        found[number - 1] = ids[text]
    return found


def _number(table: RawSplit, task: Task, row: int, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        problem = f"the label of a regression must be a finite number, but is {value!r}"
        raise DataError(table.at(row, task.label, problem, "correct it, or make the task a classification"))
    return number


def label_text(value: Any) -> str:
    """A label as written in a study: whole numbers without a decimal point, everything else as Python prints it."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _label_ids(task: Task, table: RawSplit) -> dict[str, int]:
    """From the text of a label cell to the label's id in the task."""
    labels = task.labels or ()
    by_name = {name: i for i, name in enumerate(labels)}
    if names := table.names.get(task.label):  # class ids with names of their own, perhaps in another order
        return {str(i): by_name[name] for i, name in enumerate(names) if name in by_name}
    if any(re.fullmatch(r"-?\d+", name) for name in labels):
        return by_name  # a number in the column is a name and not an id
    return {str(i): i for i in range(len(labels))} | by_name


def _unknown(task: Task, text: str, value: Any) -> tuple[str, str]:
    known = f"the labels of {task.name} are {', '.join(task.labels or ())}"
    if text == "-1":
        return f"label -1 marks a row whose label is not public ({known})", "choose a split that has labels"
    return f"unknown label {value!r} ({known})", "correct the cell, or name every label in the task"


def infer_labels(task: Task) -> tuple[str, ...]:
    """The labels of the train split: the names that its class ids have, or every distinct value, sorted.

    Raises:
        DataError: the label column or a label is missing, or the metric does not fit their number.
    """
    table = read(task.source, "train", (task.label,))
    labels = table.names.get(task.label) or _distinct_labels(task, table)
    needed = METRICS[task.metric].labels
    if len(labels) < 2 or needed not in (None, len(labels)):
        rule = f"metric {task.metric} needs {needed or 'two or more'} labels"
        raise DataError(
            f"{table.place}, column {task.label!r}: {rule}, but the train split has {len(labels)}: "
            f"{', '.join(labels[:10])}{' …' if len(labels) > 10 else ''}; choose another column or metric"
        )
    return labels


def _distinct_labels(task: Task, table: RawSplit) -> tuple[str, ...]:
    distinct: set[str] = set()
    for number, value in enumerate(table.columns[task.label], start=1):
        if _is_missing(value) or value == "":
            raise DataError(table.at(number, task.label, "the label is missing", "give every row a label"))
        distinct.add(label_text(value))
    if "-1" in distinct and _all_whole(distinct - {"-1"}):
        first = [label_text(v) for v in table.columns[task.label]].index("-1") + 1
        step = "choose a split that has labels, or name every label in the task"
        raise DataError(table.at(first, task.label, "label -1 marks a row whose label is not public", step))
    return tuple(sorted(distinct, key=int) if _all_whole(distinct) else sorted(distinct))


def _all_whole(labels: Iterable[str]) -> bool:
    return all(re.fullmatch(r"-?\d+", label) for label in labels)
