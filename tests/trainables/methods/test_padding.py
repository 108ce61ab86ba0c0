"""Members of several ranks or prompt lengths in one pack, for every method that pads them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers.contract import every_family
from helpers.families import in_training, tiny_batch
from helpers.members import alone, gradients, hidden, moved_member, shared_backbone, small_method, stacked
from torch import Tensor
from torch.nn import functional

from trainables import methods
from trainables.backbones import Backbone
from trainables.batch import Batch
from trainables.methods import FROZEN, Method
from trainables.padding import own_part, own_sizes, side_by_side

pytestmark = pytest.mark.usefixtures("frozen_backbones")

PADDED = [name for name in methods.names() if methods.padded(methods.get(name))]
every_padded = pytest.mark.parametrize("name", PADDED)
SIZES = (2, 5, 3)


def of_sizes(name: str, backbone: Backbone) -> list[Method]:
    """One for each of ``SIZES``, all of whose sizes that are padded are so large."""
    return [small_method(name, backbone, **dict.fromkeys(methods.padded(methods.get(name)), size)) for size in SIZES]


def together(name: str, members: list[dict[str, Tensor]], batch: Batch) -> tuple[dict[str, Tensor], Batch]:
    params = {n: side_by_side([m[n] for m in members]).requires_grad_(not n.startswith(FROZEN)) for n in members[0]}
    padded = methods.padded(methods.get(name))
    return params, replace(batch, sizes=own_sizes(padded, [dict.fromkeys(padded, size) for size in SIZES], "cpu"))


def test_those_of_the_folder() -> None:
    """Not the prompt of P-Tuning v1: it stands before the text, whose positions come after it."""
    sized = {name for name in methods.names() if methods.get(name).sizes}
    assert set(PADDED) == sized - {"p_tuning_v1"}


@every_padded
def test_what_is_padded_is_a_size(name: str) -> None:
    kind = methods.get(name)
    assert set(methods.padded(kind)) <= set(kind.sizes)


@every_padded
@every_family
def test_a_pack_of_three_sizes_equals_three_alone(name: str, family: str) -> None:
    """With dropout, and with batches that are shorter alone than in the pack; what is padded gets no gradient."""
    backbone = shared_backbone(family)
    batch = in_training(tiny_batch(backbone, members=3, shorter=2), first=5)
    own = of_sizes(name, backbone)
    members = [moved_member(method, backbone, seed) for seed, method in enumerate(own)]
    params, mixed = together(name, members, batch)
    widest = own[SIZES.index(max(SIZES))]
    states = hidden(backbone, widest, params, mixed)
    grads = gradients(states, params)
    for i, part in enumerate(states.chunk(3)):
        solo = stacked(members[i : i + 1])
        solo_states = functional.pad(hidden(backbone, own[i], solo, alone(batch, i)), (0, 0, 0, batch.padding[i]))
        assert torch.allclose(part, solo_states, atol=1e-5, rtol=1e-5), f"size {SIZES[i]} feels the padding"
        for key, gradient in gradients(solo_states, solo).items():
            found = grads[key][i]
            torch.testing.assert_close(own_part(found, gradient[0].shape), gradient[0], atol=2e-4, rtol=1e-4)
            assert found.count_nonzero() == own_part(found, gradient[0].shape).count_nonzero(), f"{key} is trained"


@every_padded
def test_a_row_of_one_position_has_the_masks_that_it_has_among_all(name: str) -> None:
    backbone = shared_backbone("bert")
    batch = in_training(tiny_batch(backbone, members=3, shorter=2), first=5)
    own = of_sizes(name, backbone)
    params, mixed = together(name, [moved_member(m, backbone, s) for s, m in enumerate(own)], batch)
    seams = own[SIZES.index(max(SIZES))].seams(params, backbone, mixed)
    with torch.no_grad():
        states, first = (backbone(mixed, seams, first_only=only) for only in (False, True))
    torch.testing.assert_close(first, states[:, :1], atol=1e-5, rtol=1e-5)


def test_side_by_side() -> None:
    small, large = torch.ones(1, 2), 2 * torch.ones(2, 3)
    both = side_by_side([small, large])
    assert both.tolist() == [[[0, 0, 0], [0, 1, 1]], [[2, 2, 2], [2, 2, 2]]]
    assert torch.equal(own_part(both[0], small.shape), small)
    assert side_by_side([torch.tensor(3), torch.tensor(4)]).tolist() == [3, 4]


def test_weights_of_kronecker_from_before_it_was_padded_are_read() -> None:
    """Then W_R was kept as ``(l, r², d)``."""
    backbone = shared_backbone("bert")
    method = small_method("aot_kronecker", backbone)
    member = moved_member(method, backbone)
    earlier = {**member, "w_r": member["w_r"].flatten(1, 2)}
    assert earlier["w_r"].dim() == 3
    rows, expected = (method.fuse(weights, backbone).rows for weights in (earlier, member))
    assert torch.equal(rows, expected)
