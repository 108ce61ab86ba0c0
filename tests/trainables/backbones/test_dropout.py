"""Dropout of the backbone: only on a batch in training, with the config's probabilities or those that are set."""

import pytest
import torch
from helpers.families import FAMILIES, VARIANTS, in_training, tiny_backbone, tiny_batch
from helpers.members import alone, of_text
from torch import Tensor
from torch.nn import functional

from trainables.backbones import Backbone, Seams
from trainables.batch import Batch


@torch.no_grad()
def states(backbone: Backbone, batch: Batch) -> Tensor:
    return backbone(batch, Seams())


@pytest.mark.parametrize("family", FAMILIES)
def test_dropout_is_active_in_training_only(family: str) -> None:
    backbone = tiny_backbone(family)
    batch = tiny_batch(backbone)
    exact = states(backbone, batch)
    assert torch.equal(exact, states(backbone.train(), batch)), "the module's mode plays no part"
    first, again, other = (states(backbone, in_training(batch, first)) for first in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, exact)
    backbone.set_dropout(0.0)
    torch.testing.assert_close(states(backbone, in_training(batch)), exact)


@pytest.mark.parametrize("family", FAMILIES)
def test_none_restores_the_configs_values(family: str) -> None:
    backbone = tiny_backbone(family)
    batch = in_training(tiny_batch(backbone))
    before = states(backbone, batch)
    backbone.set_dropout(0.5)
    assert (backbone.hidden_dropout, backbone.attention_dropout) == (0.5, 0.5)
    strong = states(backbone, batch)
    backbone.set_dropout(None)
    assert (backbone.hidden_dropout, backbone.attention_dropout) == (0.1, 0.1)
    assert torch.equal(states(backbone, batch), before)
    assert not torch.equal(strong, before)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("which", ["hidden_dropout", "attention_dropout"])
def test_each_kind_alone_reaches_the_output(family: str, which: str) -> None:
    backbone = tiny_backbone(family)
    batch = in_training(tiny_batch(backbone))
    backbone.set_dropout(0.0)
    exact = states(backbone, batch)
    setattr(backbone, which, 0.3)
    assert not torch.allclose(states(backbone, batch), exact, atol=1e-3)


@pytest.mark.parametrize(
    ("family", "variant"), [(family, variant) for family in FAMILIES for variant in VARIANTS.get(family, {"": {}})]
)
def test_a_member_drops_the_same_alone_and_in_a_pack(family: str, variant: str) -> None:
    """Members of other lengths, so that the pack pads what is not padded alone."""
    backbone = tiny_backbone(family, variant=variant)
    backbone.set_dropout(0.3)
    batch = in_training(tiny_batch(backbone, members=3, shorter=2), first=9)
    together = of_text(states(backbone, batch), batch).chunk(3)
    for i, part in enumerate(together):
        one = alone(batch, i)
        solo = functional.pad(of_text(states(backbone, one), one), (0, 0, 0, batch.padding[i]))
        torch.testing.assert_close(part, solo, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("p", [-0.1, 1.0])
def test_impossible_values_are_refused(p: float) -> None:
    with pytest.raises(ValueError, match=f"dropout must be in \\[0, 1\\), but got {p}"):
        tiny_backbone("bert").set_dropout(p)
