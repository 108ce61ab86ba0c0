"""What masks that are each member's own cost, beside the library's dropout, which draws for the whole batch at once.

    python benchmarks/dropout.py
    python benchmarks/dropout.py --device cuda --precision bfloat16 --members 16 --json dropout.json

One layer's work where there is dropout, forwards and backwards: the hidden states, and the attention with its weights.
Ours and the library's take turns in one process, so that a busy machine is busy for both; the ratio is what counts.
"""

from __future__ import annotations

import sys
from pathlib import Path

if sys.path[0] == str(Path(__file__).parent):  # run as a script: this folder's statistics.py is not Python's
    sys.path[0] = str(Path(__file__).parents[1])

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from statistics import median
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from trainables import dropout
from trainables.backbones._attention import attend
from trainables.backbones._seams import Seams
from trainables.batch import Batch

P = 0.1


def batch_of(members: int, sequences: int, tokens: int, device: str) -> Batch:
    """Sequences without padding, in training."""
    ids = torch.ones(members * sequences, tokens, dtype=torch.int64)
    labels = torch.zeros(members, sequences, dtype=torch.int64)
    return Batch(ids, ids, 0 * ids, labels, 1, (0,) * members, torch.arange(members)).to(device)


def candidates(batch: Batch, width: int, heads: int, dtype: torch.dtype) -> dict[str, dict[str, Callable[[], None]]]:
    """By what they do, the ways to do it; each computes gradients too."""
    device, (rows, tokens) = batch.input_ids.device, batch.input_ids.shape
    hidden = torch.randn(rows, tokens, width, device=device, dtype=dtype, requires_grad=True)
    parts = torch.randn(3, rows, heads, tokens, width // heads, device=device, dtype=dtype, requires_grad=True)
    mask = batch.attention_mask.bool()
    own: Any = SimpleNamespace(mask=mask, seams=Seams(), batch=batch, attention_dropout=P, wanted=None)
    without: Any = SimpleNamespace(**{**vars(own), "batch": replace(batch, streams=None)})

    def backwards(output: Tensor) -> None:
        output.sum().backward()
        hidden.grad = parts.grad = None

    def library(p: float) -> Tensor:
        return functional.scaled_dot_product_attention(*parts, attn_mask=mask[:, None, None, :], dropout_p=p)

    return {
        "hidden states": {
            "ours": lambda: backwards(dropout.of_tokens(hidden, P, batch, "benchmark")),
            "library": lambda: backwards(functional.dropout(hidden, P)),
        },
        "attention": {
            "ours": lambda: backwards(attend(own, 0, *parts)),
            "library": lambda: backwards(library(P)),
            "library, without dropout": lambda: backwards(attend(without, 0, *parts)),
        },
    }


def measure(ways: Mapping[str, Callable[[], None]], repeats: int, device: str) -> dict[str, float]:
    """Median milliseconds of each, taken in turns."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 2):
        for name, run in ways.items():
            started = time.perf_counter()
            run()
            if device == "cuda":
                torch.cuda.synchronize()
            if repeat >= 2:  # the first ones compile and warm up
                times[name].append((time.perf_counter() - started) * 1_000)
    return {name: median(taken) for name, taken in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--sequences", type=int, default=16, help="of each member (default: 16)")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (default: 1)")
    parser.add_argument("--json", help="write the numbers to this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    batch = batch_of(options.members, options.sequences, options.tokens, options.device)
    every = candidates(batch, options.width, options.heads, getattr(torch, options.precision))
    found = {what: measure(ways, options.repeats, options.device) for what, ways in every.items()}
    for what, times in found.items():
        for name, taken in times.items():
            print(f"{what:14} {name:26} {taken:9.3f} ms   {taken / times['library']:.2f} of the library's")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({**vars(options), "milliseconds": found}, file, indent=2)
        print(f"written to {options.json}", file=sys.stderr)


if __name__ == "__main__":
    main()
