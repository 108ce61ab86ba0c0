"""What is wrong with a study: every problem with its path in the file, its value, the rule and the known names."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError

if TYPE_CHECKING:
    from search.study._document import Document

#: Keys and list positions from the top of the file down to a value.
Location = tuple[str | int, ...]

#: Stands for a value that is not in the file at all.
ABSENT: Any = type("Absent", (), {"__repr__": lambda self: "absent"})()


def written(location: Sequence[str | int]) -> str:
    """A location as people write it, such as ``methods.lora.rank[1]``."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where (empty: the file itself), the broken rule, the value, and the names allowed there.

    ``wrong`` is the name that none of the ``known`` is.
    """

    path: str
    rule: str
    value: Any = field(default=ABSENT)
    known: tuple[str, ...] = ()
    line: int | None = None
    wrong: str = ""

    def __str__(self) -> str:
        text = self.path or "the file"
        if self.value is not ABSENT:
            text += f" = {_short(self.value)}"
        if self.line is not None:
            text += f" (line {self.line})"
        text += f": {self.rule}"
        if near := difflib.get_close_matches(self.wrong, self.known, n=1, cutoff=0.6):
            text += f"; did you mean {near[0]!r}?"
        return f"{text}; known: {', '.join(self.known)}" if self.known else text


class StudyError(ValueError):
    """A study that cannot be run, with all of its ``problems``; nothing was started."""

    def __init__(self, file: Path | str, problems: Iterable[Problem]) -> None:
        self.file = str(file)
        self.problems = list(problems)
        count = f"{len(self.problems)} problem" + ("s" if len(self.problems) != 1 else "")
        super().__init__("\n".join([f"{self.file}: not a valid study, {count}", *(f"  {p}" for p in self.problems)]))


class Collector:
    """Gathers the problems of one document, so that all of them are told at once."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self.problems: list[Problem] = list(document.problems)

    def add(self, location: Location, rule: str, value: Any = ABSENT, known: Iterable[str] = ()) -> None:
        """Note that the value at ``location`` breaks ``rule``."""
        line = self._document.line(location) if location else None
        wrong = value if isinstance(value, str) else ""
        one_line = " ".join(rule.split())  # libraries write paragraphs
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

    def sequence(self, location: Location, value: Any, what: str) -> list[Any]:
        """``value`` as a list with at least one item; an empty one, and a problem, where it is something else."""
        if not isinstance(value, list) or not value:
            self.add(location, f"must be a list of at least one {what}", value)
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
    for beginning in ("Input should be ", "Value should be "):
        if message.startswith(beginning):
            return "must be " + message.removeprefix(beginning)
    if message.startswith(("String should ", "List should ")):
        return "must " + message.partition(" should ")[2]
    return message[:1].lower() + message[1:]


def _short(value: Any) -> str:
    """The value as Python writes it, without the middle of long texts and the ends of long lists."""
    text = reprlib.Repr()
    text.maxstring = text.maxother = 100
    text.maxlist = text.maxtuple = text.maxdict = 8
    return text.repr(value)
