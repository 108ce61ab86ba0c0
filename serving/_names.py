"""What requests call the artifacts of an engine."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field

from serving._loaded import Loaded, Rows
from serving.artifact import Artifact

_NAMED = 10  # names that a sentence lists at most


@dataclass(frozen=True)
class Served:
    """A task that is served.

    ``name``: what requests call it. ``task``: the task's own name. ``fields``: the columns that a request must give.
    ``labels``: None for a regression. ``score`` in percent; None where it is not known. ``max_length`` in tokens.
    ``rows``: the form of the rows of P; None for a method without them. ``bytes``: what its rows or tensors take, in
    files that are mapped or in memory.
    """

    name: str
    task: str
    method: str
    labels: tuple[str, ...] | None
    fields: tuple[str, ...]
    score: float | None
    max_length: int
    rows: Rows | None
    bytes: int


@dataclass(frozen=True)
class Names:
    """Artifacts by their keys: TASK@METHOD, or the name that they were given. It never changes; a change is another."""

    loaded: Mapping[str, Loaded] = field(default_factory=dict)

    def key(self, artifact: Artifact, name: str | None) -> str:
        """The key of one more; ValueError where it is taken."""
        key = name or f"{artifact.task.name}@{artifact.method_name}"
        if key in self.loaded or (name is not None and self._of_task(name)):
            step = "give this one another" if name else "give this one a name, or remove the other"
            raise ValueError(f"a name must mean one artifact, but {key!r} is served already; {step}")
        return key

    def with_one(self, key: str, loaded: Loaded) -> Names:
        return Names({**self.loaded, key: loaded})

    def without(self, loaded: Loaded) -> Names:
        return Names({key: other for key, other in self.loaded.items() if other is not loaded})

    def find(self, name: str) -> Loaded | str:
        """The artifact that a request means, or a sentence that says why there is none."""
        if name in self.loaded:
            return self.loaded[name]
        keys = self._of_task(name)
        if len(keys) == 1:
            return self.loaded[keys[0]]
        if keys:
            return f"task {name!r} is served by {len(keys)} artifacts; ask for one of {', '.join(keys[:_NAMED])}"
        known = [self.shown(key) for key in self.loaded]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        more = " …" if len(known) > _NAMED else ""
        return f"no task {name[:200]!r} is served; {hint}served are {', '.join(known[:_NAMED]) or 'none'}{more}"

    def shown(self, key: str) -> str:
        """The name by which it is known: its own, else TASK where that can mean no other, else TASK@METHOD."""
        task, method = self.loaded[key].artifact.task.name, self.loaded[key].artifact.method_name
        return task if key == f"{task}@{method}" and self._of_task(task) == [key] else key

    def served(self) -> tuple[Served, ...]:
        """What is served, in the order in which it was added."""
        return tuple(self._served(key, loaded) for key, loaded in self.loaded.items())

    def _of_task(self, task: str) -> list[str]:
        return [key for key, loaded in self.loaded.items() if loaded.artifact.task.name == task]

    def _served(self, key: str, loaded: Loaded) -> Served:
        artifact = loaded.artifact
        return Served(
            name=self.shown(key),
            task=artifact.task.name,
            method=artifact.method_name,
            labels=artifact.task.labels,
            fields=artifact.task.columns,
            score=artifact.score,
            max_length=artifact.max_length,
            rows=loaded.rows,
            bytes=loaded.bytes,
        )
