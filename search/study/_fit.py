"""Whether the methods, lengths and sizes of a study fit its backbones, and any machine."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from search.study._binding import spec_if_known
from search.study._collector import Collector
from search.study._grids import combinations
from search.study._model import Study
from search.study._problems import Location
from trainables import methods
from trainables.backbones import Spec
from trainables.methods import BYTES_PER_TRAINED, Method
from trainables.tasks import Task
from trainables.trial import BackboneSource

#: More than any one device or machine that trains has.
MOST_BYTES = 4 * 2**40


def check_fit(problems: Collector, study: Study) -> None:
    """Note the methods, lengths and sizes that a backbone or any machine cannot take."""
    for source in study.backbones:
        spec = spec_if_known(source)
        if spec is None:
            continue
        _check_lengths(problems, study, source, spec)
        for method in study.methods:
            for location, concerned in _places(study, method):
                _check_method(problems, study, method, location, concerned, (source, spec))


def _check_lengths(problems: Collector, study: Study, source: BackboneSource, spec: Spec) -> None:
    lengths: list[tuple[Location, int]] = [(("protocol", "max_length"), study.protocol.max_length)]
    for task, override in study.overrides.items():
        lengths.append((("overrides", task, "max_length"), override.protocol.get("max_length", 0)))
    for location, length in lengths:
        if length > spec.max_tokens:
            rule = f"must be at most {spec.max_tokens}, the longest sequence of backbone {source.name}"
            problems.add(location, rule, length)


def _places(study: Study, method: str) -> Iterator[tuple[Location, list[Task]]]:
    """Where a method gets values of its own, and the tasks that they are for."""
    apart = [t for t in study.tasks if t.name in study.overrides and study.overrides[t.name].methods.get(method)]
    if common := [task for task in study.tasks if task not in apart]:
        yield ("methods", method), common
    for task in apart:
        yield ("overrides", task.name, "methods", method), [task]


def _check_method(
    problems: Collector,
    study: Study,
    method: str,
    location: Location,
    concerned: list[Task],
    backbone: tuple[BackboneSource, Spec],
) -> None:
    """Build the method with every assignment of its own hyperparameters; a range stands for its two ends."""
    kind, (source, spec) = methods.get(method), backbone
    longest = max(concerned, key=lambda task: study.protocol_for(task).max_length)
    told: set[str] = set()
    grids = study.grids(concerned[0].name, method)
    for values in combinations({name: grid for name, grid in grids.items() if name in kind.Config.model_fields}):
        for text in _misfits(kind, values, spec, study.protocol_for(longest).max_length, longest.name):
            if text not in told:
                told.add(text)
                problems.add(location, f"does not fit backbone {source.name}: {text}", values)


def _misfits(kind: type[Method], values: dict[str, Any], spec: Spec, length: int, task: str) -> Iterator[str]:
    try:
        method = kind(kind.Config.model_validate(values), spec)
    except (ValueError, KeyError) as error:
        yield str(error)
        return
    except OverflowError:
        yield "a value is larger than any that can be computed with; choose a smaller one"
        return
    if (size := method.count() * BYTES_PER_TRAINED) > MOST_BYTES:
        have = f"{_many(method.count())} trainable parameters take {_many(size >> 30)} GB in training"
        yield f"{have}, and no machine has more than {MOST_BYTES >> 30:,}; choose smaller {', '.join(kind.sizes)}"
    prompt = methods.prompt_tokens(method)
    if prompt + min(length, spec.max_tokens) > spec.max_tokens:
        yield (
            f"{prompt} tokens of a prompt and max_length {length} (of {task}) come to {prompt + length}, and its "
            f"longest sequence is {spec.max_tokens}; choose max_length {max(spec.max_tokens - prompt, 0)} or less, "
            "or a shorter prompt"
        )


def _many(number: int) -> str:
    """A count that may be of any size."""
    return f"{number:,}" if number < 10**15 else f"10^{math.floor(math.log10(number))}"
