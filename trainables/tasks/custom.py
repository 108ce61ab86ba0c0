"""Tasks that a study defines: its own files or a hub dataset, its columns, its metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from common.metrics import METRICS
from common.words import check_name
from trainables.tasks._source import Files, Hub
from trainables.tasks._task import CHOICE, CUT_RIGHT, PLACEHOLDER, Kind, Segment, Side, Task, Truncation
from trainables.tasks._text import label_text

#: The metric of a kind of task where none is named.
DEFAULT_METRIC: dict[Kind, str] = {
    "classification": "accuracy",
    "multiple_choice": "accuracy",
    "regression": "pearson_spearman",
}


@dataclass(frozen=True)
class Columns:
    """Which columns are the text, the choices and the label.

    ``text``: one or two, names of columns or templates such as ``"{title}: {body}"``. For multiple choice: one or two,
    the choice is joined as the second segment, or to the end of the second text.
    """

    text: tuple[str, ...]
    label: str = "label"
    choices: tuple[str, ...] = ()


def custom_task(
    name: str,
    *,
    source: Hub | Files,
    columns: Columns,
    kind: Kind | None = None,
    labels: Sequence[object] | None = None,
    metric: str | None = None,
    epochs: int = 100,
    patience: int = 10,
    benchmark: str = "custom",
    truncation: Truncation = CUT_RIGHT,
) -> Task:
    """A task of a study's own. It still has to be bound to its data by ``trainables.tasks.resolve``.

    Args:
        name: ``mine/reviews``, or ``reviews``, which becomes ``custom/reviews``.
        source: see ``files`` and ``Hub``.
        columns: see ``Columns``.
        kind: ``classification``, ``regression`` or ``multiple_choice``; by default the last if there are choices, and
            the first otherwise.
        labels: the labels' names in the order of their ids. By default, of classification: every distinct value of the
            train split, sorted, or the names that its class ids have; of multiple choice: the names of the choices.
        metric: a name in ``METRICS``; accuracy by default, and the mean of Pearson and Spearman for a regression.
        epochs: the most epochs.
        patience: epochs without a better dev score after which a trial stops.
        benchmark: the first part of the name, where the name has none.
        truncation: how a text that is too long is cut.

    Raises:
        ValueError: a value breaks a rule; the message names the task, the rule and the value.
    """
    kind = kind or ("multiple_choice" if columns.choices else "classification")
    known = get_args(Kind)
    _require(kind in known, name, f"kind must be one of {', '.join(known)}", kind)
    metric = metric or DEFAULT_METRIC[kind]
    _check_columns(name, columns, kind)
    names = _label_names(name, kind, labels, columns)
    _check_metric(name, metric, kind, names)
    _require(epochs >= 1 and patience >= 1, name, "epochs and patience must be at least 1", (epochs, patience))
    text = tuple(_template(t) for t in columns.text)
    _check_truncation(name, truncation, pair=len(text) == 2 or kind == "multiple_choice")
    if kind == "multiple_choice":
        text = (text[0], f"{text[1]} {{{CHOICE}}}" if len(text) == 2 else f"{{{CHOICE}}}")
    return Task(
        name=_full_name(name, benchmark),
        text=text,
        source=source,
        metric=metric,
        labels=names,
        label=columns.label,
        options=tuple(_template(c) for c in columns.choices),
        epochs=epochs,
        patience=patience,
        truncation=truncation,
    )


def files(train: str | Sequence[str], dev: str | Sequence[str], folder: str | Path = ".") -> Files:
    """Files of a task: CSV, TSV, JSON lines or parquet, by their endings. Relative paths start at ``folder``.

    Raises:
        ValueError: there is no such user, or links lead in a circle.
    """

    def paths(value: str | Sequence[str]) -> tuple[str, ...]:
        listed = (value,) if isinstance(value, str) else tuple(value)
        try:
            return tuple(str((Path(folder) / Path(p).expanduser()).resolve()) for p in listed)
        except (OSError, RuntimeError) as error:  # a user that is not there, links in a circle
            raise ValueError(f"the files {', '.join(listed)} cannot be found: {error}; correct the paths") from error

    return Files(paths(train), paths(dev))


def _require(rule_holds: bool, name: str, rule: str, value: object) -> None:
    if not rule_holds:
        raise ValueError(f"task {name!r}: {rule}, but got {value!r}")


def _full_name(name: str, benchmark: str) -> str:
    full = name if "/" in name else f"{benchmark}/{name}"
    parts = full.split("/")
    rule = "the name must be 'benchmark/task' or 'task', without spaces"
    _require(len(parts) == 2 and all(parts) and not any(c.isspace() for c in full), name, rule, full)
    for part in parts:
        check_name(part)
    if "/" in name:
        rule = f"the benchmark must be the first part of the name ({parts[0]!r}) or be left out"
        _require(benchmark in ("custom", parts[0]), name, rule, benchmark)
    return full


def _template(column: str) -> str:
    return column if PLACEHOLDER.search(column) else f"{{{column}}}"


def _check_columns(name: str, columns: Columns, kind: Kind) -> None:
    _require(1 <= len(columns.text) <= 2, name, "text must be one or two columns", columns.text)
    _require(all(columns.text) and bool(columns.label), name, "columns must have names", columns)
    braces = [t for t in (*columns.text, *columns.choices) if {"{", "}"} & set(PLACEHOLDER.sub("", t))]
    _require(not braces, name, "a template must have a column's name between each { and its }", braces)
    used = [c for t in (*columns.text, *columns.choices) for c in PLACEHOLDER.findall(_template(t))]
    _require(columns.label not in used, name, "the label column must not be part of the text", columns.label)
    if kind == "multiple_choice":
        _require(len(columns.choices) >= 2, name, "multiple_choice needs two or more choices", columns.choices)
        rule = f"a column of a multiple-choice task must not be called {CHOICE!r}: rename it"
        _require(CHOICE not in used, name, rule, used)
    else:
        rule = f"choices belong to multiple_choice, and not to {kind}"
        _require(not columns.choices, name, rule, columns.choices)


def _check_truncation(name: str, truncation: Truncation, *, pair: bool) -> None:
    sides, segments = get_args(Side), get_args(Segment)
    _require(truncation.side in sides, name, f"truncation.side must be one of {', '.join(sides)}", truncation.side)
    rule = f"truncation.segment must be one of {', '.join(segments)}"
    _require(truncation.segment in segments, name, rule, truncation.segment)
    rule = "truncation.segment belongs to tasks of two segments, and this one has one: leave it out"
    _require(pair or truncation.segment == "longest", name, rule, truncation.segment)


def _label_names(name: str, kind: Kind, labels: Sequence[object] | None, columns: Columns) -> tuple[str, ...] | None:
    if kind == "regression":
        _require(labels is None, name, "a regression has no labels", labels)
        return None
    if labels is None:
        return tuple(columns.choices) if kind == "multiple_choice" else ()
    names = tuple(map(label_text, labels))
    _require(len(set(names)) == len(names) and all(names), name, "labels must be different and not empty", names)
    if kind == "multiple_choice":
        rule = f"labels must be one per choice, {len(columns.choices)} of them"
        _require(len(names) == len(columns.choices), name, rule, names)
    else:
        _require(len(names) >= 2, name, "a classification needs two or more labels", names)
    return names


def _check_metric(name: str, metric: str, kind: Kind, labels: tuple[str, ...] | None) -> None:
    on = "values" if kind == "regression" else "classes"
    fitting = [m for m, metric_ in METRICS.items() if metric_.on == on]
    _require(metric in fitting, name, f"the metric of a {kind} must be one of {', '.join(fitting)}", metric)
    needed = METRICS[metric].labels
    if needed is not None and labels:  # labels that are still to be read are checked by resolve
        _require(len(labels) == needed, name, f"metric {metric} needs {needed} labels", labels)
