"""The schedule of batches, and what is in a batch."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trainables.batch import Batch
from trainables.data import Examples, dev_batches, train_batches
from trainables.data.batches import POOL, schedule
from trainables.data.pieces import MOST_PADDING, pieces

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


def batches_of(
    examples: Examples, *, seeds: list[int], epoch: int = 1, batch_size: int = 3, distinct: bool = False, first: int = 0
) -> list[Batch]:
    made = train_batches(
        examples,
        seeds=seeds,
        epoch=epoch,
        batch_size=batch_size,
        task_name="glue/rte",
        pad_token_id=PAD,
        distinct=distinct,
        first=first,
    )
    return list(made)


def plan_of(lengths: list[int] | np.ndarray, seed: int = 0, epoch: int = 1, batch_size: int = 8) -> list[np.ndarray]:
    examples = examples_of(list(lengths))
    return schedule(examples, seed=seed, epoch=epoch, batch_size=batch_size, task_name="a/b")


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
    plans = [plan_of(lengths, seed, epoch, batch_size) for seed in seeds]
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
    lengths = 1_000 + np.random.default_rng(0).permutation(examples)
    plans = [plan_of(lengths, seed, epoch, batch_size) for seed in range(4)]
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
    for batch in batches_of(examples, seeds=list(range(members)), batch_size=batch_size, distinct=True):
        assert batch.members == members
        assert batch.choices == choices
        assert batch.labels.shape[1] * choices * members == len(batch.input_ids)
        assert batch.attention_mask.sum(1).max() == batch.input_ids.shape[1]
        assert (batch.input_ids[batch.attention_mask == 0] == PAD).all()
        assert (batch.token_type_ids[batch.attention_mask == 0] == 0).all()
        distinct = batch.distinct
        assert torch.equal(distinct.ids.gather(1, distinct.where), batch.input_ids.view(members, -1))
        for row in range(members):
            own = distinct.ids.shape[1] - distinct.spare[row]
            real = batch.input_ids.view(members, -1)[row][batch.attention_mask.view(members, -1)[row] > 0]
            assert torch.equal(distinct.ids[row, :own], real.unique())
            assert (distinct.ids[row, own:] == PAD).all()
            columns = batch.attention_mask.view(members, -1, batch.input_ids.shape[1])[row].amax(0)
            assert batch.padding[row] == int((columns == 0).sum())
            labels, sequences, types = content(batch, row)
            expected = [label * choices + c for label in labels for c in range(choices)]
            assert [ids[0] - 1000 for ids in sequences] == expected
            for number, ids, kinds in zip(expected, sequences, types, strict=True):
                span = slice(examples.offsets[number], examples.offsets[number + 1])
                assert ids == examples.ids[span].tolist()
                assert kinds == examples.types[span].tolist()
        for tensor in (batch.input_ids, batch.attention_mask, batch.token_type_ids, distinct.ids, distinct.where):
            assert tensor.dtype == torch.int64
            assert tensor.is_contiguous()


def test_seeds_epochs_and_tasks_make_a_difference() -> None:
    lengths = np.random.default_rng(0).integers(5, 50, 200)
    examples = examples_of(lengths.tolist())

    def plan(seed: int = 0, epoch: int = 1, task_name: str = "a/b") -> list[list[int]]:
        made = schedule(examples, seed=seed, epoch=epoch, batch_size=8, task_name=task_name)
        return [b.tolist() for b in made]

    assert plan() == plan()
    assert plan() != plan(seed=1)
    assert plan() != plan(epoch=2)
    assert [lengths[b].mean() for b in plan()] != sorted(lengths[b].mean() for b in plan())
    assert [lengths[b].mean() for b in plan()] != [lengths[b].mean() for b in plan(task_name="a/c")]


def test_examples_of_one_length_mix_freely() -> None:
    """With all lengths alike the first batch is a fair sample of all examples."""
    firsts = np.concatenate([plan_of([5] * 64, seed, batch_size=4)[0] for seed in range(400)])
    counts = np.bincount(firsts, minlength=64)
    assert counts.min() > 5
    assert counts.max() < 60  # 25 on average


@pytest.mark.parametrize("shortest", [1, 100])
def test_no_two_neighbours_stay_apart_for_ever(shortest: int) -> None:
    """Wherever a pool ends in one epoch, other epochs have batches that reach across; no two lengths are alike."""
    lengths = shortest + np.arange(128)
    crossed: set[int] = set()
    for epoch in range(1, 41):
        for batch in plan_of(lengths, epoch=epoch, batch_size=2):
            crossed |= set(range(batch.min(), batch.max()))
    assert crossed == set(range(127))


def padding_of(batches: list[Batch]) -> float:
    return 1 - sum(int(b.attention_mask.sum()) for b in batches) / sum(b.attention_mask.numel() for b in batches)


#: A long tail, as texts have.
TAIL = np.clip(np.random.default_rng(0).gamma(4, 12, 4096).astype(int), 4, 128)


@pytest.mark.parametrize("choices", [1, 2])
@pytest.mark.parametrize("members", [1, 8])
@pytest.mark.parametrize("rows", [640, 1000, 4096])
def test_little_is_padding(rows: int, members: int, choices: int) -> None:
    """On few rows too; batches at random have five times as much."""
    examples = examples_of(TAIL[:rows].tolist(), choices)
    for epoch in range(1, 4):
        share = padding_of(batches_of(examples, seeds=list(range(members)), epoch=epoch, batch_size=16))
        assert share <= MOST_PADDING
    at_random = examples.lengths[: rows // 16 * 16].reshape(-1, 16).max(axis=1).mean()
    assert examples.lengths.mean() / at_random < 1 - 5 * MOST_PADDING


@given(st.lists(st.integers(1, 60), min_size=1, max_size=120), st.integers(1, 3), st.integers(1, 9), st.integers(1, 3))
@example(lengths=[1, 2, 2, 2], choices=1, batch_size=2, members=2)  # no cut saves anything, so none is made
@settings(deadline=None, max_examples=60)
def test_much_is_padding_only_where_the_order_of_lengths_has_it(
    lengths: list[int], choices: int, batch_size: int, members: int
) -> None:
    """Then it is no more than that of batches of neighbours, in a pack as alone."""
    examples = examples_of(lengths, choices)
    pack = batches_of(examples, seeds=list(range(members)), batch_size=batch_size)
    if padding_of(pack) > MOST_PADDING:
        full, rest = divmod(len(lengths), batch_size)
        sizes = [[batch_size] * i + [rest] + [batch_size] * (full - i) for i in range(full + 1)]  # by the smaller one
        most = max(neighbours(np.sort(lengths), own) for own in sizes)
        assert sum(batch.input_ids.numel() for batch in pack) <= members * choices * most


def neighbours(by_length: np.ndarray, sizes: list[int]) -> int:
    """Tokens, with padding, of batches of these sizes in order of length."""
    ends = np.cumsum(sizes)
    return sum(size * int(by_length[end - 1]) for size, end in zip(sizes, ends, strict=True) if size)


def test_what_costs_little_mixes_as_before() -> None:
    """Pools are of eight batches where their lengths are nearly alike: the neighbours of an example vary most then."""
    lengths = np.repeat([100, 101], 64)
    batches = [batch for epoch in range(1, 80) for batch in plan_of(lengths, epoch=epoch, batch_size=4)]
    met = set(np.concatenate([batch for batch in batches if 0 in batch]).tolist())
    assert len(met & set(range(64))) > 55
    assert met & set(range(64, 128))


@given(st.lists(st.integers(1, 60), min_size=1, max_size=80), st.integers(1, 9), st.floats(0.5, 1))
@settings(deadline=None)
def test_pieces_are_cut_where_allowed_while_they_waste(lengths: list[int], every: int, share: float) -> None:
    """By brute force: each cut is the one that saves most, and none is made once the rest is little."""
    by_length, n = np.sort(lengths), len(lengths)
    allowed = np.arange(every, n + 1, every)
    real = share * float(by_length.sum())

    def padded(borders: list[int]) -> int:
        return sum(int(by_length[end - 1]) * (end - begin) for begin, end in pairwise(borders))

    expected = [0, n]
    while padded(expected) * (1 - MOST_PADDING) > real:
        better = [sorted({*expected, int(cut)}) for cut in allowed if cut not in expected]
        better = [borders for borders in better if padded(borders) < padded(expected)]
        if not better:
            break
        expected = min(better, key=padded)
    found = pieces(by_length, [0, n], allowed=allowed, real=real)
    assert set(found) <= {0, n, *allowed.tolist()}
    assert (padded(found), len(found)) == (padded(expected), len(expected))


def test_going_on_in_the_middle_of_an_epoch() -> None:
    examples = examples_of(TAIL[:50].tolist())
    whole, rest = (batches_of(examples, seeds=[1, 2], batch_size=8, first=first) for first in (0, 3))
    assert len(rest) == len(whole) - 3
    for one, other in zip(whole[3:], rest, strict=True):
        assert torch.equal(one.input_ids, other.input_ids)
        assert torch.equal(one.streams, other.streams)


def test_distinct_tokens_are_for_who_asks() -> None:
    batch = batches_of(examples_of([3, 4]), seeds=[0])[0]
    assert batch.tokens is None
    with pytest.raises(ValueError, match="say `distinct_tokens: ClassVar"):
        _ = batch.distinct


def test_a_batch_moves_with_all_that_it_has() -> None:
    batch = batches_of(examples_of([3, 4]), seeds=[0, 1], distinct=True)[0]
    there = batch.to("meta")
    tensors = [v for v in (*vars(there).values(), *vars(there.distinct).values()) if isinstance(v, torch.Tensor)]
    assert len(tensors) == 7
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert (there.choices, there.padding, there.distinct.spare) == (batch.choices, batch.padding, batch.distinct.spare)
    assert batch.staged(torch.device("cpu")) is batch


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
    batches: list[Batch] = []
    for batch, indices in dev_batches(examples, members=members, tokens=tokens, pad_token_id=PAD, distinct=True):
        assert batch.input_ids.numel() <= tokens or len(indices) == 1
        assert batch.members == members
        assert torch.equal(batch.distinct.ids.gather(1, batch.distinct.where), batch.input_ids.view(members, -1))
        assert len(batch.padding) == len(batch.distinct.spare) == members
        for member in range(members):
            assert content(batch, member) == content(batch, 0)
            assert batch.labels[member].tolist() == indices.tolist()
        seen += indices.tolist()
        batches.append(batch)
    assert sorted(seen) == list(range(len(lengths)))
    assert all(a.input_ids.shape[1] >= b.input_ids.shape[1] for a, b in pairwise(batches))
    of_choices = 1 - float(np.diff(examples.offsets).sum() / (examples.lengths.sum() * choices))
    assert padding_of(batches) <= max(MOST_PADDING, of_choices) + 1e-9


@pytest.mark.parametrize("members", [1, 8, 16])
def test_dev_batches_are_full_where_that_wastes_little(members: int) -> None:
    """As few as hold them: lengths are alike, or a batch is so small that its lengths are."""
    alike = list(dev_batches(examples_of([20] * 300), members=members, tokens=4_000, pad_token_id=PAD))
    assert len(alike) == -(-300 // (4_000 // (20 * members)))
    unlike = list(dev_batches(examples_of(TAIL[:800].tolist()), members=members, tokens=65_536, pad_token_id=PAD))
    assert padding_of([batch for batch, _ in unlike]) < MOST_PADDING
    assert len(unlike) <= 24
