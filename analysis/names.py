"""What methods, tasks, benchmarks and backbones are called in print, and in which order they stand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

from analysis.looks import METHODS, Look, looks

#: What the paper's methods are called where nobody says; a method's own label counts before it.
LABELS = {
    "fine_tuning": "Fine-Tuning", "adapters": "Adapters", "lora": "LoRA", "bitfit": "BitFit",
    "p_tuning_v1": "P-Tuning v1", "p_tuning_v2": "P-Tuning v2",
    "aot_kronecker": "Kron. AoT P-Tuning", "aot_fc": "FC AoT P-Tuning",
}  # fmt: skip
BENCHMARKS = {"glue": "GLUE", "superglue": "SuperGLUE", "demo": "Demo"}
_TASKS = {
    "glue": ("STS-B", "SST-2", "RTE", "QQP", "QNLI", "MRPC", "MNLI", "CoLA"),  # in the order of the paper's tables
    "superglue": ("RTE", "COPA", "WSC", "WiC", "MultiRC", "CB", "BoolQ"),
}
BACKBONES = {
    "roberta-base": "RoBERTa-Base", "roberta-large": "RoBERTa-Large", "deberta-xl": "DeBERTa-XL",
    "minilm": "MiniLM", "all-minilm-l6-v2": "MiniLM-L6",
}  # fmt: skip
#: Parameters in millions of backbones that are known by name, as their papers or model cards give them.
_MILLIONS = {
    "minilm": 23, "allminilml6v2": 23, "distilbertbaseuncased": 66, "distilrobertabase": 82, "mpnetbase": 109,
    "bertbaseuncased": 110, "bertbasecased": 110, "electrabasediscriminator": 110, "robertabase": 125,
    "debertabase": 139, "debertav3base": 184, "xlmrobertabase": 278, "bertlargeuncased": 336, "bertlargecased": 336,
    "electralargediscriminator": 335, "robertalarge": 355, "debertalarge": 405, "debertav3large": 435,
    "xlmrobertalarge": 560, "debertaxl": 750, "debertaxlarge": 750, "debertav2xlarge": 900, "debertav2xxlarge": 1500,
}  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """What the methods of the report in hand are called and look like, and how large its backbones are."""

    labels: Mapping[str, str] = field(default_factory=dict)
    looks: Mapping[str, Look] = field(default_factory=dict)
    sizes: Mapping[str, float] = field(default_factory=dict)


_NOTHING = Shown()
SHOWN = ContextVar("shown", default=_NOTHING)


def look(method: str) -> Look:
    """A method's look in the report in hand; outside of one, its first choice."""
    shown = SHOWN.get().looks
    return shown[method] if method in shown else looks([method])[method]


def methods(names: Iterable[str]) -> list[str]:
    """Methods in the order of the tables: the known ones first, others by name."""
    known = list(METHODS)
    return sorted(set(names), key=lambda name: (known.index(name) if name in METHODS else len(known), name))


def tasks(names: Iterable[str]) -> list[str]:
    """Tasks of one benchmark in the order of the paper's tables, others by name."""

    def place(name: str) -> tuple[int, str]:
        order = [plain(t) for t in _TASKS.get(name.split("/", maxsplit=1)[0], ())]
        short = plain(name.rsplit("/", maxsplit=1)[-1])
        return (order.index(short) if short in order else len(order), name)

    return sorted(set(names), key=place)


def benchmarks(names: Iterable[str]) -> list[str]:
    """Benchmarks in the order of the paper's tables, others by name."""
    known = list(BENCHMARKS)
    return sorted(set(names), key=lambda name: (known.index(name) if name in BENCHMARKS else len(known), name))


def backbones(names: Iterable[str], sizes: Mapping[str, float] | None = None) -> list[str]:
    """Backbones from small to large, those whose size nobody knows last and by name.

    Known ones go by their published parameters; of others ``sizes`` tells what fine-tuning trains, by default in the
    runs of the report in hand.
    """
    given = SHOWN.get().sizes if sizes is None else sizes

    def place(name: str) -> tuple[float, str]:
        millions = _MILLIONS.get(plain(name.rstrip("/").rsplit("/", maxsplit=1)[-1]))
        return (millions * 1e6 if millions else given.get(name, float("inf")), name)

    return sorted(set(names), key=place)


def method(name: str) -> str:
    """A method's name in print: its label in the report in hand, else the paper's, else made from its id."""
    shown = SHOWN.get().labels
    return shown[name] if name in shown else LABELS.get(name, name.replace("_", " ").title())


def task(name: str) -> str:
    """A task's name in print, without its benchmark: ``glue/sst-2`` is SST-2."""
    benchmark, _, short = name.rpartition("/")
    known = {plain(t): t for t in _TASKS.get(benchmark, ())}
    return known.get(plain(short), short)


def benchmark(name: str) -> str:
    """A benchmark's name in print."""
    return BENCHMARKS.get(name, name)


def backbone(name: str) -> str:
    """A backbone's name in print."""
    return BACKBONES.get(name, name)


def sentences(text: str, end: str = r"(?<=[.?]) (?=[A-Z])") -> list[str]:
    """A text's sentences, which end as the pattern ``end`` says, but not in a name such as Kron. AoT P-Tuning."""
    for label in {*LABELS.values(), *SHOWN.get().labels.values()}:
        text = text.replace(label, label.replace(" ", "\0"))
    return [part.replace("\0", " ") for part in re.split(end, text)]


def plain(name: str) -> str:
    """A name without case and punctuation, to tell that ``sst2`` and ``SST-2`` are one."""
    return "".join(c for c in name.lower() if c.isalnum())
