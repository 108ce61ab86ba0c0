"""YAML text to plain data, with the line of every value, and without YAML 1.1's surprises.

Numbers and booleans are those of YAML 1.2: ``1e-4`` is a number, ``no`` and ``on`` are words, ``010`` and ``1:30`` are
text. A key written twice in one mapping is a problem and not an overwrite. What a study never needs is refused before
it is built: files of another kind, values deep in each other or many times over, tags, control characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from common.words import UNPRINTABLE
from search.study._problems import ABSENT, Location, Problem, StudyError, written

#: A study has hundreds of values, and a few in each other. Reading takes a second for so many bytes and values.
MOST_BYTES = 256 * 2**10
MOST_VALUES = 10_000
DEEPEST = 32


_TAGS = ("str", "int", "float", "bool", "null", "seq", "map")


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
    """The safe loader with the scalars of YAML 1.2's core schema, and an end to how deep and how much it reads."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._composed = 0
        self._sizes: dict[int, int] = {}  # by node: the values in it, those of aliases each time

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._depth += 1
        if self._depth > DEEPEST:
            self._refuse(f"more than {DEEPEST} values stand in each other here; a study needs a few")
        node = super().compose_node(parent, index)
        self._depth -= 1
        self._composed += 1
        if node is not None:
            inner = [part for _, key, value in _children(node) for part in {id(key): key, id(value): value}.values()]
            size = self._sizes[id(node)] = 1 + sum(self._sizes.get(id(part), 1) for part in inner)
            if max(size, self._composed) > MOST_VALUES:
                self._refuse(f"more than {MOST_VALUES:,} values up to here, aliases written out; a study has fewer")
        return node

    def _refuse(self, rule: str) -> None:
        raise yaml.composer.ComposerError(None, None, rule, self.peek_event().start_mark)


_Loader.yaml_constructors = {
    f"tag:yaml.org,2002:{tag}": yaml.SafeLoader.yaml_constructors[f"tag:yaml.org,2002:{tag}"] for tag in _TAGS
}
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
        StudyError: the file cannot be read, its text is not one YAML document, or it holds what no study may hold.
    """
    try:
        document = _parse(_text(path))
    except yaml.YAMLError as error:
        raise StudyError(path, [_syntax_problem(error)]) from error
    if unreadable := [problem for problem in document.problems if problem.value is not ABSENT]:
        raise StudyError(path, unreadable, [problem.value for problem in unreadable])
    return document


def _text(path: Path) -> str:
    try:
        if not path.exists():
            raise StudyError(path, [Problem("", "no such file; give the path of a study's YAML file")])
        if not path.is_file() and not path.is_dir():
            raise StudyError(path, [Problem("", "must be a file, and not a device or a pipe")])
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            rule = f"is larger than {MOST_BYTES >> 10} KB, more than a study can need; is it a study's YAML file?"
            raise StudyError(path, [Problem("", rule)])
        return content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        if isinstance(error, StudyError):
            raise
        if isinstance(error, UnicodeDecodeError):
            rule = f"must be UTF-8 text, but byte {error.start} is not"
        else:
            rule = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        raise StudyError(path, [Problem("", rule)]) from error


def _parse(text: str) -> YamlDocument:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return YamlDocument(None)
        problems = [*_find_repeats(node, (), ()), *_find_unreadable(loader, node, ())]
        if any(problem.value is not ABSENT for problem in problems):
            return YamlDocument(None, problems=tuple(problems))
        data = loader.construct_document(node)  # also merges "<<" into the nodes
        lines: dict[Location, int] = {}
        _find_lines(node, (), lines)
        return YamlDocument(data, lines, tuple(problems))
    finally:
        loader.dispose()


def _children(node: yaml.Node) -> list[tuple[str | int, yaml.Node, yaml.Node]]:
    """(key, node that holds the key, value) of everything directly in ``node``."""
    if isinstance(node, yaml.MappingNode):
        return [(key.value if isinstance(key, yaml.ScalarNode) else "…", key, value) for key, value in node.value]
    if isinstance(node, yaml.SequenceNode):
        return [(index, value, value) for index, value in enumerate(node.value)]
    return []


def _find_repeats(node: yaml.Node, location: Location, above: tuple[int, ...]) -> Iterator[Problem]:
    if id(node) in above:
        raise yaml.constructor.ConstructorError(None, None, "a value must not contain itself", node.start_mark)
    first_lines: dict[str | int, int] = {}
    for key, key_node, value in _children(node):
        line = key_node.start_mark.line + 1
        if key in first_lines and key != "<<":
            rule = f"the key is written twice, first in line {first_lines[key]}; keep one of them"
            yield Problem(written((*location, key)), rule, line=line)
        first_lines.setdefault(key, line)
        yield from _find_repeats(value, (*location, key), (*above, id(node)))


def _find_unreadable(loader: _Loader, node: yaml.Node, location: Location) -> Iterator[Problem]:
    """Tags that a study does not take, what is not of the kind that its tag says, and signs that nobody can read."""
    line, tag = node.start_mark.line + 1, node.tag.removeprefix("tag:yaml.org,2002:")
    if tag not in (*_TAGS, "merge"):
        rule = f"is not valid YAML for a study: a tag of this kind means nothing in it; known: {', '.join(_TAGS)}"
        yield Problem(written(location), rule, f"!!{tag}" if tag != node.tag else "!", line=line)
    elif isinstance(node, yaml.ScalarNode) and tag != "merge":
        if found := UNPRINTABLE.search(node.value):
            rule = f"must hold no control characters, but has {found[0]!a} in it; leave it out"
            yield Problem(written(location), rule, node.value, line=line)
        elif not _constructible(loader, node):
            yield Problem(written(location), f"is no {_KINDS[tag]} that can be read", node.value, line=line)
    for key, key_node, value in _children(node):
        if isinstance(node, yaml.MappingNode):
            yield from _find_unreadable(loader, key_node, (*location, key))
        yield from _find_unreadable(loader, value, (*location, key))


_KINDS = {"int": "whole number", "float": "number", "bool": "true or false"}


def _constructible(loader: _Loader, node: yaml.ScalarNode) -> bool:
    try:
        loader.construct_object(node)
    except (ValueError, KeyError, IndexError):  # of int(), of a table of words, of an empty text
        return False
    return True


def _find_lines(node: yaml.Node, location: Location, lines: dict[Location, int]) -> None:
    lines.setdefault(location, node.start_mark.line + 1)
    for key, key_node, value in _children(node):
        lines[*location, key] = key_node.start_mark.line + 1
        _find_lines(value, (*location, key), lines)


def _syntax_problem(error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or str(error).splitlines()[0]
    context = getattr(error, "context", None)
    # What the library quotes of the file may be a part of a password.
    rule = re.sub("'(?!<)[^']{4,}'", "'…'", f"is not valid YAML: {what}" + (f", {context}" if context else ""))
    if "'\\t'" in what:
        rule += "; YAML is indented with spaces, never with tabs"
    if mark is None:
        return Problem("", rule)
    return Problem("", f"{rule} (column {mark.column + 1})", line=mark.line + 1)
