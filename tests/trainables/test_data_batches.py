"""The schedule of batches, and what is in a batch."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.batch import Batch
from trainables.data import Examples, dev_batches, train_batches
from trainables.data.batches import POOL, schedule

PAD = 7


def examples_of(lengths: list[int], choices: int = 1, seed: int = 0) -> Examples:
    """Random tokens; the first token of each sequence is its number, the label the example's number."""
    rng = np.random.default_rng(seed)
    sequences = np.repeat(lengths, choices) - np.tile(np.arange(choices), len(lengths)) % np.repeat(lengths, choices)
    offsets = np.cumsum([0, *sequences])
    ids = rng.integers(10, 30, offsets[-1]).astype(np.int32)
    ids[offsets[:-1]] = 1000 + np.arange(len(sequences))
    types = rng.integers(0, 2, offsets[-1]).astype(np.uint8)
    return Examples(ids, types, offsets, np.arange(len(lengths)), choices)


def batches_of(examples: Examples, *, seeds: list[int], epoch: int = 1, batch_size: int = 3) -> list[Batch]:
    return list(
        train_batches(examples, seeds=seeds, epoch=epoch, batch_size=batch_size, task_name="glue/rte", pad_token_id=PAD)
    )


def content(batch: Batch, member: int) -> tuple[list[int], list[list[int]], list[list[int]]]:
    """A member's labels, tokens and token types, without padding."""
    width = batch.input_ids.shape[1]
    mask = batch.attention_mask.view(batch.members, -1, width)[member].bool()
    ids = batch.input_ids.view(batch.members, -1, width)[member]
    types = batch.token_type_ids.view(batch.members, -1, width)[member]
    rows = range(len(mask))
    return (
        batch.labels[member].tolist(),
        [ids[i][mask[i]].tolist() for i in rows],
        [types[i][mask[i]].tolist() for i in rows],
    )


LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=70)


