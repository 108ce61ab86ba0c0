"""YAML text to plain data, with the line of every value, and without YAML 1.1's surprises.

Numbers and booleans are those of YAML 1.2: ``1e-4`` is a number, ``no`` and ``on`` are words, ``010`` and ``1:30`` are
text. A key written twice in one mapping is a problem and not an overwrite.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from search.study._problems import Location, Problem, StudyError, written


@dataclass(frozen=True)
class YamlDocument:
    """The data of a YAML file, the line (from 1) of each value, and keys written twice."""

    data: Any
    lines: Mapping[Location, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def line(self, location: Location) -> int | None:
        """The line of the value at ``location``, or of the nearest value around it."""
        for length in range(len(location), -1, -1):
            if (line := self.lines.get(location[:length])) is not None:
                return line
        return None


class _Loader(yaml.SafeLoader):
    """The safe loader with the scalars of YAML 1.2's core schema."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9_]*)", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*\.[0-9]*)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+."),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))


def read(path: Path) -> YamlDocument:
    """The document in the file ``path``.

    Raises:
        StudyError: the file cannot be read, or its text is not one YAML document.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise StudyError(path, [Problem("", "no such file; give the path of a study's YAML file")]) from None
    except OSError as error:
        raise StudyError(path, [Problem("", f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        raise StudyError(path, [Problem("", f"must be UTF-8 text, but byte {error.start} is not")]) from error
    try:
        return _parse(text)
    except yaml.YAMLError as error:
        raise StudyError(path, [_syntax_problem(error)]) from error


def _parse(text: str) -> YamlDocument:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return YamlDocument(None)
        problems: list[Problem] = []
        _find_repeats(node, (), (), problems)
        data = loader.construct_document(node)  # also merges "<<" into the nodes
        lines: dict[Location, int] = {}
        _find_lines(node, (), lines)
        return YamlDocument(data, lines, tuple(problems))
    finally:
        loader.dispose()


def _children(node: yaml.Node) -> list[tuple[str | int, yaml.Node, yaml.Node]]:
    """(key, node that holds the key, value) of everything directly in ``node``."""
    if isinstance(node, yaml.MappingNode):
        return [(str(key.value), key, value) for key, value in node.value]
    if isinstance(node, yaml.SequenceNode):
        return [(index, value, value) for index, value in enumerate(node.value)]
    return []


def _find_repeats(node: yaml.Node, location: Location, above: tuple[int, ...], problems: list[Problem]) -> None:
    if id(node) in above:
        raise yaml.constructor.ConstructorError(None, None, "a value must not contain itself", node.start_mark)
    first_lines: dict[str | int, int] = {}
    for key, key_node, value in _children(node):
        line = key_node.start_mark.line + 1
        if key in first_lines and key != "<<":
            rule = f"the key is written twice, first in line {first_lines[key]}; keep one of them"
            problems.append(Problem(written((*location, key)), rule, line=line))
        first_lines.setdefault(key, line)
        _find_repeats(value, (*location, key), (*above, id(node)), problems)


def _find_lines(node: yaml.Node, location: Location, lines: dict[Location, int]) -> None:
    lines.setdefault(location, node.start_mark.line + 1)
    for key, key_node, value in _children(node):
        lines[*location, key] = key_node.start_mark.line + 1
        _find_lines(value, (*location, key), lines)


def _syntax_problem(error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or str(error).splitlines()[0]
    context = getattr(error, "context", None)
    rule = f"is not valid YAML: {what}" + (f", {context}" if context else "")
    if "'\\t'" in what:
        rule += "; YAML is indented with spaces, never with tabs"
    if mark is None:
        return Problem("", rule)
    return Problem("", f"{rule} (column {mark.column + 1})", line=mark.line + 1)
