"""What every method promises of its passes: forward and backward, in packs, fused, in half precision."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from helpers.contract import every_family, every_form, generator, members_of
from helpers.families import FAMILIES, VARIANTS, in_training, tiny_batch
from helpers.members import (
    alone,
    gradients,
    hidden,
    loss_of,
    moved_member,
    only_shifts_scores,
    plain,
    shared_backbone,
    small_method,
    stacked,
)
from torch.nn import functional

from trainables import methods
from trainables.backbones import Seams
from trainables.batch import Batch
from trainables.methods import FROZEN, Fused, trainable

pytestmark = pytest.mark.usefixtures("added_methods", "frozen_backbones")

#: How far states may be from the backbone's at the start. A method that takes a weight apart and puts it together
#: again (PiSSA) rounds in each layer; a start that is another one is off by far more.
ROUNDING = 1e-5
#: bfloat16 keeps 8 bits: a rounding is off by up to 2⁻⁸ of the value. Each element of the last hidden states may be off
#: by 18 roundings of the largest one. Measured, over all methods and families, it is 12.3 for fine-tuning, whose moved
#: weights make larger states in between, and at most 7.6 for the others; the backbone alone is off by up to 6.0.
BFLOAT16 = 18 * 2**-8


@every_form
@every_family
def test_backbone_as_it_is_at_the_start(name: str, values: dict[str, Any], family: str) -> None:
    """Only what stands before the text, or before its keys, may change the backbone before it is trained."""
    backbone = shared_backbone(family)
    method = small_method(name, backbone, **values)
    params = stacked([method.initial(backbone, generator(seed)) for seed in range(members_of(method))])
    batch = tiny_batch(backbone, members=members_of(method))
    seams = method.seams(params, backbone, batch)
    with torch.no_grad():
        states = hidden(backbone, method, params, batch)
    lengthens = seams.prompt() is not None or seams.prefix(0) is not None
    same = torch.allclose(states, plain(backbone, batch), atol=ROUNDING)
    assert same != lengthens, "a fresh prompt or prefix has an effect, and nothing else that is fresh has one"


@every_form
@every_family
def test_gradients_reach_what_is_trained_and_nothing_else(name: str, values: dict[str, Any], family: str) -> None:
    backbone = shared_backbone(family)
    method = small_method(name, backbone, **values)
    params = stacked([moved_member(method, backbone, seed) for seed in range(members_of(method))])
    batch = tiny_batch(backbone, members=members_of(method))

    states = hidden(backbone, method, params, batch, training=True)
    assert states.requires_grad == bool(trainable(params)), "no gradient reaches what is trained"
    if not trainable(params):
        return
    loss_of(states).backward()

    assert all(value.grad is None and not value.requires_grad for value in backbone.parameters()), "trained: backbone"
    assert not [key for key, value in params.items() if key.startswith(FROZEN) and value.grad is not None]
    for key, value in trainable(params).items():
        assert value.grad is not None, f"no gradient reaches {key}"
        weakest = float(value.grad.abs().reshape(len(value), -1).amax(1).min())  # of all members
        assert weakest > 1e-4 or only_shifts_scores(backbone, method, params, key, batch), f"{key} has no effect"


@every_form
@every_family
def test_what_is_frozen_has_an_effect(name: str, values: dict[str, Any], family: str) -> None:
    """A frozen tensor that changes nothing would be kept for nothing."""
    backbone = shared_backbone(family)
    method, batch = small_method(name, backbone, **values), tiny_batch(backbone)
    member = moved_member(method, backbone)
    with torch.no_grad():
        states = hidden(backbone, method, stacked([member]), batch)
        for key in member.keys() - trainable(member).keys():
            drawn = member[key]
            another = 2 * drawn if drawn.is_floating_point() else drawn.roll(1, -1)  # such as indices
            other = hidden(backbone, method, stacked([{**member, key: another}]), batch)
            assert not torch.allclose(other, states, atol=1e-3), f"{key} has no effect"


@every_form
@every_family
def test_a_pack_of_three_equals_three_alone(name: str, values: dict[str, Any], family: str) -> None:
    """With dropout, in the method and in the backbone, and with batches that are shorter alone than in the pack."""
    backbone = shared_backbone(family)
    method = small_method(name, backbone, **values)
    batch = in_training(tiny_batch(backbone, members=3, shorter=2), first=5)
    members = [moved_member(method, backbone, seed) for seed in range(3)]
    if method.max_members == 1:
        with pytest.raises(ValueError, match="one member"):
            method.seams(stacked(members), backbone, batch)
        return
    together = stacked(members)
    states = hidden(backbone, method, together, batch)
    grads = gradients(states, together)
    for i, part in enumerate(states.chunk(3)):
        solo = stacked(members[i : i + 1])
        solo_states = hidden(backbone, method, solo, alone(batch, i))
        solo_states = functional.pad(solo_states, (0, 0, 0, batch.padding[i]))
        assert torch.allclose(part, solo_states, atol=1e-5, rtol=1e-5), "members of a pack feel each other"
        for key, gradient in gradients(solo_states, solo).items():
            torch.testing.assert_close(grads[key][i], gradient[0], atol=2e-4, rtol=1e-4)


@every_form
@pytest.mark.parametrize(
    ("family", "variant"), [(family, variant) for family in FAMILIES for variant in VARIANTS.get(family, {"": {}})]
)
def test_fused_equals_unfused(name: str, values: dict[str, Any], family: str, variant: str) -> None:
    backbone = shared_backbone(family, variant)
    method = small_method(name, backbone, **values)
    member = moved_member(method, backbone)
    if not method.fusable:
        with pytest.raises(TypeError, match=f"{name} cannot be fused"):
            method.fuse(member, backbone)
        return
    batch = tiny_batch(backbone)
    fused = method.fuse(member, backbone)
    with torch.no_grad():
        unfused_states = hidden(backbone, method, stacked([member]), batch)
        fused_states = plain(backbone, batch, seams_of(fused, batch))
    changed = not torch.allclose(unfused_states, plain(backbone, batch), atol=1e-2)
    assert changed == bool(trainable(member)), "what is trained changes the states"
    tolerance = 1e-4 if fused.rows is None else 2e-2  # half precision keeps 11 bits of a row
    torch.testing.assert_close(fused_states, unfused_states, atol=tolerance, rtol=tolerance)
    if fused.rows is not None:
        assert fused.rows.shape == (backbone.spec.vocabulary, backbone.spec.layers, backbone.spec.width)
        assert fused.rows.dtype == torch.float16


def seams_of(fused: Fused, batch: Batch) -> Seams:
    """How fused data changes a forward pass, with nothing of the method left."""
    rows = fused.rows
    if rows is None:
        return Seams(weights=fused.weights)
    return Seams(before_layer=lambda layer, states: states + rows[batch.input_ids, layer].float())


@every_form
@every_family
def test_bfloat16(name: str, values: dict[str, Any], family: str) -> None:
    backbone = shared_backbone(family)
    method = small_method(name, backbone, **values)
    params = stacked([moved_member(method, backbone, seed) for seed in range(members_of(method))])
    batch = tiny_batch(backbone, members=members_of(method))
    exact = hidden(backbone, method, params, batch, training=True).detach()
    half = {name: value.to(torch.bfloat16) for name, value in params.items()}
    states = hidden(deepcopy(backbone).to(torch.bfloat16), method, half, batch, training=True)
    assert states.dtype == torch.bfloat16
    if trainable(params):
        loss_of(states.float()).backward()
    torch.testing.assert_close(states.float(), exact, rtol=0, atol=BFLOAT16 * float(exact.abs().max()))
    assert all(value.grad is not None and value.grad.isfinite().all() for value in trainable(params).values())


@every_form
def test_dropout_only_in_training(name: str, values: dict[str, Any]) -> None:
    backbone = shared_backbone("bert")
    dropout = {"dropout": 0.5} if "dropout" in methods.get(name).Config.model_fields else {}
    method = small_method(name, backbone, **values, **dropout)
    params, batch = stacked([moved_member(method, backbone)]), tiny_batch(backbone)
    backbone.set_dropout(0.0)
    try:
        with torch.no_grad():
            evaluated = [hidden(backbone, method, params, batch) for _ in range(2)]
            trained = [hidden(backbone, method, params, in_training(batch, first)) for first in (0, 0, 1)]
    finally:
        backbone.set_dropout(None)
    assert torch.equal(evaluated[0], evaluated[1]), "two evaluations differ: something is random, or remembered"
    assert torch.equal(trained[0], trained[1]), "what is random must come from `dropout`, and from the batch's streams"
    assert torch.equal(trained[0], trained[2]) == torch.equal(trained[0], evaluated[0]) == (not dropout), (
        "what is random in training, and nothing else, is a hyperparameter `dropout` that can be zero"
    )