@given(LENGTHS, st.integers(1, 12), st.integers(1, 5), st.lists(st.integers(0, 99), min_size=1, max_size=3))
@settings(deadline=None)
def test_every_example_once_and_batches_alike(
    lengths: list[int], batch_size: int, epoch: int, seeds: list[int]
) -> None:
    plans = [
        schedule(np.array(lengths), seed=seed, epoch=epoch, batch_size=batch_size, task_name="a/b") for seed in seeds
    ]
    for plan in plans:
        assert sorted(np.concatenate(plan)) == list(range(len(lengths)))
        sizes = Counter(map(len, plan))
        assert len(plan) == -(-len(lengths) // batch_size)
        assert set(sizes) <= {batch_size, len(lengths) % batch_size}
        assert len(lengths) % batch_size == 0 or sizes[len(lengths) % batch_size] == 1 or batch_size == 1
        assert [len(b) for b in plan] == [len(b) for b in plans[0]]


@given(st.integers(1, 150), st.integers(1, 9), st.integers(1, 20))
@settings(deadline=None)
def test_a_batch_comes_from_neighbouring_lengths_the_same_for_all_seeds(
    examples: int, batch_size: int, epoch: int
) -> None:
    """With no two lengths alike, members differ only in how a pool's examples are dealt to its batches."""
    lengths = np.random.default_rng(0).permutation(examples)
    plans = [schedule(lengths, seed=seed, epoch=epoch, batch_size=batch_size, task_name="a/b") for seed in range(4)]
    for batches in zip(*plans, strict=True):
        union = np.concatenate([lengths[b] for b in batches])
        assert np.ptp(union) < POOL * batch_size


@given(LENGTHS, st.integers(1, 3), st.integers(1, 12), st.lists(st.integers(0, 5), min_size=1, max_size=4))
@settings(deadline=None, max_examples=60)
def test_a_member_of_a_pack_sees_what_it_sees_alone(
    lengths: list[int], choices: int, batch_size: int, seeds: list[int]
) -> None:
    examples = examples_of(lengths, choices)
    pack = batches_of(examples, seeds=seeds, epoch=2, batch_size=batch_size)
    for member, seed in enumerate(seeds):
        solo = batches_of(examples, seeds=[seed], epoch=2, batch_size=batch_size)
        assert [content(b, member) for b in pack] == [content(b, 0) for b in solo]


@given(LENGTHS, st.integers(1, 3), st.integers(1, 12), st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_batches_keep_their_promises(lengths: list[int], choices: int, batch_size: int, members: int) -> None:
    examples = examples_of(lengths, choices)
    for batch in batches_of(examples, seeds=list(range(members)), batch_size=batch_size):
        assert batch.members == members
        assert batch.choices == choices
        assert batch.labels.shape[1] * choices * members == len(batch.input_ids)
        assert batch.attention_mask.sum(1).max() == batch.input_ids.shape[1]
        assert (batch.input_ids[batch.attention_mask == 0] == PAD).all()
        assert (batch.token_type_ids[batch.attention_mask == 0] == 0).all()
        assert torch.equal(batch.distinct.gather(1, batch.where), batch.input_ids.view(members, -1))
        for row in range(members):
            own = batch.distinct.shape[1] - batch.spare[row]
            real = batch.input_ids.view(members, -1)[row][batch.attention_mask.view(members, -1)[row] > 0]
            assert torch.equal(batch.distinct[row, :own], real.unique())
            assert (batch.distinct[row, own:] == PAD).all()
            columns = batch.attention_mask.view(members, -1, batch.input_ids.shape[1])[row].amax(0)
            assert batch.padding[row] == int((columns == 0).sum())
            labels, sequences, types = content(batch, row)
            expected = [label * choices + c for label in labels for c in range(choices)]
            assert [ids[0] - 1000 for ids in sequences] == expected
            for number, ids, kinds in zip(expected, sequences, types, strict=True):
                span = slice(examples.offsets[number], examples.offsets[number + 1])
                assert ids == examples.ids[span].tolist()
                assert kinds == examples.types[span].tolist()
        for tensor in (batch.input_ids, batch.attention_mask, batch.token_type_ids, batch.distinct, batch.where):
            assert tensor.dtype == torch.int64
            assert tensor.is_contiguous()


def test_seeds_epochs_and_tasks_make_a_difference() -> None:
    lengths = np.random.default_rng(0).integers(5, 50, 200)

    def plan(seed: int = 0, epoch: int = 1, task_name: str = "a/b") -> list[list[int]]:
        made = schedule(lengths, seed=seed, epoch=epoch, batch_size=8, task_name=task_name)
        return [b.tolist() for b in made]

    assert plan() == plan()
    assert plan() != plan(seed=1)
    assert plan() != plan(epoch=2)
    assert [lengths[b].mean() for b in plan()] != sorted(lengths[b].mean() for b in plan())
    assert [lengths[b].mean() for b in plan()] != [lengths[b].mean() for b in plan(task_name="a/c")]


def test_examples_of_one_length_mix_freely() -> None:
    """With all lengths alike the first batch is a fair sample of all examples."""
    lengths = np.full(64, 5)
    firsts = np.concatenate([schedule(lengths, seed=s, epoch=1, batch_size=4, task_name="a/b")[0] for s in range(400)])
    counts = np.bincount(firsts, minlength=64)
    assert counts.min() > 5
    assert counts.max() < 60  # 25 on average


def test_no_two_neighbours_stay_apart_for_ever() -> None:
    """Wherever a pool ends in one epoch, other epochs have batches that reach across."""
    lengths = np.arange(128)
    crossed: set[int] = set()
    for epoch in range(1, 41):
        for batch in schedule(lengths, seed=0, epoch=epoch, batch_size=2, task_name="a/b"):
            crossed |= set(range(batch.min(), batch.max()))
    assert crossed == set(range(127))


def test_little_is_padding() -> None:
    """A pack of four in batches of 16, with a long tail of lengths."""
    lengths = np.clip(np.random.default_rng(0).gamma(2, 12, 2048).astype(int), 4, 128)
    batches = batches_of(examples_of(lengths.tolist()), seeds=[0, 1, 2, 3], batch_size=16)
    share = sum(int(b.attention_mask.sum()) for b in batches) / sum(b.attention_mask.numel() for b in batches)
    without = lengths.mean() / lengths.reshape(-1, 64).max(axis=1).mean()
    assert share > 0.85
    assert without < 0.35


@pytest.mark.parametrize(("batch_size", "seeds", "count"), [(0, [0], 3), (4, [], 3), (4, [0], 0)])
def test_what_makes_no_batch(batch_size: int, seeds: list[int], count: int) -> None:
    examples = examples_of([3] * count) if count else Examples(*(np.zeros(0, int),) * 2, np.zeros(1, int), np.zeros(0))
    with pytest.raises(ValueError, match="a batch size of at least 1, a seed and an example"):
        batches_of(examples, seeds=seeds, batch_size=batch_size)


@given(LENGTHS, st.integers(1, 3), st.integers(1, 4), st.integers(1, 400))
@settings(deadline=None, max_examples=60)
def test_dev_batches(lengths: list[int], choices: int, members: int, tokens: int) -> None:
    examples = examples_of(lengths, choices)
    seen: list[int] = []
    widths: list[int] = []
    for batch, indices in dev_batches(examples, members=members, tokens=tokens, pad_token_id=PAD):
        assert batch.input_ids.numel() <= tokens or len(indices) == 1
        assert batch.members == members
        assert torch.equal(batch.distinct.gather(1, batch.where), batch.input_ids.view(members, -1))
        for member in range(members):
            assert content(batch, member) == content(batch, 0)
            assert batch.labels[member].tolist() == indices.tolist()
        seen += indices.tolist()
        widths.append(batch.input_ids.shape[1])
    assert sorted(seen) == list(range(len(lengths)))
    assert all(a >= b for a, b in pairwise(widths))
