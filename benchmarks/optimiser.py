"""What the update of a pack costs: Adam for k members, here and by another tree of this repository in turn.

    git worktree add ../before COMMIT
    python -m benchmarks.optimiser --beside ../before --device cuda

LoRA (rank 8) with the shapes of RoBERTa-Base, for packs of 1, 8 and 32; and fine-tuning with those of MiniLM, alone.
A step is the update and a backward pass through a product per tensor. Each measurement is a process of its own.
"""

from __future__ import annotations

import sys
from pathlib import Path

if sys.path[0] == str(Path(__file__).parent):  # run as a script: this folder's statistics.py is not Python's
    sys.path[0] = str(Path(__file__).parents[1])

import argparse
import json
import os
import subprocess
import time
from statistics import median

import torch

ROOT = Path(__file__).parents[1]
PACKS = (1, 8, 32)
STEPS = 30

HEAD = {"head.weight": (2, 768), "head.bias": (2,)}
LORA = {
    f"{site}_{part}": shape for site in ("query", "value") for part, shape in [("a", (12, 8, 768)), ("b", (12, 768, 8))]
}
_LAYER = [(384, 384)] * 4 + [(384,)] * 9 + [(1536, 384), (384, 1536), (1536,)]
MINILM = {"words": (30_522, 384), "positions": (512, 384)} | {
    f"{layer}.{i}": shape for layer in range(6) for i, shape in enumerate(_LAYER)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beside", type=Path, help="the other tree")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        print(json.dumps(measured(torch.device(options.device))))
        return
    trees = [ROOT] if options.beside is None else [options.beside.resolve(), ROOT]
    found: dict[Path, list[dict[str, float]]] = {tree: [] for tree in trees}
    for _ in range(options.rounds):
        for tree in trees:
            command = [sys.executable, __file__, "--once", "--device", options.device]
            environment = {**os.environ, "PYTHONPATH": str(tree)}
            ran = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            found[tree].append(json.loads(ran.stdout.splitlines()[-1]))
    for tree, rounds in found.items():
        times = ", ".join(f"{name} {median(one[name] for one in rounds):.2f}" for name in rounds[0])
        print(f"{tree.name:12} milliseconds per step: {times}")


def measured(device: torch.device) -> dict[str, float]:
    """Milliseconds of a step, by what is trained."""
    lora = {f"LoRA, k = {k}": step_time(LORA | HEAD, k, device) for k in PACKS}
    return lora | {"fine-tuning": step_time(MINILM, 1, device)}


def step_time(shapes: dict[str, tuple[int, ...]], k: int, device: torch.device) -> float:
    """Milliseconds of one step of ``k`` members with tensors of these shapes: the median of ``STEPS``."""
    from trainables.optim import Members

    members = Members([{n: torch.randn(s) for n, s in shapes.items()}] * k, [1e-3 * (i + 1) for i in range(k)], device)
    factors = {n: torch.randn_like(t) for n, t in members.stacked.items()}
    times = []
    for _ in range(STEPS):
        loss = torch.stack([(t * factors[n]).sum() for n, t in members.stacked.items()]).sum()
        _wait(device)
        started = time.perf_counter()
        members.step(loss)
        _wait(device)
        times.append(time.perf_counter() - started)
    return 1e3 * median(times)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
