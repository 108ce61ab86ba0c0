"""What a study names, found: the backbones and the data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from common.words import check_name
from search.study._collector import Collector
from search.study._problems import Location
from search.study._sections import BackboneEntry
from trainables import backbones, tasks
from trainables.backbones import Spec
from trainables.tasks import Task
from trainables.trial import BackboneSource


def named(entries: Sequence[BackboneEntry]) -> tuple[BackboneSource, ...]:
    """The backbones as they are written, without looking for them."""
    return tuple(BackboneSource(e.name or Path(e.source).name, e.source, e.revision) for e in entries)


def bind_backbones(
    problems: Collector, entries: Sequence[BackboneEntry], *, offline: bool
) -> tuple[BackboneSource, ...]:
    """The backbones with their identities; each must be there, of a known family, with a tokenizer that fits and a name
    of its own.

    With ``offline``, one on the hub is taken on trust where that cannot be reached.
    """
    found: list[BackboneSource] = []
    for entry in entries:
        try:
            source = backbones.resolve(entry.source, entry.name, entry.revision)
            check_name(source.name)
            spec_if_known(source) if offline else backbones.spec(source)
            backbones.check_tokenizer(source)
        except ValueError as error:
            problems.add(entry.location, str(error), entry.source)
            continue
        if source.name in [other.name for other in found]:
            rule = f"two backbones must not share the name {source.name!r}; give this one another with name:"
            problems.add(entry.location, rule, entry.source)
        elif twins := [other.name for other in found if source.pinned and other.identity == source.identity]:
            rule = (
                f"holds the same weights and tokenizer as backbone {twins[0]!r}, so that their trials would be the same"
            )
            problems.add(entry.location, f"{rule}; name one of them", entry.source)
        found.append(source)
    return tuple(found)


def spec_if_known(source: BackboneSource) -> Spec | None:
    """The sizes of a backbone; ``None`` where they stand on the hub and that cannot be reached.

    Raises:
        ValueError: the backbone is of no known family, or its config is malformed.
    """
    try:
        return backbones.spec(source)
    except ValueError as error:
        if isinstance(error.__cause__, OSError):
            return None
        raise


def bind_tasks(problems: Collector, placed: Sequence[tuple[Location, Task]], data_dir: str | None) -> tuple[Task, ...]:
    """The tasks with their data found."""
    bound: list[Task] = []
    for location, task in placed:
        try:
            bound.append(tasks.resolve(task, data_dir))
        except ValueError as error:
            problems.add(location, f"{task.name}: {error}")
    return tuple(bound)
