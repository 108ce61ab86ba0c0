"""Batches by length, on a schedule that depends on the task and not on the seed.

Every epoch, examples are put in order of length and cut into batches, and eight neighbouring batches make a pool.
Each member deals the examples of a pool to its batches in its own random order. The order of the batches is random
too, but the same for all members: at step t they all work on the same pool, so their batches have like lengths and
little is padding. Where the pools begin changes from epoch to epoch, so that examples near a border mix too.

What a member sees in an epoch depends on its seed, the epoch, the task's name and the batch size alone: it is the same
in a pack of any size as on its own, and the same after a restart. So do the streams of its dropout.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

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
    examples: Examples,
    *,
    seeds: Sequence[int],
    epoch: int,
    batch_size: int,
    task_name: str,
    pad_token_id: int,
    first: int = 0,
) -> Iterator[Batch]:
    """The batches of one epoch for the members of a pack, one of each ``seeds``.

    Args:
        examples: the train split.
        seeds: one per member.
        epoch: counted from 1.
        batch_size: examples per member; one batch of the epoch may be smaller, where the examples do not divide.
        task_name: decides on the order of lengths.
        pad_token_id: fills short sequences up.
        first: how many batches are left out, of an epoch in whose middle training goes on.

    Yields:
        ``Batch`` of ``k = len(seeds)`` members, padded to the longest sequence in it, with the streams of its dropout.
    """
    import torch  # here, as a plan counts a task's tokens without it

    if batch_size < 1 or not seeds or len(examples) == 0:
        raise ValueError(
            "a pack needs a batch size of at least 1, a seed and an example, "
            f"but got batch_size={batch_size}, seeds={list(seeds)} and {len(examples)} examples"
        )
    lengths = examples.lengths
    plans = [schedule(lengths, seed=seed, epoch=epoch, batch_size=batch_size, task_name=task_name) for seed in seeds]
    for step, members in itertools.islice(enumerate(zip(*plans, strict=True)), first, None):
        streams = [seed_of(f"{seed}/{epoch}/{step}/dropout") >> 1 for seed in seeds]
        yield replace(collate(examples, np.stack(members), pad_token_id), streams=torch.tensor(streams))


def collate(examples: Examples, members: np.ndarray, pad_token_id: int) -> Batch:
    """A batch of the examples ``members`` ``(k, examples of one member)``."""
    import torch

    k, flat = len(members), members.ravel()
    widths = examples.lengths[members].max(1)  # (k,)
    width = int(widths.max())
    ids, mask, types = examples.padded(examples.sequences(flat), width, pad_token_id)
    distinct, where, spare = _distinct(ids.reshape(k, -1), mask.reshape(k, -1), pad_token_id)
    return Batch(
        input_ids=torch.from_numpy(ids),
        attention_mask=torch.from_numpy(mask),
        token_type_ids=torch.from_numpy(types),
        distinct=torch.from_numpy(distinct),
        where=torch.from_numpy(where),
        labels=torch.from_numpy(examples.labels[members]),
        choices=examples.choices,
        padding=tuple(width - own for own in widths.tolist()),
        spare=spare,
    )


def _distinct(ids: np.ndarray, mask: np.ndarray, pad_token_id: int) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """The distinct real ids of each row of ``ids`` ``(k, m)``, and behind them the padding's where there is padding.

    Returns them ``(k, u)``, where each id is ``(k, m)`` int64, and how many in each row are of no real token.
    """
    found = [np.unique(row[real], return_inverse=True) for row, real in zip(ids, mask.astype(bool), strict=True)]
    width = max(len(values) for values, _ in found) + int(not mask.all())
    distinct = np.full((len(ids), width), pad_token_id)
    where = np.empty_like(ids)
    for i, (values, inverse) in enumerate(found):
        distinct[i, : len(values)] = values
        where[i] = len(values) if len(values) < width else 0
        where[i, mask[i].astype(bool)] = inverse
    return distinct, where, tuple(width - len(values) for values, _ in found)


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
        padding=batch.padding * members,
        spare=batch.spare * members,
    )
