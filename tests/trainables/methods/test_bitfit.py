"""BitFit trains the biases of the library's encoder: exactly these, and with the gradients that they have there.

Ben Zaken et al. (2022) train what the model's own parameters call a bias; a bias that the model lacks is none of them.
"""

from __future__ import annotations

import pytest
import torch
from helpers.families import FAMILIES, VARIANTS, tiny_batch, tiny_model
from helpers.members import gradients, hidden, loss_of, of_text, shared_backbone, small_method, stacked
from torch import Tensor

from trainables.batch import Batch

every_case = pytest.mark.parametrize(
    ("family", "variant"), [(family, variant) for family in FAMILIES for variant in VARIANTS.get(family, {"": {}})]
)

#: Names of the library's biases that differ from the name of our module's: DeBERTa v1 packs its three projections.
RENAMED = {"self.query.bias": "self.q_bias", "self.value.bias": "self.v_bias"}


def library_gradients(family: str, variant: str, batch: Batch) -> dict[str, Tensor]:
    """The gradient of what the library's encoder calls a bias and uses, by its name there; in its own forward pass."""
    model = tiny_model(family, variant=variant)
    biases = {name: value for name, value in model.named_parameters() if name.endswith("bias")}
    types = {} if family == "mpnet" else {"token_type_ids": batch.token_type_ids}
    states = model(batch.input_ids, attention_mask=batch.attention_mask, **types).last_hidden_state
    found = torch.autograd.grad(loss_of(of_text(states, batch)), list(biases.values()), allow_unused=True)
    return {name: gradient for name, gradient in zip(biases, found, strict=True) if gradient is not None}


def by_library_name(values: dict[str, Tensor], family: str, variant: str) -> dict[str, Tensor]:
    """A member's tensors, one for each module, under the library's name of that module's bias."""
    spec, named = shared_backbone(family, variant).spec, {}
    for site in spec.sites:
        if site.name in values:
            value = values[site.name]
            for i, own in enumerate(value if site.per_layer else (value,)):
                name = f"{site.path.format(i=i)}.bias".removeprefix("model.")
                if family == "deberta_v1":
                    for ours, theirs in RENAMED.items():
                        name = name.replace(ours, theirs)
                named[name] = own
    return named


@every_case
def test_the_trained_biases_are_those_of_the_library(family: str, variant: str) -> None:
    backbone = shared_backbone(family, variant)
    method = small_method("bitfit", backbone)
    fresh = by_library_name(method.initial(backbone, torch.Generator()), family, variant)
    theirs = library_gradients(family, variant, tiny_batch(backbone))
    assert {name: value.shape for name, value in fresh.items()} == {name: value.shape for name, value in theirs.items()}
    assert method.count() == sum(value.numel() for value in theirs.values())


@every_case
def test_gradients_at_the_start_are_the_librarys(family: str, variant: str) -> None:
    backbone = shared_backbone(family, variant)
    method, batch = small_method("bitfit", backbone), tiny_batch(backbone)
    params = stacked([method.initial(backbone, torch.Generator())])
    ours = gradients(hidden(backbone, method, params, batch), params)
    ours = by_library_name({name: gradient[0] for name, gradient in ours.items()}, family, variant)
    theirs = library_gradients(family, variant, batch)
    for name, gradient in theirs.items():
        torch.testing.assert_close(ours[name], gradient, atol=1e-4, rtol=1e-4, msg=lambda text, n=name: f"{n}: {text}")
    assert theirs["encoder.layer.0.output.dense.bias"].abs().max() > 1
    assert variant != "v2_xlarge" or theirs["encoder.conv.conv.bias"].abs().max() > 1


def test_what_is_no_bias_stays_as_it_was() -> None:
    """DeBERTa v1's keys have no bias, nor has its projection of positions; MPNet's relative ones are a table."""
    deberta, mpnet = (small_method("bitfit", shared_backbone(f)).sites for f in ("deberta_v1", "mpnet"))
    assert not {"key", "position_key"} & {site.name for site in deberta}
    assert "position_query" in {site.name for site in deberta}
    assert not [site for site in mpnet if "relative" in site.path]
