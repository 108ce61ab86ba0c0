"""What is wrong with a study: a problem with its path in the file, its value, the rule and the known names."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.uris import hidden_in, masked
from common.words import printable, shown

#: Keys and list positions from the top of the file down to a value.
Location = tuple[str | int, ...]

#: Of thousands of problems the first ones tell enough.
MOST_TOLD = 50

#: Stands for a value that is not in the file at all.
ABSENT: Any = type("Absent", (), {"__repr__": lambda self: "absent"})()


def written(location: Sequence[str | int]) -> str:
    """A location as people write it, such as ``methods.lora.rank[1]``."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{masked(part)}" if text else masked(part)
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
        """Without what is secret in the value, wherever else it is quoted."""
        return hidden_in(printable(self._text()), [self.path, self.value, {self.path: self.value}])

    def _text(self) -> str:
        text = self.path or "the file"
        if self.value is not ABSENT:
            key = self.path.rpartition(".")[2]
            text += f" = {_short(masked({key: self.value})[masked(key)])}"  # a key may say that its value is secret
        if self.line is not None:
            text += f" (line {self.line})"
        text += f": {self.rule}"
        if near := difflib.get_close_matches(self.wrong, self.known, n=1, cutoff=0.6):
            text += f"; did you mean {near[0]!r}?"
        return f"{text}; known: {_listed(self.known)}" if self.known else text


class StudyError(ValueError):
    """A study that cannot be run, with all of its ``problems``; nothing was started.

    ``data``: what stands in the file; what is secret in it is in no problem's text.
    """

    def __init__(self, file: Path | str, problems: Iterable[Problem], data: Any = None) -> None:
        self.file = str(file)
        self.problems = list(problems)
        count = f"{len(self.problems)} problem" + ("s" if len(self.problems) != 1 else "")
        told = [f"  {problem}" for problem in self.problems[:MOST_TOLD]]
        if (more := len(self.problems) - len(told)) > 0:
            told.append(f"  and {more:,} more; correct these first")
        super().__init__(
            "\n".join([f"{shown(self.file)}: not a valid study, {count}", hidden_in("\n".join(told), data)])
        )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_TOLD} more" if len(names) > MOST_TOLD else ""
    return ", ".join(masked(name) for name in names[:MOST_TOLD]) + more


def _short(value: Any) -> str:
    """The value as Python writes it, without the middle of long texts and the ends of long lists."""
    text = reprlib.Repr()
    text.maxstring = text.maxother = 100
    text.maxlist = text.maxtuple = text.maxdict = 8
    text.maxlevel = 3
    return text.repr(value)
