"""What ``benchmarks/serving.py`` measures: points, ways, and what ``--size`` stands for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from benchmarks._training_grid import MINILM
from trainables.trial import Precision

Side = Literal["plain", "ours", "peer"]
Mix = Literal["even", "random"]


@dataclass(frozen=True)
class Point:
    """Batches of ``rows`` rows of ``tasks`` tasks.

    ``mix``: whether each task has as many rows of a batch as the others (where there are more tasks than rows, those
    of the next batch are the next ones), or every row is of a task that is drawn for it.
    """

    tasks: int
    rows: int
    mix: Mix = "even"

    def __str__(self) -> str:
        each = "a task" if self.tasks == 1 else f"{self.tasks} tasks"
        return f"{each} in {self.rows} rows" + (", drawn" if self.mix == "random" else "")


@dataclass(frozen=True)
class Way:
    """Who answers, and how.

    ``form``: of the plain backbone, ``plain``; of ours, ``lora`` or ``aot_fc``; of the peer, ``peft`` for one mixed
    batch with PEFT's ``adapter_names`` or ``models`` for one model per task. ``rows``: of P, as the engine takes it.
    ``compiled``: by torch.compile. ``cut``: batches are cut by length as our engine does it. ``products``: the
    peer's linears by our way of multiplying (``trainables/products.py``). ``attention``: the library's name of one.
    """

    side: Side
    form: str
    rows: Literal["host", "device", "factors"] | None = None
    compiled: bool = False
    cut: bool = False
    products: bool = False
    attention: Literal["sdpa", "eager"] = "sdpa"

    def __str__(self) -> str:
        name = {"plain": "the plain backbone", "peft": "PEFT", "models": "one model per task"}.get(self.form)
        name = name or f"ours, {'LoRA' if self.form == 'lora' else f'AoT, {self.rows}'}"
        more = {", compiled": self.compiled, ", cut": self.cut and self.form == "peft", ", our products": self.products}
        more[", attention written out"] = self.attention == "eager"
        return name + "".join(words for words, so in more.items() if so)

    def fits(self, point: Point) -> bool:
        """Whether there is anything to measure: what is compiled is compiled anew for every mix of tasks."""
        return not self.compiled or point.mix == "even"


PLAIN = Way("plain", "plain", cut=True)
PEFT = Way("peer", "peft")
PEFT_CUT = Way("peer", "peft", cut=True)
COMPILED = Way("peer", "peft", compiled=True)
PRODUCTS = Way("peer", "peft", cut=True, products=True)
MODELS = Way("peer", "models", cut=True)
LORA = Way("ours", "lora")
AOT = tuple(Way("ours", "aot_fc", rows=rows) for rows in ("host", "device", "factors"))

#: On a CPU our linears multiply float32 numbers in another way than the library's; this shows how much that is.
CPU_WAYS = (PLAIN, AOT[0], PEFT, LORA, MODELS, AOT[2], PEFT_CUT, AOT[1], PRODUCTS, COMPILED)
WAYS = tuple(way for way in CPU_WAYS if not way.products)
#: On a CPU the library's fused attention is slow in bfloat16.
WRITTEN_OUT = tuple(replace(way, attention="eager") for way in (PEFT_CUT, MODELS))

POINTS = tuple(Point(tasks, rows) for tasks in (1, 8, 32) for rows in (16, 64))
DRAWN = (Point(8, 64, "random"), Point(32, 64, "random"))


@dataclass(frozen=True)
class Section:
    """Points that are measured with one backbone, one precision and the texts of one task."""

    name: str
    backbone: str
    texts: str
    precision: Precision
    points: tuple[Point, ...]
    ways: tuple[Way, ...]
    rounds: int
    max_length: int = 128
    rank: int = 8
    aot_rank: int = 64


@dataclass(frozen=True)
class Size:
    """``calls``: timed batches of a way in one turn, after ``warm`` that are not. ``distinct``: of the artifacts with
    rows of P; further tasks have the same P in the same file under names of their own. ``minutes``: what runs then is
    given up."""

    sections: tuple[Section, ...]
    device: Literal["cpu", "cuda"]
    minutes: float
    calls: int
    warm: int
    distinct: int
    cache_bytes: int


@dataclass(frozen=True)
class Bench:
    """Where and until when (of time.time) everything runs. ``threads``: of every process."""

    size: Size
    device: Literal["cpu", "cuda"]
    threads: int
    folder: Path
    data_dir: str | None
    until: float


def _cpu() -> tuple[Section, ...]:
    def section(name: str, texts: str, precision: Precision, points: tuple[Point, ...], rounds: int) -> Section:
        ways = CPU_WAYS if precision == "float32" else (*WAYS, *WRITTEN_OUT)
        return Section(name, MINILM, texts, precision, points, ways, rounds)

    return (
        section("MiniLM, MRPC, float32", "glue/mrpc", "float32", (*POINTS, *DRAWN), 3),
        section("MiniLM, MRPC, bfloat16", "glue/mrpc", "bfloat16", POINTS, 2),
        section("MiniLM, SST-2, float32", "glue/sst-2", "float32", POINTS[2:4], 2),
    )


def _card() -> tuple[Section, ...]:
    def section(backbone: str, texts: str, precision: Precision, points: tuple[Point, ...]) -> Section:
        name = f"{backbone}, {texts}, {precision}"
        return Section(name, backbone, texts, precision, points, WAYS, rounds=3)

    return (
        section("roberta-base", "glue/mrpc", "bfloat16", (*POINTS, *DRAWN)),
        section("roberta-base", "glue/mrpc", "float32", POINTS),
        section("roberta-base", "glue/sst-2", "bfloat16", POINTS[2:4]),
    )


_TINY = Section(
    "tiny", "tiny", "demo/entailment", "float32",
    (Point(1, 4), Point(3, 6), Point(3, 6, "random")),
    (PLAIN, AOT[0], PEFT_CUT, LORA, MODELS, AOT[2]), rounds=2, max_length=48, rank=2, aot_rank=4,
)  # fmt: skip

SIZES = {
    "tiny": Size((_TINY,), "cpu", 8.0, calls=2, warm=1, distinct=2, cache_bytes=1 << 20),
    "cpu": Size(_cpu(), "cpu", 14.0, calls=4, warm=2, distinct=8, cache_bytes=1 << 30),
    "gpu": Size(_card(), "cuda", 7.5, calls=30, warm=6, distinct=4, cache_bytes=4 << 30),
}
