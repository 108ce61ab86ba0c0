"""Batches by length, on a schedule that depends on the task and not on the seed.

Every epoch, examples are put in order of length and cut into batches, and eight neighbouring batches make a pool.
Each member deals the examples of a pool to its batches in its own random order. The order of the batches is random
too, but the same for all members: at step t they all work on the same pool, so their batches have like lengths and
little is padding. Where the pools begin changes from epoch to epoch, so that examples near a border mix too.

What a member sees in an epoch depends on its seed, the epoch, the task's name and the batch size alone: it is the same
in a pack of any size as on its own, and the same after a restart.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from common.seeds import seed_of
from trainables.batch import Batch
from trainables.data.examples import Examples

#: Neighbouring batches among which a member shuffles: wide enough to mix, narrow enough that lengths are alike.
POOL = 8


def generator(*names: object) -> np.random.Generator:
    """A generator for one purpose, seeded by the purpose's names."""
    return np.random.default_rng(seed_of("/".join(map(str, names)), size=16))


def schedule(lengths: np.ndarray, *, seed: int, epoch: int, batch_size: int, task_name: str) -> list[np.ndarray]:
    """One member's batches of one epoch: the examples' indices, each example once.

    Where the examples do not divide by ``batch_size``, one batch is smaller, at the same place for every member.
    """
    examples = len(lengths)
    shared, own = generator(task_name, epoch, "schedule"), generator(seed, epoch, "batches")
    count = -(-examples // batch_size)
    sizes = np.full(count, batch_size)
    sizes[shared.integers(count)] -= count * batch_size - examples
    ends = np.cumsum(sizes)  # in examples, by length
    first = int(shared.integers(1, POOL + 1))
    borders = sorted({0, *range(first, count, POOL), count})  # in batches

    by_length = own.permutation(examples)  # shuffled first: examples of one length come in the member's own order
    by_length = by_length[np.argsort(lengths[by_length], kind="stable")]
    starts = ends - sizes
    for begin, end in itertools.pairwise(borders):
        own.shuffle(by_length[starts[begin] : ends[end - 1]])
    return [by_length[starts[b] : ends[b]] for b in shared.permutation(count)]


def train_batches(
    examples: Examples, *, seeds: Sequence[int], epoch: int, batch_size: int, task_name: str, pad_token_id: int
) -> Iterator[Batch]:
    """The batches of one epoch for the members of a pack, one of each ``seeds``.

    Args:
        examples: the train split.
        seeds: one per member.
        epoch: counted from 1.
        batch_size: examples per member; one batch of the epoch may be smaller, where the examples do not divide.
        task_name: decides on the order of lengths.
        pad_token_id: fills short sequences up.

    Yields:
        ``Batch`` of ``k = len(seeds)`` members, padded to the longest sequence in it.
    """
    if batch_size < 1 or not seeds or len(examples) == 0:
        raise ValueError(
            "a pack needs a batch size of at least 1, a seed and an example, "
            f"but got batch_size={batch_size}, seeds={list(seeds)} and {len(examples)} examples"
        )
    lengths = examples.lengths
    plans = [schedule(lengths, seed=seed, epoch=epoch, batch_size=batch_size, task_name=task_name) for seed in seeds]
    for members in zip(*plans, strict=True):
        yield collate(examples, np.stack(members), pad_token_id)


def collate(examples: Examples, members: np.ndarray, pad_token_id: int) -> Batch:
    """A batch of the examples ``members`` ``(k, examples of one member)``."""
    k, flat = len(members), members.ravel()
    width = int(examples.lengths[flat].max())
    ids, mask, types = examples.padded(examples.sequences(flat), width, pad_token_id)
    distinct, where = _distinct(ids.reshape(k, -1))
    return Batch(
        input_ids=torch.from_numpy(ids),
        attention_mask=torch.from_numpy(mask),
        token_type_ids=torch.from_numpy(types),
        distinct=torch.from_numpy(distinct),
        where=torch.from_numpy(where),
        labels=torch.from_numpy(examples.labels[members]),
        choices=examples.choices,
    )


def _distinct(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values of each row of ``ids`` ``(k, m)``, padded by repeating the first; and where each id is."""
    found = [np.unique(row, return_inverse=True) for row in ids]
    width = max(len(values) for values, _ in found)
    distinct = np.stack([np.pad(values, (0, width - len(values)), constant_values=values[0]) for values, _ in found])
    return distinct, np.stack([inverse.reshape(-1) for _, inverse in found]).astype(np.int64)


def dev_batches(
    examples: Examples, *, members: int, tokens: int, pad_token_id: int
) -> Iterator[tuple[Batch, np.ndarray]]:
    """Batches by length, the same examples for every member; the longest first: what does not fit fails at once.

    Args:
        examples: the dev split.
        members: ``k``.
        tokens: the most padded tokens in a batch, all members together; one example always fits.
        pad_token_id: fills short sequences up.

    Yields:
        the batch of ``k`` members, and the indices ``(examples of one member,)`` int64 of its examples.
    """
    order = np.argsort(-examples.lengths, kind="stable")
    start = 0
    while start < len(order):
        width = int(examples.lengths[order[start]])
        take = max(1, tokens // (members * examples.choices * width))
        indices = order[start : start + take]
        yield _repeat(collate(examples, indices[None], pad_token_id), members), indices
        start += take


def _repeat(batch: Batch, members: int) -> Batch:
    """The same sequences for every member of a pack."""
    return Batch(
        input_ids=batch.input_ids.repeat(members, 1),
        attention_mask=batch.attention_mask.repeat(members, 1),
        token_type_ids=batch.token_type_ids.repeat(members, 1),
        distinct=batch.distinct.repeat(members, 1),
        where=batch.where.repeat(members, 1),
        labels=batch.labels.repeat(members, 1),
        choices=batch.choices,
    )
