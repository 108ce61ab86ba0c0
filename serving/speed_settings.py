"""What ``aot speed`` measures: the points of section 4.3 of the paper, and those that it leaves out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from common.speed import Point
from serving.speed_statistics import LEAST_PAIRS
from trainables import methods
from trainables.methods import Method

#: The paper's three, and where a backbone of a short name has its sizes from.
BACKBONES = {
    "roberta-base": "roberta-base",
    "roberta-large": "roberta-large",
    "deberta-xl": "microsoft/deberta-xlarge",
}
BATCHES, LENGTHS = (1, 16, 64), (16, 64, 128, 384)
TASKS = (1, 8, 32)
ROWS = ("host", "device", "factors")
DEVICES, PRECISIONS = ("auto", "cpu", "cuda"), ("auto", "float32", "bfloat16", "float16")
#: Evaluations at batch 1, and otherwise (section 4.3); what a short measurement takes at most.
EVALUATIONS, QUICK_EVALUATIONS = (300, 100), (100, 50)
#: Seconds that a short measurement may take in all, and the methods whose further lines it has, at these sizes.
QUICK_SECONDS, QUICK_EXTRA, QUICK_BATCH, QUICK_LENGTH = 420, ("aot_fc", "lora"), 16, 128
#: Its methods: the paper's. Fused rows of P are added alike whatever they were trained as, so one AoT stands for both.
QUICK_METHODS = ("fine_tuning", "adapters", "lora", "bitfit", "p_tuning_v1", "p_tuning_v2", "aot_kronecker", "aot_fc")
QUICK_ONLY_UNFUSED = ("aot_kronecker",)


@dataclass(frozen=True)
class Settings:
    """What is asked for; empty or ``None`` stands for the whole, or for the paper's value.

    ``batches`` in sequences, ``lengths`` in tokens, ``tasks`` served at once. ``evaluations`` of each point, instead of
    the paper's. ``cache_gb``: device memory for rows of P, in 10⁹ bytes; ``scratch``: the folder for a temporary file
    of random rows.

    Raises ValueError for a value that breaks its rule.
    """

    backbones: tuple[str, ...] = ()
    batches: tuple[int, ...] = ()
    lengths: tuple[int, ...] = ()
    methods: tuple[str, ...] = ()
    tasks: tuple[int, ...] = ()
    rows: tuple[str, ...] = ()
    evaluations: int | None = None
    device: str = "auto"
    precision: str = "auto"
    quick: bool = False
    cache_gb: float | None = None
    scratch: Path | None = None

    def __post_init__(self) -> None:
        for name in self.methods:
            methods.get(name)  # ValueError names the known ones
        _known("--rows", self.rows, ROWS)
        _known("--device", (self.device,), DEVICES)
        _known("--precision", (self.precision,), PRECISIONS)
        for option, numbers in (("--batch", self.batches), ("--length", self.lengths), ("--tasks", self.tasks)):
            if wrong := [number for number in numbers if number < 1]:
                raise ValueError(f"{option} takes whole numbers of at least 1, but got {wrong[0]}")
        for option, values in (
            ("--backbone", self.backbones), ("--batch", self.batches), ("--length", self.lengths),
            ("--methods", self.methods), ("--tasks", self.tasks), ("--rows", self.rows),
        ):  # fmt: skip
            if twice := [value for value in values if values.count(value) > 1]:
                raise ValueError(f"{option} names {twice[0]} twice; name each once")
        if self.evaluations is not None and self.evaluations < LEAST_PAIRS:
            raise ValueError(
                f"--evaluations must be at least {LEAST_PAIRS}, as fewer give no interval of 95 %, but got "
                f"{self.evaluations}"
            )
        if self.cache_gb is not None and not 0 < self.cache_gb < 1e6:
            raise ValueError(f"--cache-gb must be positive, but got {self.cache_gb:g}")
        if self.scratch is not None and not self.scratch.is_dir():
            raise ValueError(f"--scratch must be a folder that exists, but {self.scratch} is none; make it first")

    def evaluations_at(self, batch: int) -> int:
        """How often a point of this batch size is evaluated, at most."""
        few, many = QUICK_EVALUATIONS if self.quick else EVALUATIONS
        return self.evaluations or (few if batch == 1 else many)


def _known(option: str, values: Sequence[str], known: Sequence[str]) -> None:
    if wrong := [value for value in values if value not in known]:
        raise ValueError(f"{option} takes {', '.join(known)}, but got {wrong[0]!r}")


def has_rows(kind: type[Method]) -> bool:
    """Whether a method adds rows of P by token id, so that these can be written out (AoT)."""
    return hasattr(kind, "rows")


def points(settings: Settings) -> list[Point]:
    """Every point, in the order in which they are measured.

    Backbone by backbone; of each first what the paper measures (one task; fused rows from the host's memory), then what
    it leaves out: rows on the device and from their factors, several tasks mixed. Line by line, as a cache is filled
    once for all sizes of a batch.
    """
    batches, lengths = settings.batches or BATCHES, settings.lengths or LENGTHS
    names = settings.methods or (QUICK_METHODS if settings.quick else tuple(methods.names()))
    lines = [line for name in names for line in _lines(name, settings)]
    found = []
    for backbone in settings.backbones or tuple(BACKBONES):
        for line in sorted(lines, key=_is_extra):
            sizes = [size for size in product(batches, lengths) if _wanted(settings, *size, line)]
            found += [Point(backbone, batch, length, *line) for batch, length in sizes]
    return found


def _lines(name: str, settings: Settings) -> Iterator[tuple[str, str, int, str]]:
    """A method's lines: ``method, variant, tasks, rows``."""
    kind: Any = methods.get(name)
    mixes = kind.max_members is None
    tasks, rows = settings.tasks or TASKS, settings.rows or ROWS
    for number in tasks:
        if has_rows(kind):
            yield from ((name, "fused", number, place) for place in rows)
            yield name, "unfused", number, ""
        elif not mixes or not kind.fusable:
            if mixes or number == 1:
                yield name, "", number, ""
        else:
            if number == 1:
                yield name, "fused", number, ""
            yield name, "unfused", number, ""


def _is_extra(line: tuple[str, str, int, str]) -> bool:
    """Whether the paper leaves a line out."""
    _, _, tasks, rows = line
    return tasks > 1 or rows not in ("", "host")


def _wanted(settings: Settings, batch: int, length: int, line: tuple[str, str, int, str]) -> bool:
    """What a short measurement leaves out where nobody asks for it by name."""
    method, variant, _, _ = line
    if not settings.quick or settings.methods:
        return True
    if variant == "fused" and method in QUICK_ONLY_UNFUSED:
        return False
    batches, lengths = settings.batches or (QUICK_BATCH,), settings.lengths or (QUICK_LENGTH,)
    return not _is_extra(line) or (method in QUICK_EXTRA and batch in batches and length in lengths)
