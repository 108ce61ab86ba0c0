"""Products of linears on a CPU: values and gradients against float64, for every shape that a backbone has."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.helpers import families
from trainables import products


@pytest.mark.parametrize("shape", [(5, 7, 24), (1, 24), (3, 1, 24), (2, 4, 3, 24)])
@pytest.mark.parametrize("trained", ["input", "weight", "bias", "all"])
@pytest.mark.parametrize("with_bias", [True, False])
def test_a_linear_and_its_gradients(shape: tuple[int, ...], trained: str, with_bias: bool) -> None:
    if trained == "bias" and not with_bias:
        return
    torch.manual_seed(0)
    given = {"input": torch.randn(shape), "weight": torch.randn(40, 24), "bias": torch.randn(40)}
    if not with_bias:
        del given["bias"]
    exact = {name: x.double().requires_grad_(trained in (name, "all")) for name, x in given.items()}
    ours = {name: x.requires_grad_(trained in (name, "all")) for name, x in given.items()}
    expected = functional.linear(exact["input"], exact["weight"], exact.get("bias"))
    output = products.linear(ours["input"], ours["weight"], ours.get("bias"))
    torch.testing.assert_close(output.double(), expected, rtol=1e-5, atol=1e-5)
    weights = torch.randn(expected.shape)
    (expected * weights).sum().backward()
    (output * weights).sum().backward()
    for name in given:
        assert (ours[name].grad is None) == (exact[name].grad is None)
        if ours[name].grad is not None:
            torch.testing.assert_close(ours[name].grad.double(), exact[name].grad, rtol=1e-5, atol=1e-5)


def test_transposed_and_expanded_tensors_are_read_as_they_stand() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(24, 6).t().requires_grad_(), torch.randn(24, 40).t()
    output = products.linear(x, weight, None)
    torch.testing.assert_close(output, x @ weight.t(), rtol=1e-5, atol=1e-5)
    output.sum().backward()  # its gradient is one number, expanded
    torch.testing.assert_close(x.grad, weight.sum(0).expand(6, 24), rtol=1e-5, atol=1e-5)


def test_a_half_precision_is_the_library_s() -> None:
    x, weight = torch.randn(6, 24).bfloat16(), torch.randn(40, 24).bfloat16()
    assert torch.equal(products.linear(x, weight, None), functional.linear(x, weight))


@pytest.mark.parametrize("family", families.FAMILIES)
def test_every_linear_of_a_backbone_goes_this_way(family: str) -> None:
    backbone = families.tiny_backbone(family)
    linears = [m for m in backbone._modules_at.values() if isinstance(m, nn.Linear)]
    assert len(linears) >= 6 * backbone.spec.layers
    assert all(isinstance(module, products.Linear) for module in linears)
