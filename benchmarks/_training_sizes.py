"""What ``--size`` stands for: grids, ways and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks._training_grid import Grid, Way

PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Section:
    """A grid that is trained in several ways. ``peer_trials``: of the plain engine's peer, the first so many."""

    name: str
    grid: Grid
    ways: tuple[Way, ...]
    rounds: int
    peer_trials: int | None = None


@dataclass(frozen=True)
class Size:
    """``minutes``: what runs then is given up; no section or round begins that would not fit before."""

    sections: tuple[Section, ...]
    minutes: float
    scores: Grid
    device: str
    engine: str


def both(precisions: Sequence[str], workers: int, pack: int | None) -> tuple[Way, ...]:
    """Ours and the peer in each precision."""
    return tuple(
        way
        for precision in precisions
        for way in (Way("ours", precision, workers, pack), Way("peer", precision, workers))  # type: ignore[arg-type]
    )


#: A task that a small grid learns: two hundred steps of batches of 16.
LEARNT = Grid(
    task="glue/sst-2", rows=800, dev_rows=400, max_length=64, learning_rates=(1e-3,), seeds=tuple(range(8)), epochs=3
)
TINY = Grid("tiny", "demo/entailment", rows=48, dev_rows=24, batch_size=8, max_length=48, seeds=(0,), epochs=2)

# On a CPU packs have one member unless the study says otherwise; in bfloat16 two pay for texts like MRPC's.
_CORE_WAYS = (*both(PRECISIONS, 2, None), Way("ours", "bfloat16", 2, pack=2))

# One way of each kind that a user has on a card; of ours, packs of two sizes.
_CARD = Way("peer", "bfloat16")
_CARD_WAYS = (
    Way("ours", "bfloat16", pack=32),
    _CARD,
    replace(_CARD, workers=2),
    Way("ours", "bfloat16", pack=8),
    replace(_CARD, workers=4),
    replace(_CARD, half_weights=True),
    replace(_CARD, compiled=True),
)
_FEW_WAYS = (_CARD_WAYS[0], _CARD)


def _card(backbone: str, method: str, task: str = "glue/mrpc") -> Grid:
    config = {"lora": {"rank": 8}, "p_tuning_v2": {"prompt_length": 20}, "aot_fc": {"rank": 64}}[method]
    rates, seeds = (3e-4, 1e-3), tuple(range(16))
    return Grid(backbone, task, method, config, learning_rates=rates, seeds=seeds, precision="bfloat16")


def _card_sections() -> tuple[Section, ...]:
    full = [
        Section(f"{name}, LoRA, MRPC", _card(name, "lora"), ways, rounds=2, peer_trials=4)
        for name, ways in (("roberta-base", _CARD_WAYS), ("roberta-large", _CARD_WAYS[:5]))
    ]
    rest = [
        *((name, method, "mrpc") for name in ("roberta-base", "roberta-large") for method in ("p_tuning_v2", "aot_fc")),
        *(("roberta-base", "lora", task) for task in ("rte", "sst-2")),
    ]
    few = [
        Section(f"{name}, {method}, {task}", _card(name, method, f"glue/{task}"), _FEW_WAYS, 1, peer_trials=2)
        for name, method, task in rest
    ]
    return (*full, *few)


SIZES = {
    "tiny": Size(
        (Section("tiny", TINY, both(("float32",), 2, 1), rounds=1),),
        3.0,
        replace(TINY, seeds=(0, 1), learning_rates=(1e-3,)),
        "cpu",
        "plain",
    ),
    "cpu": Size(
        (Section("MiniLM, LoRA, MRPC", Grid(config={"rank": 8}), _CORE_WAYS, rounds=3),),
        14.0,
        LEARNT,
        "cpu",
        "ray",
    ),
    "gpu": Size(_card_sections(), 7.5, LEARNT, "cuda", "plain"),
}
