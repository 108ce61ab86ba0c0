"""The sections of a study file, each read as far as it can be, so that one mistake hides no other."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from search.study._collector import Collector
from search.study._grids import SHARED, GridReader, check_combinations
from search.study._model import Grids, Override, TaskOverride
from search.study._places import is_folder
from search.study._problems import Location
from trainables import hub, methods
from trainables.tasks import Task

MOST_SEEDS = 1000

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class BackboneEntry:
    """A backbone as the file names it, and where in the file that is."""

    location: Location
    source: str
    name: str | None = None
    revision: str | None = None


class _BackboneMapping(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    source: str
    name: str | None = None
    revision: Annotated[str, AfterValidator(hub.check_revision)] | None = None


def part(problems: Collector, location: Location, data: Any, model: type[Model]) -> Model:
    """A section that is one small model; its defaults where it is left out or broken."""
    if data is not None:
        try:
            return model.model_validate(problems.mapping(location, data, "settings"))
        except ValidationError as error:
            problems.add_validation(location, error, model)
    return model()


def backbones(problems: Collector, data: Any, folder: Path) -> list[BackboneEntry]:
    """The backbones, each once; a path is taken from the study's ``folder`` where it is there."""
    found: list[BackboneEntry] = []
    for index, item in enumerate(problems.sequence(("backbones",), data, "backbone", most=100)):
        at = ("backbones", index)
        if not isinstance(item, str | dict):
            what = "must be a hub id, a folder, package:NAME/FOLDER, or a mapping of source, name and revision"
            problems.add(at, what, item)
            continue
        try:
            entry = _BackboneMapping.model_validate({"source": item} if isinstance(item, str) else item)
        except ValidationError as error:
            problems.add_validation(at, error, _BackboneMapping)
            continue
        if not entry.source.strip() or (entry.name is not None and not entry.name.strip()):
            problems.add(at, "must not be empty", item)
            continue
        source = str(folder / entry.source) if is_folder(folder / entry.source) else entry.source
        if any(e.source == source and e.revision == entry.revision for e in found):
            problems.add(at, "a backbone must be named once", item)
            continue
        found.append(BackboneEntry(at, source, entry.name, entry.revision))
    return found


def method_grids(problems: Collector, location: Location, data: Any, reader: GridReader) -> dict[str, Grids]:
    """Grids per method; empty where a method has none of its own."""
    found: dict[str, Grids] = {}
    written = problems.mapping(location, data, "method to hyperparameters")
    if data == {}:
        problems.add(location, "must have at least one method", data, known=methods.names())
    for name, grids in written.items():
        if name in methods.names():
            found[name] = reader.method((*location, name), name, grids)
        else:
            problems.unknown((*location, name), grids, methods.names(), "unknown method")
    return found


def defaults(problems: Collector, data: Any, reader: GridReader) -> Grids:
    """Learning rates and batch sizes that are shared by all methods."""
    return {} if data is None else reader.shared(("defaults",), problems.mapping(("defaults",), data, "name to values"))


def overrides(
    problems: Collector,
    data: Any,
    reader: GridReader,
    known_tasks: Mapping[str, Task],
    known_methods: Mapping[str, Grids],
) -> dict[str, TaskOverride]:
    """What is different for single tasks; each must be a task of the study, each method in it one of the study's."""
    found: dict[str, TaskOverride] = {}
    if data is None:
        return found
    for name, item in problems.mapping(("overrides",), data, "task to what is different for it").items():
        at = ("overrides", name)
        if name not in known_tasks:
            problems.unknown(at, item, known_tasks, "must be a task of this study")
        raw = problems.mapping(at, item, "what is different for the task")
        settings = part(problems, at, raw, Override)
        shared = reader.shared(at, {key: raw[key] for key in SHARED if key in raw})
        grids: dict[str, Grids] = {}
        if "methods" in raw:
            grids = method_grids(problems, (*at, "methods"), raw["methods"], reader)
            for method in grids:
                if method not in known_methods:
                    place = (*at, "methods", method)
                    problems.unknown(place, raw["methods"][method], known_methods, "must be a method of this study")
        values = settings.model_dump(exclude={"learning_rate", "batch_size", "methods"}, exclude_none=True)
        found[name] = TaskOverride(shared=shared, methods=grids, protocol=values)
    return found


def seeds(problems: Collector, data: Any) -> tuple[int, ...]:
    """The seeds: a list, or a count ``n`` that stands for ``0 … n-1``."""
    if isinstance(data, list):
        if not data:
            problems.add(("seeds",), "must have at least one seed", data)
        if len(data) > MOST_SEEDS:
            problems.add(("seeds",), f"must be at most {MOST_SEEDS} seeds, but are {len(data):,}", data)
            return ()
        good: list[int] = []
        for index, seed in enumerate(data):
            if not _whole(seed) or not 0 <= seed < 2**32:
                problems.add(("seeds", index), "must be a whole number from 0 to 4294967295", seed)
            elif seed in good:
                problems.add(("seeds", index), "seeds must differ", seed)
            else:
                good.append(seed)
        return tuple(good)
    if not _whole(data) or not 1 <= data <= MOST_SEEDS:
        problems.add(("seeds",), f"must be a list of seeds, or their number from 1 to {MOST_SEEDS}", data)
        return ()
    return tuple(range(data))


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def check_cells(
    problems: Collector,
    method_names: Mapping[str, Grids],
    shared: Grids,
    task_overrides: Mapping[str, TaskOverride],
    task_names: Collection[str],
) -> None:
    """Every cell must have learning rates and batch sizes, and values that its method takes together."""
    for method, grids in method_names.items():
        check_combinations(problems, ("methods", method), method, grids)
        lacking: dict[str, list[str]] = {}
        for task in task_names or [""]:
            override = task_overrides.get(task, TaskOverride())
            own = override.methods.get(method, {})
            if own:
                check_combinations(problems, ("overrides", task, "methods", method), method, {**grids, **own})
            for name in SHARED:
                if not any(name in place for place in (shared, grids, override.shared, own)):
                    lacking.setdefault(name, []).append(task)
        for name, without in lacking.items():
            where = "" if len(without) >= len(task_names) else f" for {', '.join(without)}"
            problems.add(("methods", method, name), f"no value{where}; give one here or in defaults")
