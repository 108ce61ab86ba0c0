"""Dropout of the backbone: only in training, with the config's probabilities or those that are set."""

import pytest
import torch
from helpers.families import FAMILIES, tiny_backbone, tiny_batch
from torch import Tensor

from trainables.backbones import Backbone, Seams
from trainables.batch import Batch


def seeded(backbone: Backbone, batch: Batch, seed: int = 0) -> Tensor:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        return backbone(batch, Seams())


@pytest.mark.parametrize("family", FAMILIES)
def test_dropout_is_active_in_training_only(family: str) -> None:
    backbone = tiny_backbone(family)
    batch = tiny_batch(backbone)
    exact = seeded(backbone, batch)
    assert torch.equal(exact, seeded(backbone, batch, seed=1))
    backbone.train()
    assert not torch.equal(seeded(backbone, batch), seeded(backbone, batch, seed=1))
    assert torch.equal(seeded(backbone, batch), seeded(backbone, batch))
    backbone.set_dropout(0.0)
    torch.testing.assert_close(seeded(backbone, batch), exact)
    backbone.eval()
    assert torch.equal(seeded(backbone, batch), exact)


@pytest.mark.parametrize("family", FAMILIES)
def test_none_restores_the_configs_values(family: str) -> None:
    backbone = tiny_backbone(family).train()
    batch = tiny_batch(backbone)
    before = seeded(backbone, batch)
    backbone.set_dropout(0.5)
    assert (backbone.hidden_dropout, backbone.attention_dropout) == (0.5, 0.5)
    strong = seeded(backbone, batch)
    backbone.set_dropout(None)
    assert (backbone.hidden_dropout, backbone.attention_dropout) == (0.1, 0.1)
    assert torch.equal(seeded(backbone, batch), before)
    assert not torch.equal(strong, before)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("which", ["hidden_dropout", "attention_dropout"])
def test_each_kind_alone_reaches_the_output(family: str, which: str) -> None:
    backbone = tiny_backbone(family).train()
    batch = tiny_batch(backbone)
    backbone.set_dropout(0.0)
    exact = seeded(backbone, batch)
    setattr(backbone, which, 0.3)
    assert not torch.allclose(seeded(backbone, batch), exact, atol=1e-3)


@pytest.mark.parametrize("p", [-0.1, 1.0])
def test_impossible_values_are_refused(p: float) -> None:
    with pytest.raises(ValueError, match=f"dropout must be in \\[0, 1\\), but got {p}"):
        tiny_backbone("bert").set_dropout(p)
