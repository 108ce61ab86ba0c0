"""What every method promises, for every method and every family found in the folders.

README's example of a method keeps the same promises, and so do those of ``helpers/added.py``: they are added to the
folder for these tests. A method with choices is tested in each of its forms.
"""

from __future__ import annotations

import ast
import inspect
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import paper
from helpers.added import ADDED, added, every_name
from helpers.configs import OF_EVERY_TRIAL, accepted, configs, form_id, forms, is_number, kinds
from helpers.families import FAMILIES, VARIANTS, in_training, tiny_batch
from helpers.members import (
    alone,
    changed_backbones,
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
from pydantic import BaseModel, ValidationError
from torch.nn import functional

from trainables import head, methods
from trainables.backbones import Seams, Spec
from trainables.batch import Batch
from trainables.checkpoint import Storage
from trainables.methods import FROZEN, SETTINGS, Fused, Method, trainable

pytestmark = pytest.mark.usefixtures("added_methods")

NAMES = every_name()
with tempfile.TemporaryDirectory() as _folder, added(Path(_folder)):
    FORMS = [pytest.param(name, values, id=form_id(name, values)) for name in NAMES for values in forms(name)]
every_method = pytest.mark.parametrize("name", NAMES)
every_form = pytest.mark.parametrize(("name", "values"), FORMS)
every_family = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(autouse=True)
def frozen_backbones() -> Iterator[None]:
    """No test changes a backbone that the tests share; one that did is made anew, so that no other test suffers."""
    yield
    assert not changed_backbones(), "the method changed the frozen backbone; it may only read it"


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def members_of(method: Method) -> int:
    return min(3, method.max_members or 3)


def test_the_folder_is_the_registry() -> None:
    assert set(methods.names()) >= {*paper.METHODS, *ADDED}
    assert not set(NAMES) & set(methods.__all__), "a file with this name would hide what the package offers"
    labels = Counter(methods.get(name).label for name in NAMES)
    assert not [label for label, times in labels.items() if times > 1], "two methods have the same label"
    with pytest.raises(ValueError, match=r"unknown method 'prompt'; known: adapters, .*p_tuning_v2"):
        methods.get("prompt")


@every_method
def test_what_a_method_needs_of_ours_comes_from_one_place(name: str) -> None:
    source = Path(inspect.getsourcefile(methods.get(name))).read_text(encoding="utf-8")
    modules = {node.module or "" for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}
    ours = {module for module in modules if module.partition(".")[0] in ("trainables", "search", "analysis", "common")}
    assert ours <= {"trainables.methods"}, "import it from trainables.methods"


@every_method
def test_config(name: str) -> None:
    config_type = methods.get(name).Config
    required = [field for field, info in config_type.model_fields.items() if info.is_required()]
    assert not required, "every hyperparameter has a default"
    config = config_type()
    assert set(config.model_dump()) == set(config_type.model_fields)
    assert config_type(**config.model_dump()) == config
    assert not OF_EVERY_TRIAL & set(config_type.model_fields), "every trial has these; give yours another name"
    assert config_type.model_config.items() >= SETTINGS.items(), "model_config = SETTINGS is missing"
    with pytest.raises(ValidationError, match="frozen"):
        config.anything = 1
    with pytest.raises(ValidationError, match="Extra inputs"):
        config_type(forgetting=123)


@every_method
def test_hyperparameters(name: str) -> None:
    """Each is described and takes no value of another kind; a number has a range, and NaN is not in it."""
    config, sizes = methods.get(name).Config, methods.get(name).sizes
    for field, info in config.model_fields.items():
        assert info.description, f"{field} has no description"
        if is_number(info):
            wrong = {True, "1", float("nan")} - ({True} if bool in kinds(info) else set())
            huge = [value for value in (-(10**30), 10**30) if accepted(config, field, value)]
            assert len(huge) < 2, f"{field} has no range: give it one, such as Field({info.default}, gt=0)"
            assert field not in sizes or not accepted(config, field, -1), f"{field} is a size: none is below zero"
        else:
            wrong = {10**30, float("nan")} | ({"no such value"} if str not in kinds(info) else set())
        taken = [value for value in wrong if accepted(config, field, value)]
        assert not taken, f"{field} takes {taken}"


@every_form
@every_family
def test_count_equals_the_tensors(name: str, values: dict[str, Any], family: str) -> None:
    backbone = shared_backbone(family)
    method = small_method(name, backbone, **values)
    tensors = method.initial(backbone, generator())
    elements = {key: tensor.numel() for key, tensor in trainable(tensors).items()}
    assert method.count() == sum(elements.values()), f"count() against the elements of what is trained: {elements}"
    assert {tensor.dtype for tensor in trainable(tensors).values()} <= {torch.float32}, "what is trained is float32"
    assert {tensor.device.type for tensor in tensors.values()} <= {"cpu"}, "fresh tensors are on the CPU"
    assert not any(tensor.requires_grad for tensor in tensors.values())
    assert not [key for key in tensors if key.startswith(head.PREFIX)], "these names belong to the head"


@every_method
def test_sizes_are_the_hyperparameters_that_change_the_count(name: str) -> None:
    spec = shared_backbone("bert").spec
    kind = methods.get(name)
    assert set(kind.sizes) <= set(kind.Config.model_fields)
    for field in kind.Config.model_fields:
        every = {config: counted(kind, config, spec) for config in configs(kind.Config, field)}
        counts = [count for count in every.values() if count is not None]
        assert len(counts) > 1, f"values of {field} to compare are missing in helpers/configs.py"
        assert (len(set(counts)) > 1) == (field in kind.sizes), f"{field} in `sizes`? It gives the counts {set(counts)}"


def counted(kind: type[Method], config: BaseModel, spec: Spec) -> int | None:
    """The count, or None where the method says that the backbone is too small for these values."""
    try:
        return kind(config, spec).count()
    except ValueError:
        return None


@every_form
def test_initial_depends_on_the_generator_alone(name: str, values: dict[str, Any]) -> None:
    backbone = shared_backbone("bert")
    method = small_method(name, backbone, **values)
    state, sources = torch.get_rng_state(), [generator(seed) for seed in (1, 1, 2)]
    first, again, other = (method.initial(backbone, source) for source in sources)
    assert torch.equal(torch.get_rng_state(), state), "the global generator was used"
    assert all(torch.equal(first[key], again[key]) for key in first)
    drawn = not torch.equal(sources[0].get_state(), generator(1).get_state())
    assert any(not torch.equal(first[key], other[key]) for key in first) == drawn


#: How far states may be from the backbone's at the start. A method that takes a weight apart and puts it together
#: again (PiSSA) rounds in each layer; a start that is another one is off by far more.
ROUNDING = 1e-5


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
def test_saved_and_loaded(name: str, values: dict[str, Any], tmp_path: Path) -> None:
    backbone = shared_backbone("deberta_v2" if "deberta_v2" in FAMILIES else FAMILIES[0])
    method = small_method(name, backbone, **values)
    member, batch = moved_member(method, backbone), tiny_batch(backbone)
    Storage(str(tmp_path)).write_tensors("member.safetensors", member, {})
    loaded, _ = Storage(str(tmp_path)).read_tensors("member.safetensors")
    states = [hidden(backbone, method, stacked([m]), batch) for m in (member, loaded)]
    assert torch.equal(states[0], states[1])


#: bfloat16 keeps 8 bits: a rounding is off by up to 2⁻⁸ of the value. Each element of the last hidden states may be off
#: by ten roundings of the largest one. Measured, over all methods and families, it is 6.4 for fine-tuning, whose moved
#: weights make larger states in between, and at most 5.4 for the others; the backbone alone is off by up to 4.9.
BFLOAT16 = 10 * 2**-8


@every_form
@every_family
def test_bfloat16(name: str, values: dict[str, Any], family: str) -> None:
    backbone = shared_backbone(family)
    method = small_method(name, backbone, **values)
    params = stacked([moved_member(method, backbone, seed) for seed in range(members_of(method))])
    batch = tiny_batch(backbone, members=members_of(method))
    exact = hidden(backbone, method, params, batch, training=True).detach()
    with torch.autocast("cpu", torch.bfloat16):
        states = hidden(backbone, method, params, batch, training=True)
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


@every_form
def test_a_prompt_takes_as_many_positions_as_its_method_says(name: str, values: dict[str, Any]) -> None:
    backbone = shared_backbone("bert")
    batch = tiny_batch(backbone)
    method = small_method(name, backbone, **values)
    seams = method.seams(stacked([moved_member(method, backbone)]), backbone, batch)
    length = backbone(batch, seams).shape[1]
    assert methods.prompt_tokens(method) == length - batch.input_ids.shape[1]
