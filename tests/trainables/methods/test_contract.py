"""What every method promises, for every method and every family found in the folders.

README's example of a method keeps the same promises, and so does one with frozen tensors (``helpers/vera.py``): both
are added to the folder for these tests.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import get_args

import pytest
import torch
from helpers import paper
from helpers.added import ADDED
from helpers.families import FAMILIES, VARIANTS, tiny_batch
from helpers.members import (
    alone,
    gradients,
    hidden,
    loss_of,
    moved_member,
    plain,
    shared_backbone,
    small_method,
    stacked,
)
from pydantic import BaseModel, ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainables import methods
from trainables.backbones import Backbone, Seams
from trainables.batch import Batch
from trainables.methods import FROZEN, Fused, Method, trainable

pytestmark = pytest.mark.usefixtures("added_methods")

NAMES = [*methods.names(), *ADDED]
every_method = pytest.mark.parametrize("name", NAMES)
every_family = pytest.mark.parametrize("family", FAMILIES)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def members_of(method: Method) -> int:
    return min(3, method.max_members or 3)


def test_the_folder_is_the_registry() -> None:
    assert set(methods.names()) >= {*paper.METHODS, *ADDED}
    assert len({methods.get(name).label for name in NAMES}) == len(NAMES)
    with pytest.raises(ValueError, match=r"unknown method 'prompt'; known: adapters, .*p_tuning_v2"):
        methods.get("prompt")


@every_method
def test_what_a_method_needs_of_ours_comes_from_one_place(name: str) -> None:
    source = Path(inspect.getsourcefile(methods.get(name))).read_text(encoding="utf-8")
    modules = {node.module or "" for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}
    assert {module for module in modules if module.startswith("trainables")} <= {"trainables.methods"}


@every_method
def test_config(name: str) -> None:
    config_type = methods.get(name).Config
    config = config_type()
    assert set(config.model_dump()) == set(config_type.model_fields)
    assert config_type(**config.model_dump()) == config
    assert all(field.description for field in config_type.model_fields.values())
    with pytest.raises(ValidationError, match="frozen"):
        config.anything = 1
    with pytest.raises(ValidationError, match="Extra inputs"):
        config_type(forgetting=123)
    for field in config_type.model_fields:
        for wrong in (-1, True, float("nan")):
            with pytest.raises(ValidationError):
                config_type(**{field: wrong})


@every_method
@every_family
def test_count_equals_the_tensors(name: str, family: str) -> None:
    backbone = shared_backbone(family)
    method = small_method(name, backbone)
    tensors = method.initial(backbone, generator())
    assert method.count() == sum(tensor.numel() for tensor in trainable(tensors).values())
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    assert not any(tensor.requires_grad for tensor in tensors.values())


@every_method
def test_sizes_are_the_hyperparameters_that_change_the_count(name: str) -> None:
    spec = shared_backbone("bert").spec
    kind = methods.get(name)
    assert set(kind.sizes) <= set(kind.Config.model_fields)
    for field, info in kind.Config.model_fields.items():
        values = (2, 7, 50, 0.25, 0.5, True, False, "", None, *get_args(info.annotation))
        configs = [config for value in values if (config := accepted(kind.Config, field, value))]
        assert len(set(configs)) > 1, f"values of {field} to compare are missing here"
        counts = {kind(config, spec).count() for config in configs}
        assert (len(counts) > 1) == (field in kind.sizes), (field, counts)


def accepted(config: type[BaseModel], field: str, value: object) -> BaseModel | None:
    """The config with this one value set, or None where the field takes no such value."""
    try:
        return config(**{field: value})
    except ValidationError:
        return None


@every_method
def test_initial_depends_on_the_generator_alone(name: str) -> None:
    backbone = shared_backbone("bert")
    method = small_method(name, backbone)
    state, sources = torch.get_rng_state(), [generator(seed) for seed in (1, 1, 2)]
    first, again, other = (method.initial(backbone, source) for source in sources)
    assert torch.equal(torch.get_rng_state(), state), "the global generator was used"
    assert all(torch.equal(first[key], again[key]) for key in first)
    drawn = not torch.equal(sources[0].get_state(), generator(1).get_state())
    assert any(not torch.equal(first[key], other[key]) for key in first) == drawn


@every_method
@every_family
def test_backbone_as_it_is_at_the_start(name: str, family: str) -> None:
    """Only what stands before the text, or before its keys, may change the backbone before it is trained."""
    backbone = shared_backbone(family)
    method = small_method(name, backbone)
    params = stacked([method.initial(backbone, generator(seed)) for seed in range(members_of(method))])
    batch = tiny_batch(backbone, members=members_of(method))
    seams = method.seams(params, backbone, batch, True)
    lengthens = seams.prompt() is not None or seams.prefix(0) is not None
    with torch.no_grad():
        same = torch.allclose(hidden(backbone, method, params, batch), plain(backbone, batch), atol=1e-6)
    assert same != lengthens


@every_method
@every_family
def test_gradients_reach_what_is_trained_and_nothing_else(name: str, family: str) -> None:
    backbone = shared_backbone(family)
    method = small_method(name, backbone)
    params = stacked([moved_member(method, backbone, seed) for seed in range(members_of(method))])
    batch = tiny_batch(backbone, members=members_of(method))
    before = {key: value.clone() for key, value in backbone.named_parameters()}

    loss_of(hidden(backbone, method, params, batch, training=True)).backward()

    assert all(value.grad is None and not value.requires_grad for value in backbone.parameters())
    assert all(torch.equal(value, before[key]) for key, value in backbone.named_parameters())
    assert all(value.grad is None for key, value in params.items() if key.startswith(FROZEN))
    for key, value in trainable(params).items():
        assert value.grad is not None
        for member, gradient in enumerate(value.grad):
            assert gradient.abs().max() > 1e-4 or has_no_effect(backbone, method, params, key, batch), (key, member)


@every_method
@every_family
def test_what_is_frozen_has_an_effect(name: str, family: str) -> None:
    """A frozen tensor that changes nothing would be kept for nothing."""
    backbone = shared_backbone(family)
    method, batch = small_method(name, backbone), tiny_batch(backbone)
    member = moved_member(method, backbone)
    with torch.no_grad():
        states = hidden(backbone, method, stacked([member]), batch)
        for key in member.keys() - trainable(member).keys():
            other = hidden(backbone, method, stacked([{**member, key: 2 * member[key]}]), batch)
            assert not torch.allclose(other, states, atol=1e-3), key


KEY_BIASES = ("key", "position_key", "key.bias", "key_proj.bias", "pos_key_proj.bias", "k.bias")


def has_no_effect(backbone: Backbone, method: Method, params: dict[str, Tensor], key: str, batch: Batch) -> bool:
    """Whether this is a bias of a key that shifts all scores of a query alike, and so does not change the output."""
    if key not in KEY_BIASES and not key.endswith(tuple(f".{bias}" for bias in KEY_BIASES)):
        return False
    with torch.no_grad():
        without = {**params, key: torch.zeros_like(params[key])}
        return torch.allclose(
            hidden(backbone, method, without, batch), hidden(backbone, method, params, batch), atol=1e-5
        )


@every_method
@every_family
def test_a_pack_of_three_equals_three_alone(name: str, family: str) -> None:
    backbone = shared_backbone(family)
    method = small_method(name, backbone)
    batch = tiny_batch(backbone, members=3)
    members = [moved_member(method, backbone, seed) for seed in range(3)]
    if method.max_members == 1:
        with pytest.raises(ValueError, match="one member"):
            method.seams(stacked(members), backbone, batch, False)
        return
    together = stacked(members)
    states = hidden(backbone, method, together, batch)
    grads = gradients(states, together)
    for i, part in enumerate(states.chunk(3)):
        solo = stacked(members[i : i + 1])
        solo_states = hidden(backbone, method, solo, alone(batch, i))
        torch.testing.assert_close(part, solo_states, atol=1e-5, rtol=1e-5)
        for key, gradient in gradients(solo_states, solo).items():
            torch.testing.assert_close(grads[key][i], gradient[0], atol=2e-4, rtol=1e-4)


@every_method
@pytest.mark.parametrize(
    ("family", "variant"), [(family, variant) for family in FAMILIES for variant in VARIANTS.get(family, {"": {}})]
)
def test_fused_equals_unfused(name: str, family: str, variant: str) -> None:
    backbone = shared_backbone(family, variant)
    method = small_method(name, backbone)
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
    assert not torch.allclose(unfused_states, plain(backbone, batch), atol=1e-2), "the member changes nothing"
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


@every_method
def test_saved_and_loaded(name: str, tmp_path: Path) -> None:
    backbone = shared_backbone("deberta_v2" if "deberta_v2" in FAMILIES else FAMILIES[0])
    method = small_method(name, backbone)
    member, batch = moved_member(method, backbone), tiny_batch(backbone)
    save_file(member, tmp_path / "member.safetensors")
    loaded = load_file(tmp_path / "member.safetensors")
    states = [hidden(backbone, method, stacked([m]), batch) for m in (member, loaded)]
    assert torch.equal(states[0], states[1])


#: bfloat16 keeps 8 bits: a rounding is off by up to 2⁻⁸ of the value. Each element of the last hidden states may be off
#: by ten roundings of the largest one. Measured, over all methods and families, it is 6.4 for fine-tuning, whose moved
#: weights make larger states in between, and at most 5.4 for the others; the backbone alone is off by up to 4.9.
BFLOAT16 = 10 * 2**-8


@every_method
@every_family
def test_bfloat16(name: str, family: str) -> None:
    backbone = shared_backbone(family)
    without = {"dropout": 0.0} if "dropout" in methods.get(name).Config.model_fields else {}
    method = small_method(name, backbone, **without)
    params = stacked([moved_member(method, backbone, seed) for seed in range(members_of(method))])
    batch = tiny_batch(backbone, members=members_of(method))
    exact = hidden(backbone, method, params, batch).detach()
    with torch.autocast("cpu", torch.bfloat16):
        states = hidden(backbone, method, params, batch, training=True)
        loss_of(states.float()).backward()
    torch.testing.assert_close(states.float(), exact, rtol=0, atol=BFLOAT16 * float(exact.abs().max()))
    assert all(value.grad is not None and value.grad.isfinite().all() for value in trainable(params).values())


@every_method
def test_dropout_only_in_training(name: str) -> None:
    backbone = shared_backbone("bert")
    kind = methods.get(name)
    values = {"dropout": 0.5} if "dropout" in kind.Config.model_fields else {}
    method = small_method(name, backbone, **values)
    params, batch = stacked([moved_member(method, backbone)]), tiny_batch(backbone)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        evaluated = [hidden(backbone, method, params, batch, training=False) for _ in range(2)]
        trained = [hidden(backbone, method, params, batch, training=True) for _ in range(2)]
    assert torch.equal(evaluated[0], evaluated[1])
    assert torch.equal(trained[0], trained[1]) == (not values)
