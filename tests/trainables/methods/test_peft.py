"""Our methods against PEFT's, given the same weights: hidden states, gradients, and steps of Adam."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import peft
import pytest
import torch
from helpers.families import FAMILIES, tiny_batch, tiny_model
from helpers.members import gradients, hidden, loss_of, moved_member, of_text, shared_backbone, small_method, stacked
from torch import Tensor, nn
from torch.nn import functional

from trainables import head, methods
from trainables.backbones import Backbone
from trainables.batch import Batch
from trainables.methods import Method
from trainables.optim import Members

TOLERANCE = {"atol": 2e-5, "rtol": 1e-4}
RATE = 1e-2


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


@dataclass(frozen=True)
class Counterpart:
    """What PEFT has for a method of ours that changes linears.

    ``config(targets)`` is PEFT's config, ``targets(site, …)`` being the pattern of these sites' modules; ``values`` are
    our hyperparameters to it. ``places``: for each of our tensors its site, and the parameter in PEFT's module there.
    """

    config: Callable[[Callable[..., str]], peft.PeftConfig]
    places: Mapping[str, tuple[str, Callable[[nn.Module], nn.Parameter]]]
    values: Mapping[str, Any] = field(default_factory=dict)


def lora_a(module: nn.Module) -> nn.Parameter:
    return module.lora_A["default"].weight


def lora_b(module: nn.Module) -> nn.Parameter:
    return module.lora_B["default"].weight


def ia3_vector(module: nn.Module) -> nn.Parameter:
    return module.ia3_l["default"]


#: Methods that PEFT has too; of a method that is not in the folder yet, the line waits for its file.
COUNTERPARTS = {
    "lora": Counterpart(
        config=lambda targets: peft.LoraConfig(r=3, lora_alpha=5.0, target_modules=targets("query", "value")),
        places={
            "query.a": ("query", lora_a),
            "query.b": ("query", lora_b),
            "value.a": ("value", lora_a),
            "value.b": ("value", lora_b),
        },
        values={"alpha": 5.0},
    ),
    # The paper's places. PEFT's defaults for BERT name "output.dense", which takes in attention.output.dense as well.
    "ia3": Counterpart(
        config=lambda targets: peft.IA3Config(
            target_modules=targets("key", "value", "feed_forward_output"),
            feedforward_modules=targets("feed_forward_output"),
        ),
        places={site: (site, ia3_vector) for site in ("key", "value", "feed_forward_output")},
    ),
}
with_a_counterpart = pytest.mark.parametrize("name", [name for name in COUNTERPARTS if name in methods.names()])
#: DeBERTa v1 is left out: its query, key and value are one linear, of which PEFT cannot adapt two thirds. DeBERTa v2
#: applies those of query and key to relative positions as well, changed by PEFT and by us.
in_families = pytest.mark.parametrize("family", [family for family in FAMILIES if family != "deberta_v1"])

Parameters = dict[tuple[str, int], nn.Parameter]  # by our tensor's name and the layer


def counterpart(name: str, family: str, values: Mapping[str, Tensor]) -> tuple[nn.Module, Parameters]:
    """PEFT's model with our values ``(l, …)``, and its parameters, which are to be trained."""
    backbone = shared_backbone(family)
    paths = {site.name: site.path.removeprefix("model.") for site in backbone.spec.sites}

    def targets(*sites: str) -> str:
        return "|".join(re.escape(paths[site]).replace(r"\{i\}", r"\d+") for site in sites)

    kind = COUNTERPARTS[name]
    model = peft.get_peft_model(tiny_model(family), kind.config(targets))
    parameters: Parameters = {}
    for key, (site, parameter_of) in kind.places.items():
        for layer in range(backbone.spec.layers):
            parameter = parameter_of(model.base_model.model.get_submodule(paths[site].format(i=layer)))
            with torch.no_grad():
                parameter.copy_(values[key][layer].view(parameter.shape))
            parameters[key, layer] = parameter.requires_grad_()
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert trained == sum(value.numel() for value in values.values()), "PEFT trains something else"
    return model, parameters


@with_a_counterpart
@in_families
def test_states_and_gradients_of_changed_linears(name: str, family: str) -> None:
    backbone = shared_backbone(family)
    method, batch = small_method(name, backbone, **COUNTERPARTS[name].values), tiny_batch(backbone)
    states, own_gradients, values = ours(method, backbone, batch)

    model, parameters = counterpart(name, family, values)
    reference = of_text(library_states(model, batch), batch)
    loss_of(reference).backward()

    torch.testing.assert_close(states, reference.detach(), **TOLERANCE)
    for (key, layer), parameter in parameters.items():
        gradient = own_gradients[key][layer]
        torch.testing.assert_close(gradient, parameter.grad.view(gradient.shape), **TOLERANCE)


@with_a_counterpart
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_steps_of_adam_give_the_same_logits(name: str, family: str) -> None:
    """From the method's own start, with a head that is trained too: the logits before each of six steps."""
    backbone = shared_backbone(family)
    method, batch = small_method(name, backbone, **COUNTERPARTS[name].values), tiny_batch(backbone)
    generator = torch.Generator().manual_seed(0)
    start = method.initial(backbone, generator)
    fresh_head = head.initial(2, backbone.spec.width, generator)

    members = Members([{**start, **fresh_head}], [RATE], torch.device("cpu"))
    model, parameters = counterpart(name, family, start)
    weight, bias = (nn.Parameter(fresh_head[part].clone()) for part in (head.WEIGHT, head.BIAS))
    adam = torch.optim.Adam([*parameters.values(), weight, bias], lr=RATE)

    moved = []
    for _ in range(6):
        own = {key: value for key, value in members.stacked.items() if key in start}
        states = hidden(backbone, method, own, batch)
        logits = head.logits(states[:, :1], batch, members.stacked[head.WEIGHT], members.stacked[head.BIAS], 0.0)[0]
        reference = library_states(model, batch)[:, 0] @ weight.T + bias
        torch.testing.assert_close(logits, reference, **TOLERANCE)
        moved.append(logits.detach())

        members.step(functional.cross_entropy(logits, batch.labels[0]))
        adam.zero_grad()
        functional.cross_entropy(reference, batch.labels[0]).backward()
        adam.step()
    assert (moved[-1] - moved[0]).abs().max() > 0.1, "nothing was learnt"


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
