"""From rows to text and labels, with every cell checked."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np

from common.metrics import METRICS
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
    return rendered(task, read(task.source, split, (*task.columns, task.label)))


def rendered(task: Task, table: RawSplit) -> Texts:
    """The texts and labels of rows that have been read; errors as ``render``."""
    for column in task.columns:
        _check_texts(table, column, blanks=task.blanks)
    segments = segments_of(task, table.columns, len(table))
    return Texts(segments[0], segments[1] if len(segments) > 1 else None, labels_of(task, table))


def segments_of(task: Task, columns: Mapping[str, Sequence[Any]], rows: int) -> list[list[str]]:
    """The texts of so many rows: of each segment those of all sequences, a row's choices one after the other."""
    columns = _with_derived(task, columns)
    choices = [{**columns, CHOICE: _fill(option, columns, rows)} for option in task.options] or [{**columns}]
    segments = []
    for template in task.text:
        sequences = [_fill(template, choice, rows) for choice in choices]  # a list for each choice
        segments.append([text for example in zip(*sequences, strict=True) for text in example])
    return segments


def _with_derived(task: Task, columns: Mapping[str, Sequence[Any]]) -> Mapping[str, Sequence[Any]]:
    derived = task.derived
    if derived is None:
        return columns
    cells = zip(*(columns[c] for c in derived.columns), strict=True)
    made = [derived.function(dict(zip(derived.columns, row, strict=True))) for row in cells]
    return {**columns, **{name: [row[name] for row in made] for name in derived.makes}}


def _fill(template: str, columns: Mapping[str, Sequence[Any]], rows: int) -> list[str]:
    """The texts of a template. Not by str.format: a column may be called "review.text", and texts may hold braces."""
    parts = PLACEHOLDER.split(template)  # literal text and columns' names by turns
    pieces = [map(str, columns[part]) if i % 2 else repeat(part, rows) for i, part in enumerate(parts) if i % 2 or part]
    return list(pieces[0]) if len(pieces) == 1 else ["".join(row) for row in zip(*pieces, strict=True)]


def is_missing(value: Any) -> bool:
    """Whether a cell holds nothing."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _check_texts(table: RawSplit, column: str, *, blanks: bool) -> None:
    for number, value in enumerate(table.columns[column], start=1):
        if is_missing(value):
            raise DataError(table.at(number, column, "the text is missing", "fill the cell or remove the row"))
        if not isinstance(value, str | int | float):
            problem = f"a text must be a string, but is a {type(value).__name__}: {str(value)[:60]}"
            raise DataError(table.at(number, column, problem, "choose a column of text, or write one"))
        if not blanks and isinstance(value, str) and not value.strip():
            raise DataError(table.at(number, column, "the text is empty", "fill the cell or remove the row"))


def labels_of(task: Task, table: RawSplit) -> np.ndarray:
    """``(examples,)`` the labels' ids, int64, or a regression's values, float32; errors as ``render``."""
    values = table.columns[task.label]
    if task.labels is None:
        return np.array([_number(table, task, n, v) for n, v in enumerate(values, start=1)], dtype=np.float32)
    ids = _label_ids(task, table)
    found = np.empty(len(values), dtype=np.int64)
    for number, value in enumerate(values, start=1):
        if is_missing(value) or value == "":
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
        if is_missing(value) or value == "":
            raise DataError(table.at(number, task.label, "the label is missing", "give every row a label"))
        if isinstance(value, list | dict):
            problem = f"a label must be text or a number, but is a {type(value).__name__}: {str(value)[:60]}"
            raise DataError(table.at(number, task.label, problem, "choose a column with one label in a row"))
        distinct.add(label_text(value))
    if "-1" in distinct and _all_whole(distinct - {"-1"}):
        first = [label_text(v) for v in table.columns[task.label]].index("-1") + 1
        step = "choose a split that has labels, or name every label in the task"
        raise DataError(table.at(first, task.label, "label -1 marks a row whose label is not public", step))
    return tuple(sorted(distinct, key=int) if _all_whole(distinct) else sorted(distinct))


def _all_whole(labels: Iterable[str]) -> bool:
    return all(re.fullmatch(r"-?\d+", label) for label in labels)
