"""LoRA, P-Tuning v1 and P-Tuning v2 against PEFT, given the same weights: hidden states and gradients."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace

import peft
import pytest
import torch
from helpers.families import FAMILIES, tiny_batch, tiny_model
from helpers.members import gradients, hidden, loss_of, moved_member, of_text, shared_backbone, small_method, stacked
from torch import Tensor, nn

from trainables.backbones import Backbone
from trainables.batch import Batch
from trainables.methods import Method

TOLERANCE = {"atol": 2e-5, "rtol": 1e-4}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """PEFT warns of the token types and positions that it leaves out; both are aligned here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def single_type_batch(backbone: Backbone) -> Batch:
    """A batch of one member with token types 0, since PEFT passes none."""
    batch = tiny_batch(backbone)
    return replace(batch, token_type_ids=torch.zeros_like(batch.token_type_ids))


def ours(method: Method, backbone: Backbone, batch: Batch) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """Hidden states, gradients and values of one member of ours."""
    params = stacked([moved_member(method, backbone)])
    states = hidden(backbone, method, params, batch)
    own = {key: value[0] for key, value in gradients(states, params).items()}
    return states.detach(), own, {key: value[0].detach() for key, value in params.items()}


def set_weight(module: nn.Module, value: Tensor) -> nn.Parameter:
    """Give a PEFT module our value; its parameter, which is to be trained."""
    with torch.no_grad():
        module.weight.copy_(value)
    module.weight.grad = None
    return module.weight.requires_grad_()


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "deberta_v1"])
def test_lora(family: str) -> None:
    """DeBERTa v1 is left out: its query, key and value are one linear, of which PEFT cannot adapt two thirds.

    On DeBERTa v2 the query's linear is applied to relative positions as well, by PEFT and by us.
    """
    backbone = shared_backbone(family)
    method = small_method("lora", backbone, alpha=5.0)
    batch = tiny_batch(backbone)
    states, own_gradients, values = ours(method, backbone, batch)

    sites = {name: backbone.spec.site(name).path.removeprefix("model.") for name in ("query", "value")}
    config = peft.LoraConfig(r=3, lora_alpha=5.0, target_modules=[path.split(".")[-1] for path in sites.values()])
    model = peft.get_peft_model(tiny_model(family), config)
    weights = {}
    for layer in range(backbone.spec.layers):
        for name, path in sites.items():
            module = model.base_model.model.get_submodule(path.format(i=layer))
            weights[f"{name}.a", layer] = set_weight(module.lora_A["default"], values[f"{name}.a"][layer])
            weights[f"{name}.b", layer] = set_weight(module.lora_B["default"], values[f"{name}.b"][layer])
    reference = of_text(library_states(model, batch), batch)
    loss_of(reference).backward()

    torch.testing.assert_close(states, reference.detach(), **TOLERANCE)
    for (name, layer), weight in weights.items():
        torch.testing.assert_close(own_gradients[name][layer], weight.grad, **TOLERANCE)


@pytest.mark.parametrize("family", FAMILIES)
def test_prompt(family: str) -> None:
    backbone = shared_backbone(family)
    method = small_method("p_tuning_v1", backbone)
    batch = single_type_batch(backbone)
    states, own_gradients, values = ours(method, backbone, batch)

    config = peft.PromptTuningConfig(
        task_type="FEATURE_EXTRACTION",
        num_virtual_tokens=4,
        token_dim=backbone.spec.embedding_width,
        num_transformer_submodules=1,
    )
    model = peft.PeftModelForFeatureExtraction(tiny_model(family), config)
    weight = set_weight(model.prompt_encoder["default"].embedding, values["prompt"])
    reference = of_text(library_states(model, batch), batch)
    loss_of(reference).backward()

    torch.testing.assert_close(states, reference.detach(), **TOLERANCE)
    torch.testing.assert_close(own_gradients["prompt"], weight.grad, **TOLERANCE)


@pytest.mark.parametrize("family", ["bert", "roberta", "electra"])
def test_prefix(family: str) -> None:
    backbone = shared_backbone(family)
    method = small_method("p_tuning_v2", backbone)
    batch = single_type_batch(backbone)
    states, own_gradients, values = ours(method, backbone, batch)
    spec, length = backbone.spec, 4

    config = peft.PrefixTuningConfig(
        task_type="FEATURE_EXTRACTION",
        num_virtual_tokens=length,
        token_dim=spec.width,
        num_layers=spec.layers,
        num_attention_heads=spec.heads,
        num_transformer_submodules=1,
    )
    model = peft.PeftModelForFeatureExtraction(tiny_model(family), config)
    # PEFT keeps a row for each prefix token: the key and the value of layer 0, then those of layer 1, …
    joined = torch.stack([values["keys"], values["values"]], 1).flatten(0, 1)  # (2 l, p, d)
    weight = set_weight(model.prompt_encoder["default"].embedding, joined.transpose(0, 1).flatten(1))
    # The text keeps its own positions; PEFT adds p to those it is given.
    first = backbone.model.config.pad_token_id + 1 if family == "roberta" else 0
    positions = torch.arange(first, first + batch.input_ids.shape[1]).unsqueeze(0) - length
    reference = of_text(library_states(model, batch, position_ids=positions), batch)
    loss_of(reference).backward()
    per_layer = weight.grad.unflatten(1, (spec.layers, 2, spec.width)).permute(2, 1, 0, 3)  # (2, l, p, d)

    assert per_layer.abs().amax(dim=(-1, -2)).min() > 1e-4, "the library ignores the prefix: no reference"
    torch.testing.assert_close(states, reference.detach(), **TOLERANCE)
    torch.testing.assert_close(own_gradients["keys"], per_layer[0], **TOLERANCE)
    torch.testing.assert_close(own_gradients["values"], per_layer[1], **TOLERANCE)


def library_states(model: nn.Module, batch: Batch, position_ids: Tensor | None = None) -> Tensor:
    """Last hidden states of the library's own forward pass."""
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    if position_ids is not None:
        inputs["position_ids"] = position_ids
    if batch.token_type_ids.any():
        inputs["token_type_ids"] = batch.token_type_ids
    return model.eval()(**inputs).last_hidden_state
