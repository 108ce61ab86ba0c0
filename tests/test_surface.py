"""What people write: the keys of a study and the commands with their options are those of ``tests/surface.yaml``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from pydantic import BaseModel

from search.cli import app
from search.study import _grids, _load, _model, _sections, _tasks
from serving import options
from trainables import methods

FROZEN = yaml.safe_load((Path(__file__).parent / "surface.yaml").read_text(encoding="utf-8"))

#: The mappings in a study that are models, by where they stand; ``[]`` is an entry of a list.
MODELS: dict[str, type[BaseModel]] = {
    "backbones[]": _sections._BackboneMapping,
    "tasks[]": _tasks.TaskEntry,
    "tasks[].files": _tasks.FilesEntry,
    "tasks[].hub": _tasks.HubEntry,
    "tasks[].truncation": _tasks.TruncationEntry,
    "defaults": _grids.Shared,
    "overrides.TASK": _model.Override,
    "protocol": _model.ProtocolSettings,
    "search": _model.Search,
    "search.early_stopping": _model.EarlyStopping,
    "search.budget": _model.Budget,
    "resources": _model.Resources,
    "keep": _model.Keep,
    "a range": _model.Range,
}


def keys(model: type[BaseModel]) -> dict[str, Any]:
    """Each key of a model with its default, or ``required``."""
    return {name: plain(field.default, field.is_required()) for name, field in model.model_fields.items()}


def plain(default: Any, required: bool) -> Any:
    if required:
        return "required"
    if isinstance(default, BaseModel):
        return "a mapping"
    return list(default) if isinstance(default, tuple) else default


def study_keys() -> dict[str, dict[str, Any]]:
    """All keys of a study, by the mapping they stand in; of the methods, those that are frozen."""
    sections = {name: "required" if name in _load.REQUIRED else "optional" for name in _load.SECTIONS}
    frozen = [place.removeprefix("methods.") for place in FROZEN["study"] if place.startswith("methods.")]
    there = {f"methods.{name}": keys(methods.get(name).Config) for name in frozen if name in methods.names()}
    return {"a study": sections, **{place: keys(model) for place, model in MODELS.items()}, **there}


def command_options() -> dict[str, dict[str, Any]]:
    """The arguments and options of every command: all spellings, and the default or ``required``."""
    commands = typer.main.get_command(app).commands
    return {name: {spelling(p): default(p) for p in command.params} for name, command in commands.items()}


def spelling(parameter: Any) -> str:
    if parameter.param_type_name == "argument" and parameter.metavar:
        return parameter.metavar
    return ", ".join([*parameter.opts, *parameter.secondary_opts])


def default(parameter: Any) -> Any:
    """The default, or ``required``; of a choice also what may be given."""
    if parameter.required:
        return "required"
    kind, value = parameter.type_descriptor.annotation, parameter.default
    if kind is bool and value is False:
        return "flag"
    if issubclass(kind, Enum):
        return {"default": value and value.value, "of": [each.value for each in kind]}
    return str(value) if isinstance(value, Path) else value


def test_a_study_has_the_keys_that_are_frozen() -> None:
    assert study_keys() == FROZEN["study"]


def test_every_mapping_of_a_study_is_frozen() -> None:
    """A model that is added to one of those above stands in the list as well."""
    nested = {
        inner
        for model in (*MODELS.values(), _model.Study)
        for inner in models_in(model)
        if inner.__module__.startswith("search.study")
    }
    assert nested <= {*MODELS.values(), _model.TaskOverride}


def models_in(model: type[BaseModel]) -> set[type[BaseModel]]:
    """The models that the fields of a model hold."""
    found: set[type[BaseModel]] = set()
    waiting: list[Any] = [field.annotation for field in model.model_fields.values()]
    while waiting:
        one = waiting.pop()
        waiting += getattr(one, "__args__", ())
        if isinstance(one, type) and not hasattr(one, "__args__") and issubclass(one, BaseModel):
            found.add(one)
    return found


def test_the_eight_methods_of_the_paper_are_frozen() -> None:
    assert sum(place.startswith("methods.") for place in FROZEN["study"]) == 8


def test_aot_itself_has_the_options_that_are_frozen() -> None:
    assert {spelling(p): default(p) for p in typer.main.get_command(app).params} == FROZEN["aot"]


def test_the_options_of_a_server_are_frozen() -> None:
    models = {"the file": options.Options, "replicas": options.Replicas, "limits": options.Limits}
    assert {place: keys(model) for place, model in models.items()} == FROZEN["server"]


@pytest.mark.parametrize("command", sorted({*FROZEN["commands"], *command_options()}))
def test_a_command_has_the_options_that_are_frozen(command: str) -> None:
    assert command_options().get(command) == FROZEN["commands"].get(command)
