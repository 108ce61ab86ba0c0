"""The tasks of a study: known ones by name or pattern, and the study's own."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from search.study._collector import Collector
from search.study._problems import Location
from trainables import hub, tasks
from trainables.tasks import Files, Hub, Task, Truncation
from trainables.tasks._task import Kind, Segment, Side

_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True)


def _listed(value: Any) -> Any:
    """One value stands for a list of one; plain JSON-like lists become tuples."""
    return tuple(value) if isinstance(value, list) else (value,) if isinstance(value, str) else value


def _label(value: Any) -> Any:
    if not isinstance(value, str | int | float):
        raise ValueError("a label must be text, a number, true or false")
    return value


def _config(value: str) -> str:
    if not re.fullmatch(r"\w[\w .,()&+=-]{0,199}", value):
        raise ValueError("must be a configuration of the dataset, in letters, digits and . , ( ) & + = - _")
    return value


def _split(value: str) -> str:
    parts = value.split("+")
    if len(value) > 200 or not all(re.fullmatch(r"\w[\w.-]*(\[[\w:%-]+\])?", part, re.ASCII) for part in parts):
        raise ValueError("must be a split of the dataset, such as train, or a part of one, such as train[:80%]")
    return value


Label = Annotated[Any, BeforeValidator(_label)]
Name = Annotated[str, Field(min_length=1)]
Names = Annotated[tuple[Name, ...], BeforeValidator(_listed)]
OneOrTwo = Annotated[tuple[Name, ...], BeforeValidator(_listed), Field(min_length=1, max_length=2)]
OneOrMore = Annotated[tuple[Name, ...], BeforeValidator(_listed), Field(min_length=1)]


class FilesEntry(BaseModel):
    """The files of a task's splits, from the study's folder."""

    model_config = _STRICT

    train: OneOrMore
    dev: OneOrMore


class HubEntry(BaseModel):
    """A dataset on the hub and the names of its splits."""

    model_config = _STRICT

    id: Annotated[str, AfterValidator(hub.check_id)]
    config: Annotated[str, AfterValidator(_config)] | None = None
    revision: Annotated[str, AfterValidator(hub.check_revision)] | None = None
    train: Annotated[str, AfterValidator(_split)] = "train"
    dev: Annotated[str, AfterValidator(_split)] = "validation"


class TruncationEntry(BaseModel):
    """How the texts of a task are cut; see ``trainables.tasks.Truncation``."""

    model_config = _STRICT

    side: Side = "right"
    segment: Segment = "longest"


class TaskEntry(BaseModel):
    """A task that a study defines; see ``trainables.tasks.custom.custom_task``."""

    model_config = _STRICT

    name: Name
    text: OneOrTwo
    files: FilesEntry | None = None
    hub: HubEntry | None = None
    choices: Names = ()
    label: Name = "label"
    kind: Kind | None = None
    labels: Annotated[tuple[Label, ...] | None, BeforeValidator(_listed)] = None
    metric: Name | None = None
    epochs: int = Field(100, ge=1, le=10**9)
    patience: int = Field(10, ge=1, le=10**9)
    benchmark: Name = "custom"
    truncation: TruncationEntry = TruncationEntry()


def task_list(problems: Collector, data: Any, folder: Path) -> list[tuple[Location, Task]]:
    """The tasks with their places: known ones by name or pattern such as ``glue/*``, and the study's own."""
    found: list[tuple[Location, Task]] = []
    for index, item in enumerate(problems.sequence(("tasks",), data, "task", most=1000)):
        at: Location = ("tasks", index)
        for task in _one(problems, at, item, folder):
            earlier = [place for place, other in found if other.name == task.name]
            if earlier:
                problems.add(at, f"a task must be named once, but {task.name} is already tasks[{earlier[0][1]}]", item)
            else:
                found.append((at, task))
    return found


def _one(problems: Collector, at: Location, item: Any, folder: Path) -> list[Task]:
    if isinstance(item, dict):
        task = _own(problems, at, item, folder)
        return [] if task is None else [task]
    if not isinstance(item, str):
        problems.add(at, "must be the name of a task, a pattern such as glue/*, or a mapping that defines one", item)
        return []
    if any(sign in item for sign in "*?["):
        matches = [tasks.get(name) for name in tasks.names() if fnmatchcase(name, item)]
        if not matches:
            problems.add(at, "no task matches the pattern", item, known=tasks.names())
        return matches
    if item not in tasks.names():
        problems.add(at, "unknown task", item, known=tasks.names())
        return []
    return [tasks.get(item)]


def _own(problems: Collector, at: Location, item: dict[Any, Any], folder: Path) -> Task | None:
    # Metrics take a second to import; a study without a task of its own need not wait for them.
    from common.metrics import METRICS
    from trainables.tasks.custom import Columns, custom_task

    try:
        entry = TaskEntry.model_validate(item)
    except ValidationError as error:
        problems.add_validation(at, error, TaskEntry)
        return None
    if entry.metric is not None and entry.metric not in METRICS:
        problems.add((*at, "metric"), "unknown metric", entry.metric, known=METRICS)
        return None
    if (entry.files is None) == (entry.hub is None):
        problems.add(at, "a task of a study needs its data: files or hub, one of them", sorted(item, key=str))
        return None
    try:
        source = _source(entry, folder)
        task = custom_task(
            entry.name,
            source=source,
            columns=Columns(entry.text, entry.label, entry.choices),
            kind=entry.kind,
            labels=entry.labels,
            metric=entry.metric,
            epochs=entry.epochs,
            patience=entry.patience,
            benchmark=entry.benchmark,
            truncation=Truncation(entry.truncation.side, entry.truncation.segment),
        )
    except ValueError as error:
        problems.add(at, str(error))
        return None
    if task.name in tasks.names():
        problems.add((*at, "name"), "must not be the name of a built-in task", entry.name)
        return None
    return task


def _source(entry: TaskEntry, folder: Path) -> Files | Hub:
    from trainables.tasks.custom import files

    if entry.files is not None:
        return files(entry.files.train, entry.files.dev, folder)
    assert entry.hub is not None
    return Hub(entry.hub.id, entry.hub.config, entry.hub.revision, entry.hub.train, entry.hub.dev)
