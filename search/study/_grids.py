"""The values of hyperparameters: read from the file and checked by the method's own config, one by one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from search.study._collector import Collector, rule
from search.study._model import Grid, Grids, Range
from search.study._problems import Location
from trainables import methods

#: A smaller rate changes no weight of float32 that is not next to zero.
LEAST_RATE = 1e-12


def _moves_weights(rate: float) -> float:
    if rate < LEAST_RATE:
        raise ValueError(f"must be at least {LEAST_RATE:g}: a smaller rate changes no weight in float32")
    return rate


class Shared(BaseModel):
    """The hyperparameters that every method has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    learning_rate: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False), AfterValidator(_moves_weights)]
    batch_size: Annotated[int, Field(ge=1, le=65536)]


SHARED = tuple(Shared.model_fields)


def hyperparameters(method: str) -> tuple[str, ...]:
    """The names of everything that a study may set for a method."""
    return (*methods.get(method).Config.model_fields, *SHARED)


class GridReader:
    """Reads grids and notes every value that may not stand there; ``ranges``: whether the search can take one."""

    def __init__(self, problems: Collector, ranges: bool) -> None:
        self._problems = problems
        self._ranges = ranges

    def shared(self, location: Location, data: Mapping[str, Any]) -> dict[str, Grid]:
        """Grids of learning rates and batch sizes."""
        grids: dict[str, Grid] = {}
        for name, value in data.items():
            if name in SHARED:
                self._add(grids, (*location, name), Shared, value)
            else:
                self._problems.unknown((*location, name), value, SHARED)
        return grids

    def method(self, location: Location, method: str, data: Any) -> dict[str, Grid]:
        """Grids of one method: its own hyperparameters, learning rates and batch sizes."""
        config = methods.get(method).Config
        grids: dict[str, Grid] = {}
        written = {} if data is None else self._problems.mapping(location, data, "hyperparameter to its values")
        for name, value in written.items():
            if name in SHARED:
                self._add(grids, (*location, name), Shared, value)
            elif name in config.model_fields:
                self._add(grids, (*location, name), config, value)
            else:
                what = f"method {method} has no hyperparameter {name!r}"
                self._problems.unknown((*location, name), value, hyperparameters(method), what)
        return grids

    def _add(self, grids: dict[str, Grid], location: Location, config: type[BaseModel], data: Any) -> None:
        if isinstance(data, dict):
            grid: Grid | None = self._range(location, config, data)
        else:
            grid = self._choices(location, config, data)
        # A grid that was refused stays as an empty one: its hyperparameter is not missing as well.
        grids[str(location[-1])] = () if grid is None else grid

    def _choices(self, location: Location, config: type[BaseModel], data: Any) -> tuple[Any, ...] | None:
        if not isinstance(data, list):
            return (data,) if self._check(location, config, data) else None
        if not data:
            self._problems.add(location, "a grid must have at least one value; list them, or leave the key out", data)
            return None
        first: dict[tuple[bool, Any], int] = {}
        good = True
        for index, value in enumerate(data):
            at = (*location, index)
            if not self._check(at, config, value):
                good = False
                continue
            key = (isinstance(value, bool), value)
            if key in first:
                self._problems.add(at, f"the values of a grid must differ, but [{first[key]}] is the same", value)
                good = False
            first.setdefault(key, index)
        return tuple(data) if good else None

    def _range(self, location: Location, config: type[BaseModel], data: dict[Any, Any]) -> Range | None:
        if not self._ranges:
            rule_ = "a range needs search.strategy: random or tpe; a grid search needs a list of values"
            self._problems.add(location, rule_, data)
            return None
        kind = _numeric_kind(config, str(location[-1]))
        if kind is None:
            self._problems.add(location, "must be a list of values: only a number has a range", data)
            return None
        try:
            grid = Range.model_validate(data)
        except ValidationError as error:
            self._problems.add_validation(location, error, Range)
            return None
        low, high = (self._check((*location, end), config, data[end]) for end in ("low", "high"))
        if not (low and high):
            return None
        return grid.of_whole_numbers() if kind is int else grid

    def _check(self, location: Location, config: type[BaseModel], value: Any) -> bool:
        """Whether the config takes ``value`` for the hyperparameter that ``location`` names; notes why not."""
        name = next(str(part) for part in reversed(location) if part in config.model_fields)
        if isinstance(value, float) and value - value != 0:
            self._problems.add(location, "must be a finite number", value)
            return False
        broken = [e for e in _errors(config, {name: value}) if e["loc"][:1] == (name,)]
        for error in broken[:1]:
            self._problems.add(location, rule(error["type"], error["msg"], error.get("ctx", {})), value)
        return not broken


def check_combinations(problems: Collector, location: Location, method: str, grids: Grids) -> None:
    """Note what a method's config says of its values taken together, and hyperparameters that have no value at all."""
    config = methods.get(method).Config
    own = {name: grid for name, grid in grids.items() if name in config.model_fields}
    told: set[str] = set()
    for values in combinations(own):
        for error in _errors(config, values):
            at = (*location, *error["loc"])
            what = rule(error["type"], error["msg"], error.get("ctx", {}))
            if error["type"] == "missing":
                what = f"method {method} needs a value for it"
            if what not in told:
                told.add(what)
                problems.add(at, what, *([] if error["type"] == "missing" else [values]))


def combinations(grids: Grids) -> Iterator[dict[str, Any]]:
    """Every assignment of a grid, the last hyperparameter changing fastest; a range stands for its two ends."""
    lists = [(grid.low, grid.high) if isinstance(grid, Range) else grid for grid in grids.values()]
    for values in itertools.product(*lists):
        yield dict(zip(grids, values, strict=True))


def assignments(grids: Grids) -> float:
    """The number of different assignments of a grid; infinite where a hyperparameter is real."""
    sizes: list[float] = []
    for grid in grids.values():
        if not isinstance(grid, Range):
            sizes.append(len(grid))
        else:
            sizes.append(int(grid.high) - int(grid.low) + 1 if grid.whole else math.inf)
    return math.prod(sizes)


def size_of_own(method: str, grids: Grids) -> int:
    """How many ``combinations`` there are of a method's own hyperparameters."""
    names = methods.get(method).Config.model_fields
    own = (grid for name, grid in grids.items() if name in names)
    return math.prod(2 if isinstance(grid, Range) else len(grid) for grid in own)


def _errors(config: type[BaseModel], values: dict[str, Any]) -> list[Any]:
    try:
        config.model_validate(values, strict=True)
    except ValidationError as error:
        return list(error.errors())
    return []


@cache
def _numeric_kind(config: type[BaseModel], name: str) -> type | None:
    """``int`` or ``float``, where that is what the field holds (perhaps beside ``None``)."""
    return _number(config.model_fields[name].annotation)


def _number(annotation: Any) -> type | None:
    if get_origin(annotation) is Annotated:
        return _number(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        kinds = {_number(part) for part in get_args(annotation) if part is not NoneType}
        return kinds.pop() if len(kinds) == 1 else None
    return annotation if annotation in (int, float) else None
