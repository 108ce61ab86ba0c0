"""The tasks. The folder is the registry: every file here with a ``TASKS`` offers built-in tasks.

A task is one value: where its rows are, how columns become text, its labels and its metric. Add a task by
adding a ``Task`` to the ``TASKS`` of a file, or a file; nothing else names it. A study's own tasks are made by
``trainables.tasks.custom.custom_task``.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from dataclasses import replace
from functools import cache
from pathlib import Path

from trainables.tasks._content import content
from trainables.tasks._source import DataError, Files, Generated, Hub, Split, UnreachableError, find, pinned
from trainables.tasks._task import Derived, Kind, Task, Truncation
from trainables.tasks._text import infer_labels, is_missing, segments_of

__all__ = [
    "DataError", "Derived", "Files", "Generated", "Hub", "Kind", "Split", "Task", "Truncation", "get",
    "is_missing", "names", "resolve", "segments_of",
]  # fmt: skip


@cache
def _registry() -> dict[str, Task]:
    tasks: dict[str, Task] = {}
    for module in sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")):
        for task in getattr(importlib.import_module(f"{__name__}.{module}"), "TASKS", ()):
            if task.name in tasks:
                raise ValueError(f"task names must be unique, but {task.name!r} stands twice (again in {module}.py)")
            tasks[task.name] = task
    return tasks


def names() -> list[str]:
    """The names of every built-in task, ``benchmark/task``, file by file."""
    return list(_registry())


def get(name: str) -> Task:
    """The built-in task of this name, not yet bound to data; ValueError names the known ones."""
    if name not in _registry():
        raise ValueError(f"unknown task {name!r}; known: {', '.join(names())}")
    return _registry()[name]


def resolve(task: Task, data_dir: str | None = None) -> Task:
    """The task bound to real data, with the digest of what it reads there and the rows of both splits in its source.

    A task of the hub that has a place in a data folder (``glue/rte``) is read from there if ``data_dir`` or the
    variable ``AOT_DATA_DIR`` names such a folder. Otherwise it is read from the hub at the commit that its revision
    stands for now. Labels that were not given are read from the train split: every distinct value, sorted. All rows
    are read, so that what is wrong in them is found before anything starts.

    Data of the hub that is not in its cache either, where the hub does not answer, stays unread: without digest.

    Raises:
        DataError: the folder, a split or a file is missing; the hub has no such dataset or revision; or anything that
            ``render`` refuses.
    """
    data_dir = data_dir or os.environ.get("AOT_DATA_DIR") or None
    source = task.source
    if isinstance(source, Hub) and source.folder and data_dir:
        source = find(Path(data_dir), source)
    if isinstance(source, Hub):
        source = pinned(source)
    task = replace(task, source=replace(source, digest="", rows=None), read_as="")
    if task.labels == ():
        task = replace(task, labels=infer_labels(task))
    try:
        digest, rows = content(task)
    except UnreachableError:
        return task
    return replace(task, source=replace(task.source, digest=digest, rows=rows), read_as=task.recipe)
