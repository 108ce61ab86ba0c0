"""Masks of dropout: what they do, what they depend on, and that the GPU's kernel draws what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from helpers.families import in_training, tiny_backbone, tiny_batch
from helpers.philox import check_kernel
from torch import Tensor

from trainables import dropout
from trainables.batch import Batch, Distinct
from trainables.data import Examples, train_batches

P = 0.3
BATCH = in_training(tiny_batch(tiny_backbone("bert"), members=3, sequences=2, shorter=2))
Draw = Callable[[Batch, int], Tensor]  # a batch, and how much longer than its sequences its tensors are


def ones(*shape: int) -> Tensor:
    return torch.ones(*shape, dtype=torch.float64)


def tokens(batch: Batch, longer: int) -> Tensor:
    return dropout.of_tokens(ones(len(batch.input_ids), batch.input_ids.shape[1] + longer, 50), P, batch, "here", 1)


def pairs(batch: Batch, longer: int) -> Tensor:
    n = batch.input_ids.shape[1] + longer
    return dropout.of_pairs(ones(len(batch.input_ids), 4, n, n + 2), P, batch, "here", 1)


def distinct(batch: Batch, longer: int) -> Tensor:
    return dropout.of_distinct(ones(batch.members, batch.distinct.ids.shape[1], 50), P, batch, "here", 1)


def distances(batch: Batch, longer: int) -> Tensor:
    span = batch.input_ids.shape[1]
    own = [2 * (span - padding) for padding in batch.padding]
    return dropout.of_distances(ones(batch.members, 2 * span, 50), P, batch, "here", 1, own)


def examples(batch: Batch, longer: int) -> Tensor:
    return dropout.of_examples(ones(batch.members, len(batch.input_ids) // batch.members, 50), P, batch, "here", 1)


LAYOUTS: tuple[Draw, ...] = (tokens, pairs, distinct, distances, examples)
every_layout = pytest.mark.parametrize("draw", LAYOUTS)


def big(members: int = 2) -> Batch:
    """Nothing of it is padding."""
    ids = torch.ones(members * 16, 40, dtype=torch.int64)
    labels = torch.zeros(members, 16, dtype=torch.int64)
    return in_training(Batch(ids, ids, 0 * ids, labels, 1, (0,) * members), first=77)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_elements_are_zero_or_scaled_and_the_mean_stays(p: float) -> None:
    x = ones(32, 40, 300)
    got = dropout.of_tokens(x, p, big(), "here")
    assert got.unique().tolist() == [0.0, pytest.approx(1 / (1 - p), rel=1e-4)]
    deviation = (p / (1 - p) / x.numel()) ** 0.5
    assert abs(float(got.mean()) - 1) < 5 * deviation


def test_the_gradient_has_the_mask_of_the_output() -> None:
    x = torch.randn(32, 40, 30, requires_grad=True)
    got = dropout.of_tokens(x, P, big(), "here")
    got.sum().backward()
    torch.testing.assert_close(x.grad * x.detach(), got.detach())


@every_layout
def test_outside_training_nothing_is_dropped(draw: Draw) -> None:
    assert (draw(replace(BATCH, streams=None), 0) == 1).all()


def test_a_probability_of_zero_drops_nothing() -> None:
    x = ones(32, 40, 3)
    assert dropout.of_tokens(x, 0.0, big(), "here") is x


def test_streams_sites_and_layers_have_masks_of_their_own() -> None:
    """As unlike as independent ones: they agree in a part (1 - p)² + p² of the elements."""
    x, batch = ones(32, 40, 300), big()
    one = dropout.of_tokens(x, P, batch, "here", 1) > 0
    again = dropout.of_tokens(x, P, batch, "here", 1) > 0
    others = {
        "site": dropout.of_tokens(x, P, batch, "there", 1) > 0,
        "layer": dropout.of_tokens(x, P, batch, "here", 2) > 0,
        "stream": dropout.of_tokens(x, P, replace(batch, streams=batch.streams + 2), "here", 1) > 0,
        "member": one.roll(16, 0),
        "sequence": one.roll(1, 0),
        "token": one.roll(1, 1),
        "column": one.roll(1, 2),
    }
    assert torch.equal(one, again)
    by_chance = (1 - P) ** 2 + P**2
    deviation = (by_chance * (1 - by_chance) / one.numel()) ** 0.5
    for name, other in others.items():
        assert abs(float((one == other).double().mean()) - by_chance) < 5 * deviation, name


@every_layout
def test_a_member_drops_the_same_in_any_pack(draw: Draw) -> None:
    """What is its own: alone, with others that are longer, and after one has left."""
    whole = draw(BATCH, 3)
    parts = whole.chunk(3)
    for member in range(3):
        alone = draw(_of(BATCH, [member]), 3)
        assert torch.equal(_own(parts[member], alone.shape, draw), alone)
        assert 0 < int((alone == 0).sum()) < alone.numel()
    two = draw(_of(BATCH, [1, 2]), 3).chunk(2)
    assert torch.equal(_own(two[1], alone.shape, draw), alone)


def _of(batch: Batch, members: list[int]) -> Batch:
    """Some of the members, padded no further than they need."""
    rows = len(batch.input_ids) // batch.members
    sequences = [m * rows + i for m in members for i in range(rows)]
    distinct = batch.distinct
    spared = [min(own[m] for m in members) for own in (batch.padding, distinct.spare)]
    width, entries = batch.input_ids.shape[1] - spared[0], distinct.ids.shape[1] - spared[1]
    assert batch.streams is not None
    return replace(
        batch,
        input_ids=batch.input_ids[sequences, :width],
        labels=batch.labels[members],
        padding=tuple(batch.padding[m] - spared[0] for m in members),
        streams=batch.streams[members],
        tokens=Distinct(
            distinct.ids[members, :entries],
            distinct.where[members],
            tuple(distinct.spare[m] - spared[1] for m in members),
        ),
    )


def _own(part: Tensor, shape: torch.Size, draw: Draw) -> Tensor:
    """The part of a member that it has alone too."""
    if draw is distances:
        first = (part.shape[1] - shape[1]) // 2
        return part[:, first : first + shape[1]]
    return part[tuple(slice(size) for size in shape)]


def test_streams_come_from_seed_epoch_and_step() -> None:
    def streams(seeds: list[int], epoch: int, batch_size: int = 2) -> list[list[int]]:
        six = Examples(torch.ones(6).int().numpy(), torch.zeros(6).byte().numpy(), torch.arange(7).numpy(), LABELS)
        made = train_batches(six, seeds=seeds, epoch=epoch, batch_size=batch_size, task_name="a/b", pad_token_id=0)
        return [batch.streams.tolist() for batch in made]

    first = streams([3, 5], 1)
    assert len({number for step in first for number in step}) == 6
    assert [step[:1] for step in first] == streams([3], 1)
    assert [step[1:] for step in first] == streams([5], 1)
    assert not {n for step in first for n in step} & {n for step in streams([3, 5], 2) for n in step}


LABELS = torch.zeros(6, dtype=torch.int64).numpy()


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
def test_the_kernel_of_the_gpu_is_philox_at_its_counters() -> None:
    """By Triton's interpreter, which runs the kernel's own source on the CPU."""
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    command = [sys.executable, "-c", "from helpers.philox import check_kernel; check_kernel('cpu')"]
    folders = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(folders)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_kernel_on_the_gpu() -> None:
    check_kernel("cuda")
