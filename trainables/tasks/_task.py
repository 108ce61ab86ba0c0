"""What a task is: one value with its source, its text, its labels and its metric."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from trainables.tasks._source import Files, Generated, Hub

Kind = Literal["classification", "regression", "multiple_choice"]
Side = Literal["left", "right"]
Segment = Literal["longest", "first", "second"]
Row = Mapping[str, Any]

#: A column's name in a template. Anything but braces may stand in it: columns of users have all kinds of names.
PLACEHOLDER = re.compile(r"\{([^{}]+)\}")

#: What ``{choice}`` stands for in a template: the choice that this sequence is about.
CHOICE = "choice"


@dataclass(frozen=True)
class Derived:
    """Extra columns that a template cannot make from a row by itself.

    ``function`` maps a row's ``columns`` to new ones, which ``makes`` names. Raise ``version`` with every change of
    what it returns: it stands for that wherever the rows are not read.
    """

    function: Callable[[Row], dict[str, str]]
    columns: tuple[str, ...]
    makes: tuple[str, ...]
    version: int = 1


@dataclass(frozen=True)
class Truncation:
    """How a text that is too long is cut.

    ``side``: at which end of a segment tokens are taken away.
    ``segment``: which one of a pair gives way. ``longest``: the longer one, until both are of one length; ``first`` or
        ``second``: that one, and the other only where nothing of it is left.
    """

    side: Side = "right"
    segment: Segment = "longest"


#: On the right, the longer segment first: what a task does that says nothing.
CUT_RIGHT = Truncation()


@dataclass(frozen=True)
class Task:
    """A data set with a question asked of each row.

    ``text``: templates of one or two segments; ``{column}`` stands for the row's value.
    ``label``: the column of the label.
    ``labels``: the labels' names in the order of their ids; ``None`` for regression; empty: still to be read from the
        train split, as ``resolve`` does.
    ``options``: for multiple choice, a template per choice; each makes one sequence, in which ``{choice}`` in ``text``
        stands for it.
    ``metric``: a name in ``common.metrics.METRICS``.
    ``epochs`` and ``patience``: the paper's Table 6 for its tasks.
    ``blanks``: whether a text may be empty; otherwise that is an error.
    ``truncation``: how a text that is longer than the protocol's ``max_length`` is cut.
    ``read_as``: how rows became text when ``resolve`` read them; empty before.
    """

    name: str
    text: tuple[str, ...]
    source: Hub | Files | Generated
    metric: str
    labels: tuple[str, ...] | None
    label: str = "label"
    options: tuple[str, ...] = ()
    derived: Derived | None = None
    epochs: int = 100
    patience: int = 10
    blanks: bool = False
    truncation: Truncation = CUT_RIGHT
    read_as: str = ""

    @property
    def benchmark(self) -> str:
        """The part of the name before the slash: macro scores are taken over a benchmark's tasks."""
        return self.name.split("/")[0]

    @property
    def kind(self) -> Kind:
        if self.options:
            return "multiple_choice"
        return "regression" if self.labels is None else "classification"

    @property
    def choices(self) -> int:
        """Sequences per example: the number of choices, and 1 where there are none."""
        return len(self.options) or 1

    @property
    def outputs(self) -> int:
        """Outputs of the head per sequence: one per class; 1 for regression and multiple choice.

        Raises:
            ValueError: the labels are still to be read from the train split.
        """
        if self.kind != "classification":
            return 1
        if not self.labels:
            raise ValueError(f"the labels of task {self.name} are read from its train split: call resolve(task) first")
        return len(self.labels)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the data that make text, without the label; each once."""
        named = [c for template in (*self.text, *self.options) for c in PLACEHOLDER.findall(template)]
        made = (CHOICE,) if self.options else ()
        if self.derived is not None:
            named, made = [*named, *self.derived.columns], (*made, *self.derived.makes)
        return tuple(dict.fromkeys(c for c in named if c not in made))

    def identity(self) -> dict[str, Any]:
        """Plain JSON values of everything that determines the data and the score, and of nothing else.

        Of a task whose rows were read, the texts and label ids stand for its data: neither where they came from nor
        what columns, templates and labels were called. Before that, all of it has to stand there.

        The name counts: the subset of a row limit and the schedule of the batches are drawn by it. Epochs and patience
        belong to the protocol.
        """
        known = bool(self.source.digest) and self.read_as == self.recipe
        data = {"digest": self.source.digest} if known else {**self.reading(), "source": self.source.identity()}
        head = {"kind": self.kind, "choices": self.choices, "outputs": self.outputs if self.labels != () else None}
        cut = [self.truncation.side, self.truncation.segment]
        return {"name": self.name, "metric": self.metric, "truncation": cut, **head, "data": data}

    @cached_property
    def recipe(self) -> str:
        """``reading`` as one text, to tell whether a task still is what its rows were read for."""
        return json.dumps(self.reading(), sort_keys=True)

    def reading(self) -> dict[str, Any]:
        """Plain JSON values of how rows become texts and label ids."""
        return {
            "text": list(self.text),
            "options": list(self.options),
            "derived": [self.derived.function.__name__, self.derived.version] if self.derived else None,
            "label": self.label,
            "labels": None if self.labels is None else list(self.labels),
            "blanks": self.blanks,
        }
