"""What a report gives back: a section of words, tables and figures. Also what its siblings share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure

from analysis import style
from analysis.evp import Estimator, Failures
from analysis.predictions import Predictions
from analysis.tables import Table
from analysis.timings import Timings


@dataclass(frozen=True)
class MethodInfo:
    """What a method says of itself: its name in print, and the hyperparameters that its size depends on."""

    label: str
    sizes: tuple[str, ...]


@dataclass(frozen=True)
class Options:
    """What a reader can ask of the whole report, and what is known of the methods, by their names in the frame.

    ``confirmation``: trials of seeds that took no part in any choice, with the frame's columns; reports get all others
    as their frame. ``None`` where there are none.
    ``estimator`` is that of the EVP curves; in these, ``failures`` count with the floor score or are dropped.
    ``against``: the method that all others are compared with, by its id; ``None``: the best one, fine-tuning apart.
    ``margin``: points within which two methods count as equal in practice. ``price``: of a device-hour, in whatever
    currency; ``None``: no axis of money. ``coverage``: what of each cell of the study is trained
    (``analysis.coverage.COLUMNS``); ``None`` where the frame alone tells. ``predictions``: a trial's answers on the dev
    split, by trial id, ``None`` where they were not kept. ``tokens``: a frame of ``analysis.tokens``, ``None`` where no
    file of them was given. ``studies``: the text of each study's file, by its name.
    ``command``: what makes the report again. ``tracking``: the address of the experiment in MLflow's UI, for links.
    ``speed``: what ``aot speed`` measured; ``None`` where no file of it was given.
    """

    paper: bool = False
    estimator: Estimator = "u"
    failures: Failures = "floor"
    against: str | None = None
    margin: float = 1.0
    price: float | None = None
    methods: Mapping[str, MethodInfo] = field(default_factory=dict)
    coverage: pd.DataFrame | None = None
    confirmation: pd.DataFrame | None = None
    predictions: Callable[[str], Predictions | None] = lambda trial_id: None
    tokens: pd.DataFrame | None = None
    studies: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    tracking: str | None = None
    speed: Timings | None = None


DEFAULT = Options()


@dataclass(frozen=True)
class Picture:
    """A figure; ``name`` is the stem of its files, ``title`` its caption and what a screen reader says.

    ``place``: the benchmark and backbone that it is of; empty where it is of several.
    """

    name: str
    title: str
    figure: Figure
    place: tuple[str, str] | tuple[()] = ()


@dataclass(frozen=True)
class Section:
    """``intro`` says in a few sentences what is shown and how to read it; ``blocks`` follow it in order.

    ``part``: the part of the whole report that it stands in; empty for that of its report's ``POSITION``.
    """

    title: str
    intro: str
    blocks: tuple[Table | Picture | str, ...]
    part: str = ""


#: What the first screen answers, in its order, after the findings.
QUESTIONS = ("Which method, and by how much?", "How sure is that?", "At what cost?", "Did the paper hold?")


@dataclass(frozen=True)
class Answer:
    """One sentence or two to one of ``QUESTIONS``. ``place`` as of a table."""

    question: str
    text: str
    place: tuple[str, str] | tuple[()] = ()


#: Signs of a name in the name of a file, which may have 255 in all.
LONGEST = 60


def slug(*names: str) -> str:
    """The stem of a file's name: ``slug("evp", "glue", "org/My Model")`` is ``evp_glue_org-my-model``."""
    return "_".join(re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:LONGEST] or "x" for name in names)


def groups(table: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """``benchmark, backbone, rows`` for each pair that occurs, small backbones first."""
    found = dict(iter(table.groupby(["benchmark", "backbone"])))
    for benchmark in style.benchmarks(benchmark for benchmark, _ in found):
        for backbone in style.backbones(backbone for name, backbone in found if name == benchmark):
            yield benchmark, backbone, found[benchmark, backbone]


def heading(benchmark: str, backbone: str) -> str:
    """``GLUE · RoBERTa-Base``."""
    return f"{style.benchmark(benchmark)} · {style.backbone(backbone)}"


def plural(count: int, noun: str) -> str:
    """``1 trial``, ``2 trials``, ``12,000 trials``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def listed(names: Iterable[str]) -> str:
    """``a, b and c``."""
    words = list(names)
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def span(values: Iterable[int], noun: str) -> str:
    """``5 seeds``, or ``2 to 5 seeds`` where they differ."""
    known = sorted(set(values))
    if not known:
        return f"no {noun}s"
    return plural(known[0], noun) if len(known) == 1 else f"{known[0]} to {plural(known[-1], noun)}"


def hyperparameter_text(value: object) -> str:
    """A hyperparameter as tables print it; empty where an assignment has none of that name."""
    if value is None or value is pd.NA or value != value:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)
