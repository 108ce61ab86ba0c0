"""Gathers what is wrong with a study while its parts are read, so that all of it is told at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from search.study._document import YamlDocument
from search.study._problems import ABSENT, Location, Problem, written

#: Signs of a rule; one that quotes what is in the file may be of any length.
LONGEST_RULE = 1_000


class Collector:
    """Gathers the problems of one document, so that all of them are told at once."""

    def __init__(self, document: YamlDocument) -> None:
        self._document = document
        self.problems: list[Problem] = list(document.problems)

    def add(self, location: Location, rule: str, value: Any = ABSENT, known: Iterable[str] = ()) -> None:
        """Note that the value at ``location`` breaks ``rule``."""
        line = self._document.line(location) if location else None
        wrong = value if isinstance(value, str) else ""
        one_line = " ".join(rule.split())  # libraries write paragraphs
        if len(one_line) > LONGEST_RULE:
            one_line = f"{one_line[: LONGEST_RULE // 2]} … {one_line[-LONGEST_RULE // 2 :]}"
        self.problems.append(Problem(written(location), one_line, value, tuple(known), line, wrong))

    def add_validation(self, location: Location, error: ValidationError, model: type[BaseModel]) -> None:
        """Note everything that pydantic found wrong with the value of ``model`` at ``location``."""
        for item in error.errors():
            inner = item["loc"]
            at = (*location, *inner)
            match item["type"]:
                case "extra_forbidden" | "invalid_key":
                    self.unknown((*location, *map(str, inner)), item["input"], _fields(model, inner[:-1]))
                case "missing":
                    self.add(at, "is required")
                case _:
                    self.add(at, rule(item["type"], item["msg"], item.get("ctx", {})), item["input"])

    def unknown(self, location: Location, value: Any, known: Iterable[str], rule: str = "unknown key") -> None:
        """Note that nothing is called what the key at the end of ``location`` says."""
        line = self._document.line(location)
        self.problems.append(Problem(written(location), rule, value, tuple(known), line, str(location[-1])))

    def mapping(self, location: Location, value: Any, what: str) -> dict[str, Any]:
        """``value`` as a mapping with keys of text; an empty one, and a problem, where it is something else."""
        if not isinstance(value, dict):
            self.add(location, f"must be a mapping of {what}", value)
            return {}
        for key in value:
            if not isinstance(key, str):
                self.add((*location, str(key)), "a key must be text; write it in quotes", key)
        return {key: inner for key, inner in value.items() if isinstance(key, str)}

    def sequence(self, location: Location, value: Any, what: str, most: int) -> list[Any]:
        """``value`` as a list of one to ``most`` items; an empty one, and a problem, where it is something else."""
        if not isinstance(value, list) or not value:
            self.add(location, f"must be a list of at least one {what}", value)
            return []
        if len(value) > most:
            self.add(location, f"must be at most {most}, but are {len(value):,}", value)
            return []
        return value


def _fields(model: type[BaseModel], location: Location) -> list[str]:
    """The names of the fields of the model that stands at ``location`` inside ``model``."""
    for part in location:
        annotation = model.model_fields[str(part)].annotation
        inner = [a for a in (annotation, *get_args(annotation)) if isinstance(a, type) and issubclass(a, BaseModel)]
        model = inner[0]
    return list(model.model_fields)


def rule(kind: str, message: str, context: dict[str, Any]) -> str:
    """A pydantic error as a rule: what the value must be."""
    if kind == "value_error":
        return str(context.get("error", message))
    if kind in ("model_type", "dict_type"):  # whose words name a class of ours
        return "must be a mapping"
    for beginning in ("Input should be ", "Value should be "):
        if message.startswith(beginning):
            return "must be " + message.removeprefix(beginning)
    if message.startswith(("String should ", "List should ")):
        return "must " + message.partition(" should ")[2]
    return message[:1].lower() + message[1:]
