"""Hyperparameters of any method, found in its ``Config``: values to try, and the forms that a method has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from trainables import methods

#: Names that belong to every trial; a hyperparameter of a method's own cannot have them.
OF_EVERY_TRIAL = {"learning_rate", "batch_size"}

_NUMBERS = (1, 2, 7, 50, 0.25, 0.5)
_BOUNDS = ("ge", "gt", "le", "lt")


def kinds(field: FieldInfo) -> set[Any]:
    """The types of a hyperparameter, and the values of a ``Literal``: ``int | None`` is ``{int, NoneType}``."""
    return set(_parts(field.annotation))


def _parts(annotation: Any) -> Iterator[Any]:
    inner = get_args(annotation)
    if get_origin(annotation) is Annotated:
        yield from _parts(inner[0])
    elif get_origin(annotation) is Literal or not inner:
        yield from inner or (annotation,)
    else:
        for part in inner:
            yield from _parts(part)


def is_number(field: FieldInfo) -> bool:
    """Whether it is a number, perhaps beside ``None``."""
    return bool(kinds(field) & {int, float})


def accepted(config: type[BaseModel], field: str, value: object) -> BaseModel | None:
    """The config with this one value set, or None where the field takes no such value."""
    try:
        return config(**{field: value})
    except ValidationError:
        return None


def configs(config: type[BaseModel], field: str) -> list[BaseModel]:
    """Configs that differ in one hyperparameter: its default, the ends of its range and others in between."""
    info = config.model_fields[field]
    ends = [getattr(rule, bound) for rule in info.metadata for bound in _BOUNDS if hasattr(rule, bound)]
    near = [end + step for end in ends for step in (-1, 0, 1)]
    values = (info.default, *_NUMBERS, *near, True, False, None, *kinds(info))
    return [made for value in values if (made := accepted(config, field, value)) is not None]


def forms(name: str) -> list[dict[str, Any]]:
    """A method's forms: the defaults, and then each other choice of a hyperparameter that is a bool or a ``Literal``.

    A rank makes tensors larger or smaller; a choice makes other ones, or uses them otherwise.
    """
    config = methods.get(name).Config
    made: list[dict[str, Any]] = [{}]
    for field, info in config.model_fields.items():
        choices = {True, False} if bool in kinds(info) else {k for k in kinds(info) if not isinstance(k, type)}
        made += [{field: c} for c in sorted(choices, key=str) if c != info.default and accepted(config, field, c)]
    return made


def form_id(name: str, values: dict[str, Any]) -> str:
    """What a test of a form is called."""
    return "-".join([name, *(f"{field}={value}" for field, value in values.items())])
