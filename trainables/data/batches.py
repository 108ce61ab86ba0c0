"""Batches by length, on a schedule that depends on the task and not on the seed.

Every epoch, examples are put in order of length and cut into batches, and up to eight neighbouring batches make a pool:
fewer where the lengths of eight are so unlike that too much would be padding (``pieces.py``). Each member deals the
examples of a pool to its batches in its own random order. The order of the batches is random too, but the same for all
members: at step t they all work on the same pool, so their batches have like lengths and little is padding. Where the
pools begin changes from epoch to epoch, so that examples near a border mix too.

What a member sees in an epoch depends on its seed, the epoch, the task's name and the batch size alone: it is the same
in a pack of any size as on its own, and the same after a restart. So do the streams of its dropout.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from common.seeds import seed_of
from trainables.batch import Batch, Distinct
from trainables.data.examples import Examples
from trainables.data.pieces import pieces

#: Neighbouring batches among which a member shuffles at most: wide enough to mix, narrow enough that lengths are alike.
POOL = 8


def generator(*names: object) -> np.random.Generator:
    """A generator for one purpose, seeded by the purpose's names."""
    return np.random.default_rng(seed_of("/".join(map(str, names)), size=16))


def schedule(examples: Examples, *, seed: int, epoch: int, batch_size: int, task_name: str) -> list[np.ndarray]:
    """One member's batches of one epoch: the examples' indices, each example once.

    Where the examples do not divide by ``batch_size``, one batch is smaller, at the same place for every member.
    Of the tokens of all members' batches ``pieces.MOST_PADDING`` at most are padding, or what it takes where even
    batches of neighbours in length have more.
    """
    shared, own = generator(task_name, epoch, "schedule"), generator(seed, epoch, "batches")
    count = -(-len(examples) // batch_size)
    sizes = np.full(count, batch_size)
    sizes[shared.integers(count)] -= count * batch_size - len(examples)
    ends = np.cumsum(sizes)  # of the batches, in examples by length
    first = int(shared.integers(POOL))
    borders = sorted({0, *ends[first::POOL].tolist(), len(examples)})

    by_length = own.permutation(len(examples))  # shuffled first: those of one length come in the member's own order
    by_length = by_length[np.argsort(examples.lengths[by_length], kind="stable")]
    pools = pieces(examples.lengths[by_length], borders, allowed=ends, real=examples.real_tokens)
    for begin, end in itertools.pairwise(pools):
        own.shuffle(by_length[begin:end])
    batches = np.split(by_length, ends[:-1])
    return [batches[b] for b in shared.permutation(count)]


def train_batches(
    examples: Examples,
    *,
    seeds: Sequence[int],
    epoch: int,
    batch_size: int,
    task_name: str,
    pad_token_id: int,
    distinct: bool = False,
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
        distinct: whether the batches name each token of a member once, too.
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
    plans = [schedule(examples, seed=seed, epoch=epoch, batch_size=batch_size, task_name=task_name) for seed in seeds]
    for step, members in itertools.islice(enumerate(zip(*plans, strict=True)), first, None):
        streams = [seed_of(f"{seed}/{epoch}/{step}/dropout") >> 1 for seed in seeds]
        batch = collate(examples, np.stack(members), pad_token_id, distinct=distinct)
        yield replace(batch, streams=torch.tensor(streams))


def collate(examples: Examples, members: np.ndarray, pad_token_id: int, *, distinct: bool = False) -> Batch:
    """A batch of the examples ``members`` ``(k, examples of one member)``."""
    import torch

    k, flat = len(members), members.ravel()
    widths = examples.lengths[members].max(1)  # (k,)
    width = int(widths.max())
    ids, mask, types = examples.padded(examples.sequences(flat), width, pad_token_id)
    return Batch(
        input_ids=torch.from_numpy(ids),
        attention_mask=torch.from_numpy(mask),
        token_type_ids=torch.from_numpy(types),
        labels=torch.from_numpy(examples.labels[members]),
        choices=examples.choices,
        padding=tuple(width - own for own in widths.tolist()),
        tokens=distinct_of(ids.reshape(k, -1), mask.reshape(k, -1) > 0, pad_token_id) if distinct else None,
    )


def distinct_of(ids: np.ndarray, real: np.ndarray, pad_token_id: int) -> Distinct:
    """The distinct real ids of each row of ``ids`` ``(k, m)``, and behind them the padding's where there is padding."""
    import torch

    found = [np.unique(row[own], return_inverse=True) for row, own in zip(ids, real, strict=True)]
    width = max(len(values) for values, _ in found) + int(not real.all())
    distinct = np.full((len(ids), width), pad_token_id)
    where = np.empty_like(ids)
    for i, (values, inverse) in enumerate(found):
        distinct[i, : len(values)] = values
        where[i] = len(values)  # the padding's
        where[i, real[i]] = inverse
    spare = tuple(width - len(values) for values, _ in found)
    return Distinct(torch.from_numpy(distinct), torch.from_numpy(where), spare)


def dev_batches(
    examples: Examples, *, members: int, tokens: int, pad_token_id: int, distinct: bool = False
) -> Iterator[tuple[Batch, np.ndarray]]:
    """Batches by length, the same examples for every member; the longest first: what does not fit fails at once.

    A batch ends where it is full, or where ``pieces`` ends it to save padding.

    Args:
        examples: the dev split.
        members: ``k``.
        tokens: the most padded tokens in a batch, all members together; one example always fits.
        pad_token_id: fills short sequences up.
        distinct: whether the batches name each token of a member once, too.

    Yields:
        the batch of ``k`` members, and the indices ``(examples of one member,)`` int64 of its examples.
    """
    order = np.argsort(examples.lengths, kind="stable")
    lengths = examples.lengths[order]
    full = full_batches(lengths, members * examples.choices, tokens)
    borders = pieces(lengths, full, allowed=np.arange(len(order)), real=examples.real_tokens)
    for begin, end in reversed(list(itertools.pairwise(borders))):
        indices = order[begin:end]
        yield _repeat(collate(examples, indices[None], pad_token_id, distinct=distinct), members), indices


def full_batches(lengths: np.ndarray, sequences: int, tokens: int) -> list[int]:
    """Borders of batches of at most ``tokens``, filled from the longest on.

    ``lengths``: ``(examples,)``, ascending; each example is ``sequences`` of its length. One always fits.
    """
    borders = [len(lengths)]
    while borders[-1] > 0:
        fitting = tokens // (sequences * int(lengths[borders[-1] - 1]))
        borders.append(max(0, borders[-1] - max(1, fitting)))
    return borders[::-1]


def _repeat(batch: Batch, members: int) -> Batch:
    """The same sequences for every member of a pack."""
    once = batch.tokens
    return replace(
        batch,
        input_ids=batch.input_ids.repeat(members, 1),
        attention_mask=batch.attention_mask.repeat(members, 1),
        token_type_ids=batch.token_type_ids.repeat(members, 1),
        labels=batch.labels.repeat(members, 1),
        padding=batch.padding * members,
        tokens=once and Distinct(once.ids.repeat(members, 1), once.where.repeat(members, 1), once.spare * members),
    )
