"""The last layer computed for the first token of the text alone gives that token's state, and the gradients, of all."""

from __future__ import annotations

import pytest
import torch
from helpers.added import every_name
from helpers.families import FAMILIES, VARIANTS, in_training, tiny_backbone, tiny_batch
from helpers.members import moved_member, shared_backbone, small_method, stacked
from torch import Tensor

from trainables import methods
from trainables.backbones import Backbone, Seams
from trainables.batch import Batch

pytestmark = pytest.mark.usefixtures("added_methods")

CASES = [pytest.param(f, v, id=f"{f}-{v}" if v else f) for f in FAMILIES for v in VARIANTS[f]]
TOLERANCE = {"atol": 2e-6, "rtol": 1e-5}


def first_of(states: Tensor, batch: Batch) -> Tensor:
    """The first token after the prompt of full hidden states."""
    prompt = states.shape[1] - batch.input_ids.shape[1]
    return states[:, prompt : prompt + 1]


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "dropout"])
@pytest.mark.parametrize(("family", "variant"), CASES)
@torch.no_grad()
def test_one_token_is_what_it_is_among_all(family: str, variant: str, training: bool) -> None:
    backbone = tiny_backbone(family, variant=variant)
    backbone.set_dropout(0.2)
    batch = tiny_batch(backbone, members=2)
    batch = in_training(batch) if training else batch
    generator = torch.Generator().manual_seed(3)
    prompt = torch.randn(2, 2, backbone.spec.embedding_width, generator=generator)
    prefix = torch.randn(backbone.spec.layers, 2, 2, 3, backbone.spec.width, generator=generator)
    seams = Seams(
        prompt=lambda: prompt,
        prefix=lambda i: (prefix[i, 0], prefix[i, 1]),
        before_layer=lambda i, hidden: hidden + 0.1 * i,
        sublayer=lambda site, i, output: 0.9 * output,
    )
    got = backbone(batch, seams, first_only=True)
    assert got.shape == (len(batch.input_ids), 1, backbone.spec.width)
    torch.testing.assert_close(got, first_of(backbone(batch, seams), batch), **TOLERANCE)


def gradients_of(backbone: Backbone, name: str, batch: Batch, first_only: bool) -> dict[str, Tensor]:
    method = small_method(name, backbone)
    members = min(2, method.max_members or 2)
    params = stacked([moved_member(method, backbone, seed) for seed in range(members)])
    states = backbone(batch, method.seams(params, backbone, batch), first_only=first_only)
    first = states if first_only else first_of(states, batch)
    weights = torch.randn(first.shape, generator=torch.Generator().manual_seed(4))
    if first.requires_grad:  # not where the head alone is trained
        (first * weights).sum().backward()
    return {n: p.grad for n, p in methods.trainable(params).items() if p.grad is not None}


@pytest.mark.parametrize("name", every_name())
@pytest.mark.parametrize("family", ["roberta", "deberta_v2"])
def test_every_method_has_the_gradients_of_all_tokens(name: str, family: str) -> None:
    backbone = shared_backbone(family)
    members = min(2, methods.get(name).max_members or 2)
    batch = in_training(tiny_batch(backbone, members=members))
    everything = gradients_of(backbone, name, batch, first_only=False)
    only = gradients_of(backbone, name, batch, first_only=True)
    assert only.keys() == everything.keys()
    assert not only or any(gradient.abs().max() > 1e-3 for gradient in only.values())
    for tensor, gradient in everything.items():
        torch.testing.assert_close(only[tensor], gradient, atol=1e-5, rtol=1e-4)


def test_the_last_layer_works_on_one_position() -> None:
    """What is saved: from the last layer's queries on, modules see one position of each sequence."""
    backbone = shared_backbone("roberta")
    batch = tiny_batch(backbone)
    seen: dict[str, int] = {}

    def linear(site: str, layer: int, module: torch.nn.Module, x: Tensor) -> Tensor:
        if layer == backbone.spec.layers - 1:
            seen[site] = x.shape[1]
        return module(x)

    backbone(batch, Seams(linear=linear), first_only=True)
    tokens = batch.input_ids.shape[1]
    assert {seen.pop("key"), seen.pop("value")} == {tokens}
    assert len(seen) >= 6
    assert set(seen.values()) == {1}
